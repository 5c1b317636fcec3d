"""How the map is drawn."""

from __future__ import annotations

from leveret.client.service_map import service_map
from leveret.console.map_drawing import drawn
from leveret.wire.stats import CallerStats, QueueStats, ServerStats


def server(service: str, *callers: str, failed: int = 0) -> ServerStats:
    stats = QueueStats(
        method=f"{service}.run",
        finished=10,
        failed=failed,
        running=0,
        concurrency=1,
        handled={"OK": 10 - failed, "INTERNAL": failed},
        callers={name: CallerStats(handled=10, failed=failed) for name in callers},
    )
    return ServerStats(
        instance=service,
        name=f"{service}-host",
        services=[service],
        uptime=10.0,
        methods={f"leveret.{service}.run": stats},
    )


def test_callers_are_on_the_left_of_what_they_call() -> None:
    servers = [server("orders", "web"), server("stock", "orders-host", failed=5)]
    drawing = drawn(service_map(servers, servers))
    places = {box.node.name: box.x for box in drawing.boxes}
    assert places["web"] < places["orders"] < places["stock"]
    assert {curve.edge.service: curve.fails for curve in drawing.curves} == {
        "orders": False,
        "stock": True,
    }
    assert drawing.width > max(places.values())


def test_a_circle_ends() -> None:
    servers = [server("a", "b-host", "a-host"), server("b", "a-host")]
    drawing = drawn(service_map(servers))
    assert len(drawing.boxes) == 2
    assert len(drawing.curves) == 3


def test_what_is_around_a_node() -> None:
    found = service_map([server("orders", "web"), server("stock", "night"), server("far", "far2")])
    assert {box.node.name for box in drawn(found, "stock").boxes} == {"night", "stock"}
    assert len(drawn(found, "nobody").boxes) == len(found.nodes)
    assert drawn(service_map([])).boxes == []
