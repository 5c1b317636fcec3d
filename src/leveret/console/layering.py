"""Where the boxes and the lines of a layered graph go, from left to right. Pure.

The steps are those of Sugiyama, Tagawa and Toda ("Methods for Visual Understanding of Hierarchical
System Structures", 1981). Pairs that would close a circle run from the right to the left. Each node
has a column behind all that lead to it. A line that passes a column has a lane there, between the
boxes. Each column gets the order with the fewest crossings that some sweeps find, and its boxes and
lanes the heights at which lines are as level as they can be. So a line runs between two columns or
in a lane, and never behind a box.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from graphlib import TopologicalSorter
from itertools import pairwise
from typing import Final

from msgspec import Struct

from leveret.console.columns import Item, Lane, in_order, middles_of

__all__ = ["Layout", "layered"]

_KEPT: Final = 32
"""How many layouts are kept: pages ask for the same one again and again."""


class Layout(Struct, frozen=True, kw_only=True):
    """Where everything goes."""

    columns: Sequence[Sequence[str]]
    """The nodes of each column, from the top."""
    middles: Mapping[Item, float]
    """How far below 0 the middle of each node and lane is."""
    ways: Mapping[tuple[str, str], Sequence[Item]]
    """By pair, what its line passes from the left to the right: a node, lanes, and a node."""
    backward: frozenset[tuple[str, str]]
    """The pairs of which the first node is on the right."""


@lru_cache(maxsize=_KEPT)
def layered(
    names: tuple[str, ...], pairs: tuple[tuple[str, str], ...], heights: tuple[int, int, int]
) -> Layout:
    """Lay out a graph.

    :param names: its nodes.
    :param pairs: which node leads to which; none to itself.
    :param heights: of a node, of a lane, and of what is free between two of them.
    """
    backward = _closing(names, pairs)
    forward = [(b, a) if (a, b) in backward else (a, b) for a, b in pairs]
    column = _columns(names, forward)
    ways: dict[tuple[str, str], list[Item]] = {}
    for pair, (left, right) in zip(pairs, forward, strict=True):
        lanes = [
            Lane(to=pair[1], is_backward=pair in backward, column=number)
            for number in range(column[left] + 1, column[right])
        ]
        ways[pair] = [left, *lanes, right]
    columns: list[list[Item]] = [[] for _ in range(max(column.values(), default=-1) + 1)]
    for name in names:
        columns[column[name]].append(name)
    for lane in dict.fromkeys(it for way in ways.values() for it in way if isinstance(it, Lane)):
        columns[lane.column].append(lane)
    links = list(dict.fromkeys(link for way in ways.values() for link in pairwise(way)))
    columns = in_order(columns, links)
    return Layout(
        columns=[[item for item in items if isinstance(item, str)] for items in columns],
        middles=middles_of(columns, links, heights),
        ways=ways,
        backward=backward,
    )


def _closing(names: Iterable[str], pairs: Sequence[tuple[str, str]]) -> frozenset[tuple[str, str]]:
    """The pairs that close a circle, for somebody who walks from nodes to which nobody leads."""
    leads: dict[str, list[str]] = defaultdict(list)
    for a, b in pairs:
        leads[a].append(b)
    led_to = {b for _, b in pairs}
    found: set[tuple[str, str]] = set()
    done: set[str] = set()
    for first in sorted(names, key=lambda name: (name in led_to, name)):
        if first in done:
            continue
        path = {first: iter(leads[first])}
        while path:
            here = next(reversed(path))
            following = next(path[here], None)
            if following is None:
                del path[here]
                done.add(here)
            elif following in path:
                found.add((here, following))
            elif following not in done:
                path[following] = iter(leads[following])
    return frozenset(found)


def _columns(names: Sequence[str], pairs: Iterable[tuple[str, str]]) -> dict[str, int]:
    """The column of each node: behind all that lead to it, and near to what it leads to."""
    before: dict[str, set[str]] = {name: set() for name in names}
    after: dict[str, set[str]] = {name: set() for name in names}
    for a, b in pairs:
        before[b].add(a)
        after[a].add(b)
    order = list(TopologicalSorter(before).static_order())
    column: dict[str, int] = {}
    for name in order:
        column[name] = max((column[it] + 1 for it in before[name]), default=0)
    for name in reversed(order):
        if after[name] and len(after[name]) >= len(before[name]):
            column[name] = min(column[it] for it in after[name]) - 1
    return column
