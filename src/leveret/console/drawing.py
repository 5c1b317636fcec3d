"""How figures are written and drawn: durations, shares, sparklines. Pure.

Drawings are SVG with attributes only, as the console's pages allow no styles inside of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

__all__ = [
    "age",
    "count",
    "moment",
    "percent",
    "rate",
    "seconds",
    "size",
    "spark",
]

NOTHING: Final = "–"
"""What is written where there is no figure."""
_UNITS: Final = (("d", 86_400.0), ("h", 3_600.0), ("min", 60.0), ("s", 1.0))


def seconds(value: float | None) -> str:
    """A duration, as "1.5 ms"."""
    if value is None:
        return NOTHING
    if value < 0.001:
        return f"{value * 1e6:.0f} µs"
    if value < 1:
        return f"{_three(value * 1e3)} ms"
    if value < 120:
        return f"{_three(value)} s"
    return age(value)


def age(value: float | None) -> str:
    """A longer duration in two units, as "2 h 5 min"."""
    if value is None:
        return NOTHING
    for index, (unit, length) in enumerate(_UNITS):
        if value >= length:
            whole, rest = divmod(value, length)
            text = f"{whole:.0f} {unit}"
            if index + 1 < len(_UNITS):
                smaller, its = _UNITS[index + 1]
                text += f" {rest // its:.0f} {smaller}" if rest >= its else ""
            return text
    return f"{max(value, 0):.1f} s"


def rate(value: float) -> str:
    """Calls per second."""
    if not value:
        return "0"
    return f"{value:.2f}" if value < 1 else _three(value)


def percent(share: float) -> str:
    """A share, as "2.5 %"."""
    if not share:
        return "0 %"
    return "< 0.1 %" if share < 0.001 else f"{_three(share * 100)} %"


def count(value: int) -> str:
    """A count, with thin spaces between thousands."""
    return f"{value:,}".replace(",", "\u202f")


def size(value: float) -> str:
    """Bytes, as "1.5 MB"."""
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1_000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{_three(value)} {unit}"
        value /= 1_000
    return f"{_three(value)} TB"


def moment(value: float) -> str:
    """A moment in UTC, as "2026-11-27 11:42:36"; "" where there is none."""
    try:
        return datetime.fromtimestamp(value, UTC).strftime("%Y-%m-%d %H:%M:%S") if value else ""
    except (OverflowError, ValueError, OSError):
        return "?"


def spark(values: Sequence[float], width: int = 96, height: int = 22) -> str:
    """The points of a line through values, the largest at the top."""
    if len(values) < 2:
        return ""
    top = max(values) or 1.0
    step = width / (len(values) - 1)
    return " ".join(
        f"{index * step:.1f},{height - 1 - value / top * (height - 2):.1f}"
        for index, value in enumerate(values)
    )


def _three(value: float) -> str:
    """Three digits that count."""
    if value >= 100:
        return f"{value:,.0f}".replace(",", "\u202f")
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}".rstrip("0").rstrip(".")
