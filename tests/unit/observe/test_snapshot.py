"""What processes have counted, added up."""

from __future__ import annotations

import msgspec
import pytest

from leveret import Busy
from leveret.observe import (
    OK,
    OTHER,
    Called,
    ClientCounters,
    Exemplar,
    ServerCounters,
    Snapshot,
    total,
)
from leveret.observe import snapshot as room


def one() -> Snapshot:
    """A method that is served and called, with a call under way."""
    server = ServerCounters(started=3, handed_back=1, redelivered=1, items_in=5, items_out=7)
    server.ended(OK, "web", 1.0, 0.002, 0.02, 10, 20)
    client = ClientCounters(started=3, retries=2)
    client.answered(0.1)
    client.failed(Busy("no", executed="no"), 0.1)
    found = Snapshot(reconnects=1, late_replies=2)
    served, called = found.served_of("desk.work"), found.called_of("desk.work")
    served.count(server)
    served.running, served.waiting, served.concurrency = 1, 2, 10
    called.count(client)
    called.in_flight = 1
    return found


def test_what_is_counted_of_a_method_is_added_up() -> None:
    sums = total([one(), one()])
    served, called = sums.served["desk.work"], sums.called["desk.work"]
    assert (served.started, served.handled, served.handed_back) == (6, {OK: 2}, 2)
    assert (served.redelivered, served.items_in, served.items_out) == (2, 10, 14)
    assert (served.bytes_in, served.bytes_out) == (20, 40)
    assert (served.handler.count, served.handler.total, served.queue.count) == (2, 0.04, 2)
    assert (served.running, served.waiting, served.concurrency) == (2, 4, 20)
    assert called.handled == {OK: {"yes": 2}, "RESOURCE_EXHAUSTED": {"no": 2}}
    assert (called.started, called.retries, called.in_flight, called.seconds.count) == (6, 4, 2, 4)
    assert (sums.reconnects, sums.late_replies) == (2, 4)


def test_of_a_process_that_has_ended_what_it_counted_stays_and_nothing_is_so_now() -> None:
    sums = total([one()], ended=one())
    assert sums.served["desk.work"].handled == {OK: 2}
    assert sums.served["desk.work"].running == 1
    assert sums.served["desk.work"].concurrency == 10
    assert sums.called["desk.work"].started == 6
    assert sums.called["desk.work"].in_flight == 1


def test_adding_leaves_what_is_added_as_it_was() -> None:
    its = one()
    before = msgspec.json.encode(its)
    total([its]).add(its)
    assert msgspec.json.encode(its) == before


def test_it_travels_as_json() -> None:
    whole = one()
    whole.served["desk.work"].handler.exemplify(
        Exemplar(seconds=0.02, trace_id="ab" * 16, span_id="cd" * 8, at=7.0)
    )
    its = msgspec.json.encode(total([whole]))
    assert b"abab" in its
    assert msgspec.json.encode(msgspec.json.decode(its, type=Snapshot)) == its


def test_more_methods_than_can_be_told_apart_are_counted_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(room, "MOST_METHODS", 2)
    sums = Snapshot()
    for method in ("a.a", "b.b", "c.c", "d.d", "a.a"):
        sums.served_of(method).started += 1
        sums.called_of(method).add(Called(started=1))
    assert {method: served.started for method, served in sums.served.items()} == {
        "a.a": 2,
        "b.b": 1,
        OTHER: 2,
    }
    assert {method: called.started for method, called in sums.called.items()} == {
        "a.a": 2,
        "b.b": 1,
        OTHER: 2,
    }
