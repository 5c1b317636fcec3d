"""Draws the map of services: boxes in columns, callers on the left of what they call. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from math import log10
from typing import Final

from msgspec import Struct

from leveret.client.service_map import Edge, Node, ServiceMap

__all__ = ["Box", "Curve", "Drawing", "drawn"]

_WIDTH: Final = 170
_HEIGHT: Final = 46
_ACROSS: Final = 290
_DOWN: Final = 66
_MARGIN: Final = 24
_MOST: Final = 120
"""How many nodes are drawn; the table has all."""
_FAILING: Final = 0.05
"""The share of failed calls from which on an edge is red."""


class Box(Struct, frozen=True, kw_only=True):
    """A node."""

    node: Node
    """What it is of."""
    x: int
    """Where it is."""
    y: int
    """Likewise."""


class Curve(Struct, frozen=True, kw_only=True):
    """An edge."""

    edge: Edge
    """What it is of."""
    path: str
    """How it runs: the `d` of an SVG path."""
    width: float
    """How thick it is: the more calls, the thicker."""
    fails: bool
    """Whether more than a few of its calls fail."""


class Drawing(Struct, frozen=True, kw_only=True):
    """The map."""

    boxes: list[Box]
    """Its nodes."""
    curves: list[Curve]
    """Its edges."""
    width: int
    """Of the whole."""
    height: int
    """Likewise."""


def drawn(found: ServiceMap, around: str = "") -> Drawing:
    """Draw a map.

    :param around: a node: then only it is drawn, and what calls it or is called by it.
    """
    names = set(found.nodes)
    if around in names:
        beside = {around}
        for edge in found.edges:
            if around in (edge.caller, edge.service):
                beside |= {edge.caller, edge.service}
        names = beside
    names = set(sorted(names)[:_MOST])
    edges = [edge for edge in found.edges if edge.caller in names and edge.service in names]
    columns: dict[int, list[str]] = defaultdict(list)
    for name, column in _columns(sorted(names), edges).items():
        columns[column].append(name)
    most = max((len(column) for column in columns.values()), default=0)
    places = {
        name: (
            _MARGIN + index * _ACROSS,
            _MARGIN + row * _DOWN + (most - len(columns[column])) * _DOWN // 2,
        )
        for index, column in enumerate(sorted(columns))
        for row, name in enumerate(columns[column])
    }
    return Drawing(
        boxes=[Box(node=found.nodes[name], x=x, y=y) for name, (x, y) in places.items()],
        curves=[_curve(edge, places) for edge in edges],
        width=2 * _MARGIN + _WIDTH + max(len(columns) - 1, 0) * _ACROSS,
        height=2 * _MARGIN + _HEIGHT + max(most - 1, 0) * _DOWN,
    )


def _columns(names: Iterable[str], edges: Iterable[Edge]) -> Mapping[str, int]:
    """In which column each node is: behind all its callers, as far as they call in no circle."""
    found = dict.fromkeys(names, 0)
    pairs = [(edge.caller, edge.service) for edge in edges if edge.caller != edge.service]
    for _ in range(min(len(found), 12)):
        moved = False
        for caller, service in pairs:
            if found[service] <= found[caller] < len(found):
                found[service] = found[caller] + 1
                moved = True
        if not moved:
            break
    return found


def _curve(edge: Edge, places: Mapping[str, tuple[int, int]]) -> Curve:
    (from_x, from_y), (to_x, to_y) = places[edge.caller], places[edge.service]
    begin_x, begin_y, end_x, end_y = (
        *(from_x + _WIDTH, from_y + _HEIGHT // 2),
        *(to_x, to_y + _HEIGHT // 2),
    )
    bend = max(abs(end_x - begin_x) // 2, 60)
    path = (
        f"M{begin_x},{begin_y} C{begin_x + bend},{begin_y} {end_x - bend},{end_y} {end_x},{end_y}"
    )
    traffic = edge.traffic
    rate = traffic.per_second or 0.0
    share = traffic.failed / traffic.handled if traffic.handled else 0.0
    if rate:
        share = (traffic.failed_per_second or 0.0) / rate
    return Curve(
        edge=edge,
        path=path,
        width=round(min(1.5 + 1.5 * log10(1 + rate), 7.0), 1),
        fails=share >= _FAILING,
    )
