"""Values of described types are plain, and others stay what they are."""

from __future__ import annotations

from datetime import date
from typing import Any

import msgspec
from msgspec import Struct

from leveret.codec import as_plain


class Point(Struct, array_like=True):
    x: int
    y: float = 0.5


class Line(Struct, rename="kebab", tag="line"):
    of_points: list[Point]
    drawn: date
    missing: int | msgspec.UnsetType = msgspec.UNSET


def test_objects_are_dicts_and_dates_and_bytes_are_what_they_are() -> None:
    value = {"a": [Line([Point(1)], date(2026, 1, 2))], "b": b"c"}
    drawn = {"type": "line", "of-points": [[1, 0.5]], "drawn": date(2026, 1, 2)}
    assert as_plain(value) == {"a": [drawn], "b": b"c"}


def test_values_that_are_not_pythons_own_stay_what_they_are() -> None:
    class Mixed(Struct, tag="m"):
        items: list[Any]
        points: tuple[Point, ...]
        missing: int | msgspec.UnsetType = msgspec.UNSET

    other = object()
    value = Mixed([{"a": other}, b"b"], (Point(1),))
    assert as_plain(value) == {
        "type": "m",
        "items": [{"a": other}, b"b"],
        "points": ([1, 0.5],),
    }
