"""Calls are counted where they end."""

from __future__ import annotations

from leveret.server.calls.counting import Counting
from leveret.server.calls.life import Answer, Holding, ServerCall
from tests.unit.server.calls.making import call


class Spans:
    """Notes which spans were ended."""

    def __init__(self) -> None:
        self.ended_spans: list[bool] = []

    def begin(self, call: ServerCall) -> None:
        """Nothing is to be noted."""

    def ended(self, call: ServerCall, *, gone: bool) -> None:
        self.ended_spans.append(gone)


def test_a_call_counts_by_its_code_with_its_times_and_sizes() -> None:
    spans, one = Spans(), call()
    one.queued, one.arrived, one.started = 1.0, 7.0, 8.0
    Counting(lambda: 10.0, spans).ended(one, b"12345")
    counters = one.source.counters
    assert counters.handled == {"OK": 1}
    assert (counters.queue.total, counters.handler.total) == (2.0, 2.0)
    assert counters.bytes_out == 5
    assert spans.ended_spans == [False]


def test_one_that_never_had_a_place_has_waited_until_its_end() -> None:
    one = call()
    one.arrived, one.code = 7.0, "DEADLINE_EXCEEDED"
    Counting(lambda: 10.0, None).ended(one, b"")
    counters = one.source.counters
    assert counters.handled == {"DEADLINE_EXCEEDED": 1}
    assert (counters.queue.total, counters.handler.count) == (3.0, 0)


def test_what_goes_to_another_server_has_not_ended_here() -> None:
    spans = Spans()
    counting = Counting(lambda: 10.0, spans)
    back, detached, answered, moved = call(), call(), call(), call()
    counting.ended(back, b"", back=True)
    detached.holding = Holding.DETACHED
    counting.ended(detached, b"", back=True)
    counting.handed_back(moved)
    for one in (back, detached, moved):
        assert (one.source.counters.handed_back, one.source.counters.handled) == (1, {})
    answered.answer = Answer.GIVEN
    counting.ended(answered, b"", back=True)
    assert (answered.source.counters.handed_back, answered.source.counters.handled) == (
        0,
        {"OK": 1},
    )
    assert spans.ended_spans == [True, True, True, False]
