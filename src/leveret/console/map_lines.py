"""The boxes and the lines of the map, once it is known where they are. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from math import log10
from typing import Final, TypeAlias

from msgspec import Struct

from leveret.client.service_map import Edge, Node, Traffic

__all__ = ["HEIGHT", "Box", "Curve", "Lying", "backward", "fails", "forward", "loop"]

HEIGHT: Final = 46
"""How high a box is."""
_ARROW: Final = 7
_LOW: Final = HEIGHT - 9
"""Where lines to the left are at a box: below those to the right."""
_FAILING: Final = 0.05
"""The share of failed calls from which on a line or a box is red."""

Lying: TypeAlias = tuple[int, int, int]
"""A lane: where it begins, how wide it is, and its height."""


class Box(Struct, frozen=True, kw_only=True):
    """A node."""

    node: Node
    """What it is of."""
    x: int
    """Where its left edge is."""
    y: int
    """Where its upper edge is."""
    width: int
    """How wide it is."""
    height: int = HEIGHT
    """How high it is."""
    label: str
    """The node's name, cut where it does not fit."""
    fails: bool
    """Whether more than a few of the calls to it fail."""


class Curve(Struct, frozen=True, kw_only=True):
    """An edge."""

    edge: Edge
    """What it is of."""
    path: str
    """How it runs: the `d` of an SVG path."""
    arrow: str
    """The points of its head."""
    width: float
    """How thick it is: the more calls, the thicker."""
    fails: bool
    """Whether more than a few of its calls fail."""
    is_backward: bool
    """Whether it runs to the left, as part of a circle."""


def forward(edge: Edge, caller: Box, service: Box, lanes: Iterable[Lying]) -> Curve:
    """A line from the right of its caller to the left of its service."""
    x, y = caller.x + caller.width, caller.y + HEIGHT // 2
    path = f"M{x},{y}"
    for left, width, middle in lanes:
        path += _bend(x, y, left, middle) + f" H{left + width}"
        x, y = left + width, middle
    end_x, end_y = service.x, service.y + HEIGHT // 2
    path += _bend(x, y, end_x - _ARROW, end_y)
    return _curve(edge, path, _head(end_x, end_y, -_ARROW))


def backward(edge: Edge, service: Box, caller: Box, lanes: Iterable[Lying]) -> Curve:
    """A line from the left of its caller to the right of its service, below the others."""
    x, y = service.x + service.width, service.y + _LOW
    head = _head(x, y, _ARROW)
    x += _ARROW
    path = f"M{x},{y}"
    for left, width, middle in lanes:
        path += _bend(x, y, left, middle) + f" H{left + width}"
        x, y = left + width, middle
    path += _bend(x, y, caller.x, caller.y + _LOW)
    return _curve(edge, path, head, is_backward=True)


def loop(edge: Edge, box: Box) -> Curve:
    """A line from a service to itself."""
    x, top, low = box.x + box.width, box.y + 9, box.y + _LOW
    path = f"M{x},{top} C{x + 30},{top} {x + 30},{low} {x + _ARROW},{low}"
    return _curve(edge, path, _head(x, low, _ARROW), is_backward=True)


def _bend(x: int, y: int, to_x: int, to_y: int) -> str:
    """A curve that is level at both ends, and stays between them."""
    middle = (x + to_x) // 2
    return f" C{middle},{y} {middle},{to_y} {to_x},{to_y}"


def _head(x: int, y: int, length: int) -> str:
    return f"{x},{y} {x + length},{y - 5} {x + length},{y + 5}"


def _curve(edge: Edge, path: str, arrow: str, *, is_backward: bool = False) -> Curve:
    rate = edge.traffic.per_second or 0.0
    return Curve(
        edge=edge,
        path=path,
        arrow=arrow,
        width=round(min(1.2 + 1.3 * log10(1 + rate), 6.0), 1),
        fails=fails(edge.traffic),
        is_backward=is_backward,
    )


def fails(traffic: Traffic) -> bool:
    """Whether more than a few calls fail: lately, or ever where there were none lately."""
    if traffic.per_second:
        return (traffic.failed_per_second or 0.0) / traffic.per_second >= _FAILING
    return bool(traffic.handled) and traffic.failed / traffic.handled >= _FAILING
