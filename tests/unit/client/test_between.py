"""What servers have counted between two looks at them."""

from __future__ import annotations

from leveret.client.between import between
from leveret.observe import BOUNDS, OTHERS
from leveret.wire.stats import CallerStats, ErrorStats, HistogramStats, QueueStats, ServerStats

NOTHING = [0] * (len(BOUNDS) + 1)


def histogram(count: int, seconds: float) -> HistogramStats:
    return HistogramStats(counts=[count, *NOTHING[1:]], seconds=seconds)


def queue(
    handled: dict[str, int],
    *,
    running: int = 0,
    callers: dict[str, tuple[int, int]] | None = None,
    handler: HistogramStats | None = None,
    last_error: ErrorStats | None = None,
) -> QueueStats:
    return QueueStats(
        method="shop.order",
        finished=sum(handled.values()),
        failed=0,
        running=running,
        concurrency=10,
        handled=handled,
        handler=handler or HistogramStats(),
        callers={
            name: CallerStats(handled=count, failed=bad)
            for name, (count, bad) in (callers or {}).items()
        },
        last_error=last_error,
    )


def server(instance: str, uptime: float, stats: QueueStats) -> ServerStats:
    return ServerStats(
        instance=instance, uptime=uptime, services=["shop"], methods={"leveret.shop.order": stats}
    )


def only(found: list[ServerStats]) -> QueueStats:
    (one,) = found
    return one.methods["leveret.shop.order"]


def test_counts_are_those_since_the_first_look_and_states_those_of_the_second() -> None:
    old_error = ErrorStats(code="BUSY", at=5.0)
    before = server(
        "a",
        10.0,
        queue({"OK": 5, "BUSY": 1}, running=3, handler=histogram(5, 0.5), last_error=old_error),
    )
    after = server(
        "a",
        12.0,
        queue(
            {"OK": 9, "BUSY": 1, "INTERNAL": 2},
            running=1,
            handler=histogram(11, 0.75),
            last_error=old_error,
        ),
    )
    found = between([before], [after])
    assert found[0].uptime == 2.0
    stats = only(found)
    assert (stats.handled, stats.finished) == ({"OK": 4, "INTERNAL": 2}, 6)
    assert (stats.handler.counts[0], stats.handler.seconds) == (6, 0.25)
    assert (stats.running, stats.concurrency) == (1, 10)
    assert stats.last_error is None


def test_what_had_no_calls_before_counts_whole() -> None:
    error = ErrorStats(code="BUSY", at=5.0)
    before = server("a", 1.0, queue({}))
    after = server("a", 2.0, queue({"OK": 2}, handler=histogram(2, 0.1), last_error=error))
    stats = only(between([before], [after]))
    assert stats.handler.counts[0] == 2
    assert stats.last_error == error


def test_a_server_that_began_since_counts_and_one_that_did_not_answer_before_is_left_out() -> None:
    first = server("a", 10.0, queue({"OK": 1}))
    again = server("a", 15.0, queue({"OK": 1}))
    new = server("b", 4.0, queue({"OK": 7}))
    silent = server("c", 90.0, queue({"OK": 1000}))
    gone = server("d", 90.0, queue({"OK": 1000}))
    found = between([first, gone], [again, new, silent])
    assert [(one.instance, one.uptime) for one in found] == [("a", 5.0), ("b", 4.0)]


def test_callers_who_became_others_are_no_new_calls_of_others() -> None:
    before = {"web": (5, 1), "cron": (100, 50), OTHERS: (1000, 10)}
    after = {"web": (8, 1), OTHERS: (1102, 60)}
    stats = only(
        between(
            [server("a", 1.0, queue({}, callers=before))],
            [server("a", 2.0, queue({}, callers=after))],
        )
    )
    assert stats.callers == {
        "web": CallerStats(handled=3),
        OTHERS: CallerStats(handled=2),
    }


def test_a_caller_who_was_among_the_others_begins_at_nothing() -> None:
    before = {"web": (50, 0)}
    after = {"web": (2, 0), OTHERS: (50, 0)}
    stats = only(
        between(
            [server("a", 1.0, queue({}, callers=before))],
            [server("a", 2.0, queue({}, callers=after))],
        )
    )
    assert stats.callers == {"web": CallerStats(handled=2)}
