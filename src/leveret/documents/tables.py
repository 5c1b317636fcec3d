"""Tables for people, without the columns that are empty."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

__all__ = ["filled"]


def filled(head: Sequence[str], rows: Iterable[Sequence[str]]) -> tuple[list[str], list[list[str]]]:
    """A table without the columns in which no row has anything; nothing of one without rows."""
    table = list(rows)
    kept = [at for at in range(len(head)) if any(row[at] for row in table)]
    return [head[at] for at in kept], [[row[at] for at in kept] for row in table]
