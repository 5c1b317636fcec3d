"""The order and the heights of what stands in the columns of a layered graph. Pure.

Orders are improved by barycenters: what is linked to something in the next column goes to the mean
place of that. For heights, each item wants to be as high as the mean of what it is linked to; where
items want the same place, they share the difference (pool adjacent violators, the exact answer for
the least squares of one column).
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Final, TypeAlias

from msgspec import Struct

__all__ = ["Item", "Lane", "in_order", "middles_of"]

_SWEEPS: Final = 12
"""How often all columns are put into order, by their left and by their right in turn."""
_ROUNDS: Final = 8
"""How often all columns are moved, likewise."""
_STIFF: Final = 8.0
"""How much more it counts that a lane is level than that a node is."""


class Lane(Struct, frozen=True, kw_only=True):
    """A place between the nodes of a column, where lines pass."""

    to: str
    """The node that they lead to: lines to one node share their lanes."""
    is_backward: bool
    """Whether they lead to the left."""
    column: int
    """Which column it is in."""


Item: TypeAlias = str | Lane
"""What stands in a column: a node or a lane."""
Links: TypeAlias = Sequence[tuple[Item, Item]]
"""Pairs of items of neighbouring columns, the left one first."""


def in_order(columns: Sequence[Sequence[Item]], links: Links) -> list[list[Item]]:
    """The columns, each in the order with the fewest crossings that was found."""
    left, right = _neighbours(links)
    now = [list(items) for items in columns]
    best, fewest = now, _crossings(now, right)
    for sweep in range(2 * _SWEEPS):
        beside, order = (right, reversed(range(len(now)))) if sweep % 2 else (left, range(len(now)))
        now = [list(items) for items in now]
        for index in order:
            _sort_column(now, index, beside)
        crossings = _crossings(now, right)
        if crossings < fewest:
            best, fewest = now, crossings
    return best


def middles_of(
    columns: Sequence[Sequence[Item]], links: Links, heights: tuple[int, int, int]
) -> dict[Item, float]:
    """The height of the middle of each item; nothing reaches above 0.

    :param heights: of a node, of a lane, and of what is free between two of them.
    """
    node, lane, free = heights
    half = {item: (node if isinstance(item, str) else lane) / 2 for its in columns for item in its}
    left, right = _neighbours(links)
    found: dict[Item, float] = {}
    for items in columns:
        at = 0.0
        for item in items:
            found[item] = at + half[item]
            at += 2 * half[item] + free
        for item in items:
            found[item] -= at / 2
    for turn in range(2 * _ROUNDS):
        for items in columns if turn % 2 else reversed(columns):
            wanted = [
                _mean([found[it] for it in (*left[item], *right[item])], found[item])
                for item in items
            ]
            apart = [half[a] + half[b] + free for a, b in pairwise(items)]
            weights = [1.0 if isinstance(item, str) else _STIFF for item in items]
            found.update(zip(items, _apart(wanted, apart, weights), strict=True))
    top = min((middle - half[item] for item, middle in found.items()), default=0.0)
    return {item: middle - top for item, middle in found.items()}


def _neighbours(links: Links) -> tuple[Mapping[Item, list[Item]], Mapping[Item, list[Item]]]:
    """What each item is linked to on its left, and on its right."""
    left: dict[Item, list[Item]] = defaultdict(list)
    right: dict[Item, list[Item]] = defaultdict(list)
    for a, b in links:
        left[b].append(a)
        right[a].append(b)
    return left, right


def _sort_column(
    columns: list[list[Item]], index: int, beside: Mapping[Item, Sequence[Item]]
) -> None:
    """Put what has neighbours to their mean place; the others stay where they are."""
    place = {
        item: number / max(len(items) - 1, 1)
        for items in columns[max(index - 1, 0) : index + 2]
        for number, item in enumerate(items)
    }
    columns[index].sort(key=lambda item: _mean([place[it] for it in beside[item]], place[item]))


def _crossings(columns: Sequence[Sequence[Item]], right: Mapping[Item, Sequence[Item]]) -> int:
    """How often links cross."""
    count = 0
    for items, following in pairwise(columns):
        place = {item: number for number, item in enumerate(following)}
        passed: list[int] = []
        for item in items:
            ends = sorted(place[it] for it in right[item])
            count += sum(len(passed) - bisect_right(passed, end) for end in ends)
            for end in ends:
                insort(passed, end)
    return count


def _apart(
    wanted: Sequence[float], apart: Sequence[float], weights: Sequence[float]
) -> list[float]:
    """The places nearest to the wanted ones that are as far apart as they must be."""
    offsets = [0.0]
    for distance in apart:
        offsets.append(offsets[-1] + distance)
    pools: list[tuple[float, float, int]] = []  # the sum of weights, of weighted places, how many
    for place, offset, weight in zip(wanted, offsets, weights, strict=False):
        pool = (weight, weight * (place - offset), 1)
        while pools and pools[-1][1] / pools[-1][0] >= pool[1] / pool[0]:
            last = pools.pop()
            pool = (last[0] + pool[0], last[1] + pool[1], last[2] + pool[2])
        pools.append(pool)
    means = [total / weight for weight, total, size in pools for _ in range(size)]
    return [mean + offset for mean, offset in zip(means, offsets, strict=False)]


def _mean(values: Iterable[float], default: float) -> float:
    its = list(values)
    return sum(its) / len(its) if its else default
