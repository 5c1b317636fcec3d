"""All are heard once each that is known to be there has answered, and not before."""

from __future__ import annotations

from math import inf

import pytest

from leveret.client.calls import gathering as module
from leveret.client.calls.gathering import Gathering
from leveret.wire.message import Reply


def reply(body: bytes = b"1") -> Reply:
    return Reply(is_error=False, content_type=None, body=body, body_size=len(body))


def test_it_is_complete_once_as_many_have_answered_as_the_broker_counts() -> None:
    two = Gathering(2, 0.0, 1.0)
    assert not two.is_complete
    two.replied("a", reply(b"1"), 0.1)
    two.replied("a", reply(b"2"), 0.2)  # once more: the first one counts
    assert (two.missing, two.missing_instances) == (1, ())
    two.replied("b", reply(b"3"), 0.3)
    assert two.is_complete
    assert {name: it.body for name, it in two.replies.items()} == {"a": b"1", "b": b"3"}


def test_who_says_that_it_is_there_is_waited_for() -> None:
    one = Gathering(1, 0.0, 1.0)
    one.pinged("a", able=True, now=0.1)
    one.noticed("b", 0.2)
    one.replied("a", reply(), 0.3)
    assert (one.missing, one.missing_instances) == (1, ("b",))
    one.replied("b", reply(), 0.4)
    assert one.is_complete


def test_a_server_that_knows_no_such_calls_is_not_waited_for() -> None:
    one = Gathering(1, 0.0, 1.0)
    one.pinged("old", able=False, now=0.1)
    assert one.is_complete
    assert one.unable == {"old"}
    one.replied("old", reply(), 0.2)  # it does, whatever it said
    assert (one.is_complete, one.unable) == (True, set())


def test_only_news_keeps_it_waiting() -> None:
    two = Gathering(2, 10.0, 1.0)

    def gives_up_at(asked: float) -> float:
        two.asked(asked)
        return two.gives_up_at

    assert two.gives_up_at == inf  # nobody was asked
    assert gives_up_at(10.5) == 11.0
    assert gives_up_at(10.9) == 11.0  # once more
    two.pinged("a", able=True, now=10.5)
    assert two.gives_up_at == inf
    assert gives_up_at(10.9) == 11.5
    two.pinged("a", able=True, now=10.6)
    assert two.gives_up_at == 11.5
    two.noticed("a", 10.7)  # its handler runs on
    assert gives_up_at(11.1) == 11.7
    two.replied("a", reply(), 10.8)
    assert gives_up_at(11.5) == 12.0  # late, so they have time to answer
    two.noticed("a", 10.9)
    two.replied("a", reply(), 10.9)
    assert two.gives_up_at == 12.0
    two.paused(12.0)
    assert gives_up_at(12.1) == 13.0


def test_servers_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST", 1)
    two = Gathering(2, 0.0, 1.0)
    two.replied("a", reply(), 0.1)
    two.replied("forged", reply(), 0.2)
    assert set(two.replies) == {"a"}
