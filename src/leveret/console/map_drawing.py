"""Draws the map of services: boxes in columns, callers on the left of what they call. Pure.

No line runs behind a box: between two columns it bends, and through a column it goes level, in a
lane (`layering.py`). Where services call each other in a circle, one of the lines runs back to the
left. What calls nobody and is called by nobody stands below all that.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Final

from msgspec import Struct

from leveret.client.service_map import Edge, Node, ServiceMap
from leveret.console.columns import Item, Lane
from leveret.console.layering import Layout, layered
from leveret.console.map_lines import HEIGHT, Box, Curve, backward, fails, forward, loop

__all__ = ["Drawing", "drawn"]

_LANE: Final = 10
_FREE: Final = 14
"""Between two boxes, and between a box and a lane."""
_LEAST_WIDTH: Final = 148
_MOST_WIDTH: Final = 260
_LETTER: Final = 8.6
"""The width of a letter of a name, on average, in the widest of usual fonts."""
_PADDING: Final = 12
_LEAST_ACROSS: Final = 64
_MOST_ACROSS: Final = 120
"""Between two columns: the more lines, the wider."""
_MARGIN: Final = 24
_CAPTION: Final = 30
_LEAST_ROW: Final = 900
"""How wide a row of boxes without lines is, at least."""
_MOST: Final = 120
"""How many nodes are drawn: those with the most calls. The table has all."""


class Drawing(Struct, frozen=True, kw_only=True):
    """The map."""

    boxes: list[Box]
    """Its nodes."""
    curves: list[Curve]
    """Its edges; the red ones last, so that they are on top."""
    width: int
    """Of the whole."""
    height: int
    """Likewise."""
    alone_at: int
    """Where the text is above what stands alone; 0 if nothing does."""
    left_out: int
    """How many nodes are not drawn, as there are too many."""


def drawn(found: ServiceMap, around: str = "") -> Drawing:
    """Draw a map.

    :param around: a node: then only it is drawn, and what calls it or is called by it.
    """
    all_names = _around(found, around) if around in found.nodes else set(found.nodes)

    def rank(name: str) -> tuple[bool, float, str]:
        return name != around, -(found.nodes[name].traffic.per_second or 0.0), name

    names = set(sorted(all_names, key=rank)[:_MOST])
    edges = [edge for edge in found.edges if edge.caller in names and edge.service in names]
    linked = {name for edge in edges for name in (edge.caller, edge.service)}
    places, curves, right, bottom = _linked(found, sorted(linked), edges)
    alone = sorted(names - linked)
    alone_at = 0
    if alone:
        alone_at = bottom + _CAPTION // 2 if linked else _CAPTION // 2
        rows = _in_rows(found, alone, max(right, _LEAST_ROW), alone_at + _CAPTION // 2)
        places |= rows
        right = max(right, *(box.x + box.width for box in rows.values()))
        bottom = max(box.y + box.height for box in rows.values())
    return Drawing(
        boxes=list(places.values()),
        curves=sorted(curves, key=lambda curve: curve.fails),
        width=right + _MARGIN,
        height=bottom + _MARGIN,
        alone_at=alone_at,
        left_out=len(all_names) - len(names),
    )


def _around(found: ServiceMap, around: str) -> set[str]:
    names = {around}
    for edge in found.edges:
        if around in (edge.caller, edge.service):
            names |= {edge.caller, edge.service}
    return names


def _linked(
    found: ServiceMap, names: Sequence[str], edges: Sequence[Edge]
) -> tuple[dict[str, Box], list[Curve], int, int]:
    """The boxes with lines, the lines, and where both end on the right and below."""
    pairs = tuple((it.caller, it.service) for it in edges if it.caller != it.service)
    layout = layered(tuple(names), pairs, (HEIGHT, _LANE, _FREE))
    lefts, widths = _across(layout)
    right = lefts[-1] + widths[-1] if lefts else 0
    bottom = _MARGIN + round(max(layout.middles.values(), default=0) + HEIGHT / 2)
    boxes = {
        name: _box(
            found.nodes[name],
            x=lefts[index],
            y=_MARGIN + round(layout.middles[name] - HEIGHT / 2),
            width=widths[index],
        )
        for index, column in enumerate(layout.columns)
        for name in column
    }

    def curve(edge: Edge) -> Curve:
        pair = (edge.caller, edge.service)
        if edge.caller == edge.service:
            return loop(edge, boxes[edge.caller])
        lanes = [
            (lefts[it.column], widths[it.column], _MARGIN + round(layout.middles[it]))
            for it in layout.ways[pair]
            if isinstance(it, Lane)
        ]
        if pair in layout.backward:
            return backward(edge, boxes[edge.service], boxes[edge.caller], lanes)
        return forward(edge, boxes[edge.caller], boxes[edge.service], lanes)

    return boxes, [curve(edge) for edge in edges], right, bottom


def _across(layout: Layout) -> tuple[list[int], list[int]]:
    """Where the columns begin, and how wide they are."""
    column_of = {name: index for index, names in enumerate(layout.columns) for name in names}
    bends = {link for way in layout.ways.values() for link in pairwise(way)}
    lines = Counter(_column(left, column_of) for left, _ in bends)
    lefts, widths, at = [], [], _MARGIN
    for index, names in enumerate(layout.columns):
        lefts.append(at)
        widths.append(max((_width(name) for name in names), default=0))
        at += widths[-1] + min(_LEAST_ACROSS + 2 * lines[index], _MOST_ACROSS)
    return lefts, widths


def _column(item: Item, column_of: Mapping[str, int]) -> int:
    return item.column if isinstance(item, Lane) else column_of[item]


def _in_rows(found: ServiceMap, names: Iterable[str], right: int, top: int) -> dict[str, Box]:
    """Boxes without lines, in rows from the left to the right."""
    boxes: dict[str, Box] = {}
    x, y = _MARGIN, top
    for name in names:
        width = _width(name)
        if x > _MARGIN and x + width > right:
            x, y = _MARGIN, y + HEIGHT + _FREE
        boxes[name] = _box(found.nodes[name], x=x, y=y, width=width)
        x += width + _FREE
    return boxes


def _width(name: str) -> int:
    return round(min(max(len(name) * _LETTER + 2 * _PADDING, _LEAST_WIDTH), _MOST_WIDTH))


def _box(node: Node, *, x: int, y: int, width: int) -> Box:
    most = int((width - 2 * _PADDING) / _LETTER)
    label = node.name if len(node.name) <= most else node.name[: most - 1] + "…"
    return Box(node=node, x=x, y=y, width=width, label=label, fails=fails(node.traffic))
