"""Prints records as a table of plain text, and durations, counts and bytes as people read them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Final

from leveret.cli.printing import one_line

__all__ = ["amount", "duration", "rate", "shortened", "size", "table", "when"]

_UNITS: Final = ((1.0, "s"), (1e-3, "ms"), (1e-6, "us"))
_LONG: Final = ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "min"), (60, "min", 1, "s"))


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """The lines of a table. A head that begins with ">" is above numbers, which end flush.

    Line breaks and control characters are escaped: the texts may come from anywhere.
    """
    right = [head.startswith(">") for head in heads]
    lines = [[head.removeprefix(">") for head in heads]]
    lines += [[one_line(cell) for cell in row] for row in rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(heads))]
    return [
        "  ".join(
            cell.rjust(width) if is_right else cell.ljust(width)
            for cell, width, is_right in zip(line, widths, right, strict=True)
        ).rstrip()
        for line in lines
    ]


def duration(seconds: float) -> str:
    """Seconds with a unit: "830 us", "12.5 ms", "3.2 s", "4 min 10 s", "2 d 3 h"."""
    if seconds <= 0:
        return "0"
    for at_least, unit, smaller, smaller_unit in _LONG:
        if seconds >= at_least:
            whole, rest = divmod(int(seconds), at_least)
            return f"{whole} {unit} {rest // smaller} {smaller_unit}"
    for scale, unit in _UNITS:
        if seconds >= scale:
            return f"{_three_digits(seconds / scale)} {unit}"
    return "<1 us"


def size(count: float) -> str:
    """Bytes with a unit, of 1000 each: "812 B", "1.5 MB"."""
    return _scaled(count, ("B", "kB", "MB", "GB", "TB", "PB"), " ")


def amount(count: float) -> str:
    """A count: whole up to 99999, then "123k", "4.5M"."""
    return str(int(count)) if count < 100_000 else _scaled(count, ("", "k", "M", "G", "T"), "")


def rate(per_second: float | None) -> str:
    """How often in a second; "" if unknown."""
    if per_second is None:
        return ""
    return "0" if per_second == 0 else _three_digits(per_second)


def when(seconds: float) -> str:
    """A moment in seconds since 1970, in UTC: "2026-11-27T12:31:32Z"; "?" if it is none."""
    try:
        moment = datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, ValueError, OSError):
        return "?"
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")


def shortened(names: Iterable[str], most: int = 3) -> str:
    """Names in their order, and how many more there are."""
    all_names = list(names)
    shown = ", ".join(all_names[:most])
    more = len(all_names) - most
    return f"{shown}, +{more}" if more > 0 else shown


def _scaled(count: float, units: Sequence[str], space: str) -> str:
    last = len(units) - 1
    for number, unit in enumerate(units):
        if count < 1000 or number == last:
            text = str(int(count)) if number == 0 else _three_digits(count)
            return f"{text}{space}{unit}"
        count /= 1000
    raise AssertionError("there is a last unit")


def _three_digits(number: float) -> str:
    if number >= 100:
        return f"{number:.0f}"
    text = f"{number:.1f}" if number >= 10 else f"{number:.2f}"
    return text.rstrip("0").rstrip(".")
