"""The map of the sums that the console has."""

from __future__ import annotations

from leveret.console.board import Board
from leveret.console.mapping import map_of
from leveret.wire.stats import CallerStats, QueueStats, ServerStats


def server(instance: str, service: str, caller: str, count: int) -> ServerStats:
    stats = QueueStats(
        method=f"{service}.run",
        finished=count,
        failed=0,
        running=0,
        concurrency=1,
        handled={"OK": count},
        callers={caller: CallerStats(handled=count, failed=count // 2)},
    )
    return ServerStats(
        instance=instance,
        name=f"{service}-host",
        services=[service],
        uptime=1000.0,
        methods={f"leveret.{service}.run": stats},
    )


def test_it_is_that_of_the_servers_themselves() -> None:
    board = Board()
    for at, count in ((1000.0, 10), (1010.0, 40)):
        view = board.take(
            [
                server("a", "orders", "web", count),
                server("b", "orders", "web", count),
                server("c", "stock", "orders-host", count),
            ],
            {},
            now=at,
        )
    found = map_of(view)
    assert {node.name: node.servers for node in found.nodes.values()} == {
        "orders": 2,
        "stock": 1,
        "web": 0,
    }
    edges = {(edge.caller, edge.service): edge.traffic for edge in found.edges}
    assert set(edges) == {("web", "orders"), ("orders", "stock")}
    assert edges["web", "orders"].handled == 80
    assert edges["web", "orders"].per_second == 6.0
    assert edges["orders", "stock"].per_second == 3.0
    assert [it.name for it in found.impact("stock")] == ["orders", "web"]


def test_before_the_first_poll_there_is_none() -> None:
    assert not map_of(Board().take([], {}, now=1.0)).edges
