"""Who calls a method, and how often: bounded, as anybody can call in any name. Pure."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

MOST: Final = 100
"""How many callers are told apart. A name is often "host:pid", and there is always a next pid."""
OTHERS: Final = "_others"
"""Whom those are counted as who have not called for longest."""


class CallerCounts(Struct, eq=False, kw_only=True):
    """The calls of one caller."""

    handled: int = 0
    """How many ended."""
    failed: int = 0
    """How many of those ended with an error, whatever its code."""
    last: float = 0.0
    """When the last one ended, by the clock of who counts."""


class Callers:
    """The callers of one method, by the names that they give themselves."""

    __slots__ = ("by_name",)

    def __init__(self) -> None:
        self.by_name: dict[str, CallerCounts] = {}

    def new(self, name: str) -> CallerCounts:
        """The counts of a caller that has none yet. Where there are many, half of them merge."""
        if len(self.by_name) >= MOST:
            self._merge()
        counts = self.by_name[name] = CallerCounts()
        return counts

    def _merge(self) -> None:
        """Count those as `OTHERS` who have not called for longest."""
        others = self.by_name.pop(OTHERS, None) or CallerCounts()
        oldest = sorted(self.by_name, key=lambda name: self.by_name[name].last)
        for name in oldest[: len(oldest) // 2]:
            counts = self.by_name.pop(name)
            others.handled += counts.handled
            others.failed += counts.failed
            others.last = max(others.last, counts.last)
        self.by_name[OTHERS] = others
