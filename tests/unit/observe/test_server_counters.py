"""What a server counts of a queue."""

from __future__ import annotations

from leveret.observe import OK, ServerCounters


def test_each_call_counts_by_its_code_and_its_caller() -> None:
    counters = ServerCounters()
    counters.ended(OK, "web", 1.0, 0.002, 0.02, 10, 20)
    counters.ended(OK, "", 2.0, 0.002, 0.02, 10, 20)
    counters.ended("CANCELLED", "web", 3.0, 0.3, None, 10, 0)
    assert counters.handled == {OK: 2, "CANCELLED": 1}
    assert (counters.bytes_in, counters.bytes_out) == (30, 40)
    web = counters.callers.by_name["web"]
    assert (web.handled, web.failed, web.last) == (2, 1, 3.0)
    assert counters.callers.by_name[""].failed == 0


def test_the_time_of_a_handler_counts_where_it_had_a_place() -> None:
    counters = ServerCounters()
    counters.ended(OK, "web", 1.0, 0.5, 0.02, 0, 0)
    counters.ended("DEADLINE_EXCEEDED", "web", 1.0, 1.5, None, 0, 0)
    assert (counters.handler.count, counters.handler.total) == (1, 0.02)
    assert (counters.queue.count, counters.queue.total) == (2, 2.0)
