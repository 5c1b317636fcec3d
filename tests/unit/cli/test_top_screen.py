"""What `leveret top` shows of two looks at the servers."""

from __future__ import annotations

import pytest

from leveret.cli.top_screen import Lately, Sort, described, frame, lately, lines_of
from leveret.client.survey import StatsSurvey
from leveret.client.totals import MethodTotals
from leveret.observe import Histogram
from leveret.wire.stats import QueueStats, ServerStats


def times(seconds: float, count: int) -> Histogram:
    histogram = Histogram()
    for _ in range(count):
        histogram.record(seconds)
    return histogram


def seen() -> Lately:
    return Lately(
        methods=[
            MethodTotals(
                method="a.calm", servers=2, handled={"OK": 40}, running=5, handler=times(2.0, 40)
            ),
            MethodTotals(
                method="b.bad",
                servers=1,
                handled={"OK": 2, "INTERNAL": 4, "BUSY": 1},
                waiting=9,
                handler=times(0.1, 7),
            ),
            MethodTotals(method="c.idle", servers=1, queue=times(3.0, 1)),
        ],
        seconds=2.0,
        servers=3,
    )


@pytest.mark.parametrize(
    ("sort", "order"),
    [
        (Sort.FAILED, "bac"),
        (Sort.CALLS, "abc"),
        (Sort.P95, "abc"),
        (Sort.QUEUE, "cab"),
        (Sort.RUNNING, "abc"),
        (Sort.WAITING, "bac"),
        (Sort.METHOD, "abc"),
    ],
)
def test_the_worst_is_first(sort: Sort, order: str) -> None:
    assert "".join(line[0] for line in lines_of(seen(), sort)[1:]) == order
    assert [one["method"][0] for one in described(seen(), sort)] == list(order)


def test_rates_are_per_second() -> None:
    first = lines_of(seen(), Sort.FAILED)[1].split()
    assert first[:5] == ["b.bad", "3.5", "2.5", "0", "9"]
    assert lines_of(seen(), Sort.FAILED)[1].endswith("INTERNAL 4, BUSY 1")
    assert described(seen(), Sort.FAILED)[0]["failed_per_second"] == 2.5
    assert lines_of(Lately(methods=[], seconds=0.0, servers=0), Sort.FAILED) == []


def test_a_screen_is_never_larger_than_the_terminal() -> None:
    many = Lately(
        methods=[MethodTotals(method=f"a.m{number:03}") for number in range(100)],
        seconds=0.0,
        servers=1,
    )
    for rows in (10, 24):
        shown = frame(many, Sort.FAILED, ["note"], columns=40, rows=rows, interval=2)
        assert len(shown) < rows
        assert all(len(line) <= 40 for line in shown)
    assert shown[0].startswith("1 servers, 100 methods, ? calls/s")
    assert shown[2] == "note"
    assert shown[-1] == "... and 83 more methods"


def test_two_looks_give_what_happened_between_them() -> None:
    def look(uptime: float, count: int) -> StatsSurvey:
        stats = QueueStats(
            method="a.b",
            finished=count,
            failed=0,
            running=1,
            concurrency=1,
            handled={"OK": count},
        )
        server = ServerStats(instance="i", uptime=uptime, methods={"leveret.a.b": stats})
        return StatsSurvey(servers=[server], missing={})

    found = lately(look(10.0, 5), look(14.0, 25))
    assert (found.seconds, found.servers) == (4.0, 1)
    assert found.methods[0].handled == {"OK": 20}
    assert lately(StatsSurvey(servers=[], missing={}), StatsSurvey(servers=[], missing={})) == (
        Lately(methods=[], seconds=0.0, servers=0)
    )
