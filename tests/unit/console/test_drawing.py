"""How figures are written and drawn."""

from __future__ import annotations

import pytest

from leveret.console import drawing


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (0.000_25, "250 µs"),
        (0.0015, "1.5 ms"),
        (0.25, "250 ms"),
        (2.0, "2 s"),
        (119.0, "119 s"),
        (7_500.0, "2 h 5 min"),
    ],
)
def test_durations(value: float | None, text: str) -> None:
    assert drawing.seconds(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (0.25, "0.2 s"),
        (59.0, "59 s"),
        (60.0, "1 min"),
        (61.0, "1 min 1 s"),
        (90_000.0, "1 d 1 h"),
    ],
)
def test_ages_have_two_units(value: float | None, text: str) -> None:
    assert drawing.age(value) == text


def test_rates_shares_counts_and_sizes() -> None:
    assert [drawing.rate(it) for it in (0.0, 0.123, 1.5, 23.45, 1234.0)] == [
        *("0", "0.12", "1.5", "23.4"),
        "1\u202f234",
    ]
    assert [drawing.percent(it) for it in (0.0, 0.0001, 0.025, 1.0)] == [
        *("0 %", "< 0.1 %", "2.5 %", "100 %")
    ]
    assert drawing.count(1234567) == "1\u202f234\u202f567"
    assert [drawing.size(it) for it in (0, 1_500, 2_000_000, 3e12)] == [
        *("0 B", "1.5 kB", "2 MB", "3 TB")
    ]


def test_moments_are_utc_and_never_an_error() -> None:
    assert drawing.moment(1_795_779_330.25) == "2026-11-27 11:35:30"
    assert drawing.moment(0.0) == ""
    assert drawing.moment(1e300) == "?"


def test_a_sparkline_goes_from_edge_to_edge() -> None:
    assert drawing.spark((1.0,)) == ""
    assert drawing.spark((0.0, 2.0, 1.0), width=10, height=12) == "0.0,11.0 5.0,1.0 10.0,6.0"
    assert drawing.spark((0.0, 0.0), width=10, height=12) == "0.0,11.0 10.0,11.0"
