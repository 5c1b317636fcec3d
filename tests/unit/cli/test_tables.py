"""Tables of plain text, and figures as people read them."""

from __future__ import annotations

import pytest

from leveret.cli.tables import amount, duration, rate, shortened, size, table, when


def test_texts_stand_at_the_left_and_numbers_at_the_right() -> None:
    assert table(("NAME", ">CALLS", "MORE"), [("shop", "7", ""), ("a", "12345", "x\ny")]) == [
        "NAME  CALLS  MORE",
        "shop      7",
        "a     12345  x\\ny",
    ]


def test_a_table_without_rows_has_its_heads() -> None:
    assert table(("A", ">B"), []) == ["A  B"]


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0"),
        (-1, "0"),
        (1e-9, "<1 us"),
        (0.000_83, "830 us"),
        (0.012_5, "12.5 ms"),
        (0.5, "500 ms"),
        (3.2, "3.2 s"),
        (59.9, "59.9 s"),
        (250, "4 min 10 s"),
        (3 * 3600 + 125, "3 h 2 min"),
        (2 * 86_400 + 3 * 3600 + 59, "2 d 3 h"),
    ],
)
def test_durations_have_a_unit(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown


def test_bytes_counts_and_rates_are_short() -> None:
    assert [size(count) for count in (0, 812, 1500, 20_000_000, 10**19)] == [
        "0 B",
        "812 B",
        "1.5 kB",
        "20 MB",
        "10000 PB",
    ]
    assert [amount(count) for count in (0, 99_999, 123_456, 4_500_000)] == [
        "0",
        "99999",
        "123k",
        "4.5M",
    ]
    assert [rate(per_second) for per_second in (None, 0.0, 0.25, 12.34, 1234.5)] == [
        "",
        "0",
        "0.25",
        "12.3",
        "1234",
    ]


def test_many_names_are_shortened() -> None:
    assert shortened("abc") == "a, b, c"
    assert shortened("abcde") == "a, b, c, +2"
    assert shortened("") == ""


def test_moments_are_in_utc_and_those_that_are_none_are_no_error() -> None:
    assert when(1795782692.75) == "2026-11-27T12:31:32Z"
    assert when(1e300) == when(float("nan")) == "?"
