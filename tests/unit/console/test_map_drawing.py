"""How the map is drawn."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator

from msgspec import structs

from leveret.client.service_map import service_map
from leveret.console.map_drawing import Drawing, drawn
from leveret.console.map_lines import Curve
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


def points_of(curve: Curve) -> Iterator[tuple[float, float]]:
    """Points on a line, near to each other."""
    x = y = 0.0
    for step, numbers in re.findall(r"([MHC])([^MHC]*)", curve.path):
        its = [float(number) for number in re.findall(r"-?[0-9.]+", numbers)]
        if step == "H":
            its = [x, y, its[0], y, its[0], y]
        if step == "M":
            x, y = its
            continue
        for share in (number / 24 for number in range(25)):
            weights = [
                (1 - share) ** 3,
                3 * share * (1 - share) ** 2,
                3 * share**2 * (1 - share),
                share**3,
            ]
            yield (
                sum(w * v for w, v in zip(weights, (x, *its[0::2]), strict=True)),
                sum(w * v for w, v in zip(weights, (y, *its[1::2]), strict=True)),
            )
        x, y = its[-2:]


def hits_of(drawing: Drawing) -> set[tuple[str, str, str]]:
    """Which lines run behind which boxes."""
    return {
        (curve.edge.caller, curve.edge.service, box.node.name)
        for curve in drawing.curves
        for x, y in points_of(curve)
        for box in drawing.boxes
        if box.x < x < box.x + box.width and box.y < y < box.y + box.height
    }


def test_no_line_runs_behind_a_box_and_no_box_covers_another() -> None:
    for seed in range(3):
        dice = random.Random(seed)
        names = [f"service_{number}" for number in range(40)]
        # Most call what comes later; some call back, so that there are circles.
        servers = [
            server(
                name,
                *(f"{caller}-host" for caller in dice.sample(names[: index + 1], min(index, 3))),
                *(f"{caller}-host" for caller in dice.sample(names, 1) if dice.random() < 0.2),
            )
            for index, name in enumerate(names)
        ]
        drawing = drawn(service_map(servers))
        assert len(drawing.boxes) == 40
        assert any(curve.is_backward for curve in drawing.curves)
        assert hits_of(drawing) == set()
        corners = [(box.x, box.y, box.x + box.width, box.y + box.height) for box in drawing.boxes]
        for number, (left, top, right, bottom) in enumerate(corners):
            assert 0 < left < right < drawing.width
            assert 0 < top < bottom < drawing.height
            for x, y, to_x, to_y in corners[:number]:
                assert right <= x or to_x <= left or bottom <= y or to_y <= top


def test_the_check_finds_a_line_behind_a_box() -> None:
    servers = [server("a", "web"), server("b", "web", "a-host")]
    drawing = drawn(service_map(servers))
    boxes = {box.node.name: box for box in drawing.boxes}
    assert boxes["web"].x < boxes["a"].x < boxes["b"].x
    (line,) = (it for it in drawing.curves if (it.edge.caller, it.edge.service) == ("web", "b"))
    level = f"M{boxes['web'].x + boxes['web'].width},{boxes['a'].y + 5} H{boxes['b'].x}"
    drawing.curves[:] = [structs.replace(line, path=level)]
    assert hits_of(drawing) == {("web", "b", "a")}


def test_what_has_no_lines_stands_below_and_long_names_are_cut() -> None:
    drawing = drawn(service_map([server("orders", "web"), server("a_" * 40), server("alone")]))
    boxes = {box.node.name: box for box in drawing.boxes}
    assert boxes["orders"].y + boxes["orders"].height < drawing.alone_at < boxes["alone"].y
    assert boxes["alone"].y == boxes["a_" * 40].y
    assert boxes["a_" * 40].label.endswith("…")
    assert drawn(service_map([server("orders", "web")])).alone_at == 0


def test_a_map_that_is_too_large_has_the_busiest_and_says_how_many_are_not_there() -> None:
    servers = [server(f"service_{number}", "web") for number in range(130)]
    lately = [*servers[:-1], structs.replace(servers[-1], uptime=1.0)]
    drawing = drawn(service_map(servers, lately))
    assert (len(drawing.boxes), drawing.left_out) == (120, 11)
    assert "service_129" in {box.node.name for box in drawing.boxes}


def test_what_is_around_a_node() -> None:
    found = service_map([server("orders", "web"), server("stock", "night"), server("far", "far2")])
    assert {box.node.name for box in drawn(found, "stock").boxes} == {"night", "stock"}
    assert len(drawn(found, "nobody").boxes) == len(found.nodes)
    assert drawn(service_map([])).boxes == []
