"""Rates, shares and quantiles of polls."""

from __future__ import annotations

import msgspec

from leveret.console.board import FORGOTTEN_AFTER, GONE_FOR, Board
from leveret.observe import Histogram
from leveret.wire.stats import HistogramStats, QueueStats, ServerStats


def times(*seconds: float) -> HistogramStats:
    histogram = Histogram()
    for one in seconds:
        histogram.record(one)
    return HistogramStats(counts=histogram.counts, seconds=histogram.total)


def queue(ok: int, failed: int = 0, *, took: float = 0.004, running: int = 0) -> QueueStats:
    handled = {"OK": ok} | ({"INTERNAL": failed} if failed else {})
    return QueueStats(
        method="shop.order",
        finished=ok + failed,
        failed=failed,
        running=running,
        concurrency=10,
        handled=handled,
        handler=times(*[took] * (ok + failed)),
        queue=times(*[0.0004] * (ok + failed)),
    )


def server(
    stats: QueueStats, instance: str = "a", uptime: float = 1000.0, contract: str = "1"
) -> ServerStats:
    return ServerStats(
        instance=instance,
        name=f"host-{instance}",
        services=["shop"],
        hashes={"shop": contract},
        versions={"shop": "1.4"},
        uptime=uptime,
        methods={"leveret.shop.order": stats},
    )


def test_what_happened_before_the_first_poll_is_no_rate() -> None:
    board = Board()
    view = board.take([server(queue(100, 5))], {}, now=1000.0)
    row = view.methods["shop.order"]
    assert (row.rate, row.calls, row.of_window) == (0.0, 0, False)
    assert row.total.ended == 105
    assert row.p95 is not None
    assert (row.service, row.name) == ("shop", "order")


def test_the_difference_of_two_polls_is_what_happened() -> None:
    board = Board()
    board.take([server(queue(100))], {}, now=1000.0)
    view = board.take([server(queue(115, 5, took=0.2))], {}, now=1010.0)
    row = view.methods["shop.order"]
    assert (row.rate, row.calls, row.failed, row.share) == (2.0, 20, 5, 0.25)
    assert row.spark == (2.0,)
    service = view.services["shop"]
    assert (service.rate, service.share, service.spark) == (2.0, 0.25, (2.0,))
    assert service.versions == ("1.4",)
    assert view.of_service("shop") == [row]


def test_a_server_that_began_after_the_last_poll_counts_whole_and_an_older_one_does_not() -> None:
    board = Board()
    board.take([], {}, now=1000.0)
    young, old = server(queue(7), "y", uptime=5.0), server(queue(900), "o", uptime=5000.0)
    view = board.take([young, old], {}, now=1010.0)
    assert view.methods["shop.order"].calls == 7


def test_servers_are_summed() -> None:
    board = Board()
    board.take([server(queue(1), "a"), server(queue(1), "b")], {}, now=1000.0)
    view = board.take([server(queue(3), "a"), server(queue(6, running=2), "b")], {}, now=1010.0)
    row = view.methods["shop.order"]
    assert (row.calls, row.total.servers, row.total.running) == (7, 2, 2)
    assert view.instances["b"].running == 2


def test_a_server_that_misses_a_poll_counts_on_where_it_was() -> None:
    board = Board()
    board.take([server(queue(100))], {}, now=1000.0)
    gone = board.take([], {"shop": 1}, now=1010.0)
    assert gone.instances["a"].is_gone
    assert gone.services["shop"].troubles == ("no answer",)
    assert gone.missing == {"shop": 1}
    assert gone.methods["shop.order"].total.servers == 0
    back = board.take([server(queue(103))], {}, now=1020.0)
    assert not back.instances["a"].is_gone
    assert back.methods["shop.order"].calls == 3
    assert back.methods["shop.order"].total.ended == 103


def test_of_servers_that_are_silent_the_sums_have_what_they_said_last() -> None:
    board = Board()
    board.take([server(queue(100, 5, running=2))], {}, now=1000.0)
    for silent in ({"shop": 1}, {}):
        uncounted = [] if silent else ["shop"]
        total = board.take([], silent, uncounted, now=1010.0).methods["shop.order"].total
        assert (total.ended, total.failed, total.servers) == (105, 5, 0)
        assert (total.running, total.concurrency) == (0, 0)
    assert board.take([], {}, now=1020.0).methods["shop.order"].total.ended == 0
    assert board.take([], {"shop": 1}, now=1030.0).methods["shop.order"].total.ended == 105


def test_who_is_gone_is_shown_for_a_while_and_then_dropped() -> None:
    board = Board()
    board.take([server(queue(100))], {}, now=1000.0)
    assert board.take([], {}, now=1000.0 + GONE_FOR).instances
    later = board.take([], {}, now=1001.0 + GONE_FOR)
    assert not later.instances
    assert not later.services["shop"].instances
    last = board.take([], {}, now=1001.0 + FORGOTTEN_AFTER)
    assert not last.services
    assert not board.take([], {}, now=1002.0 + FORGOTTEN_AFTER).methods


def test_the_window_moves_on() -> None:
    board = Board()
    board.take([server(queue(0))], {}, now=1000.0)
    board.take([server(queue(50))], {}, now=1010.0)
    view = board.take([server(queue(50))], {}, now=1200.0)
    row = view.methods["shop.order"]
    assert (row.rate, row.calls, row.of_window) == (0.0, 0, False)
    for poll in range(70):
        view = board.take([server(queue(50))], {}, now=1300.0 + poll)
    assert len(view.methods["shop.order"].spark) <= 60


def test_contracts_that_differ_are_the_worse_service() -> None:
    board = Board()
    one, other = server(queue(1), "a"), server(queue(1), "b", contract="2")
    view = board.take([one, other], {}, now=1000.0)
    assert view.services["shop"].troubles == ("contracts differ",)
    agreed = Board().take([one], {}, now=1000.0).services["shop"]
    assert view.services["shop"].worst > agreed.worst
    assert len(view.serving("shop")) == 2


def test_two_queues_of_a_method_are_one_method() -> None:
    board = Board()

    def both(count: int) -> ServerStats:
        stats = queue(count)
        return ServerStats(
            instance="a",
            services=["shop"],
            uptime=99.0,
            methods={"leveret.shop.order": stats, "leveret.shop.order#2": stats},
        )

    board.take([both(1)], {}, now=1000.0)
    row = board.take([both(3)], {}, now=1001.0).methods["shop.order"]
    assert (row.calls, row.total.servers) == (4, 1)


def test_an_earlier_look_is_kept_for_rates() -> None:
    board = Board()
    first = server(queue(1))
    for second in range(4):
        view = board.take([first], {}, now=1000.0 + 30 * second)
        first = server(queue(2 + second))
    assert view.earlier[0] == 1060.0
    assert view.earlier[1]["shop.order"].finished == 3


def test_methods_that_stand_still_are_not_summed_again() -> None:
    """So a poll of 100,000 queues costs what has changed."""
    board = Board()
    board.take([server(queue(5))], {}, now=1000.0)
    first = board.take([server(queue(5))], {}, now=1001.0).methods["shop.order"]
    assert board.take([server(queue(5))], {}, now=1002.0).methods["shop.order"] is first


def test_a_method_that_its_service_has_no_more_is_forgotten_after_a_while() -> None:
    """And a method of what is no service, as a plain queue, likewise."""
    board = Board()
    old = server(queue(100))
    plain = ServerStats(
        instance="p", methods={"jobs": msgspec.structs.replace(queue(1), method="jobs")}
    )
    board.take([old, plain], {}, now=1000.0)
    renamed = ServerStats(
        instance="b",
        services=["shop"],
        methods={"leveret.shop.buy": msgspec.structs.replace(queue(1), method="shop.buy")},
    )
    assert set(board.take([renamed], {}, now=1000.0 + GONE_FOR).methods) == {
        *("jobs", "shop.buy", "shop.order"),
    }
    assert set(board.take([renamed], {}, now=1001.0 + GONE_FOR).methods) == {"shop.buy"}


def test_no_server_is_said_only_where_the_broker_says_so() -> None:
    board = Board()
    board.take([server(queue(1))], {}, now=1000.0)
    unsure = board.take([], {}, ["shop"], now=1010.0)
    assert (unsure.services["shop"].troubles, unsure.uncounted) == (("no answer",), ["shop"])
    assert not unsure.services["shop"].is_gone
    sure = board.take([], {}, now=1020.0)
    assert (sure.services["shop"].troubles, sure.uncounted) == (("no server",), [])
    few = board.take([server(queue(1))], {"shop": 2}, now=1030.0)
    assert few.services["shop"].troubles == ("2 did not answer",)
