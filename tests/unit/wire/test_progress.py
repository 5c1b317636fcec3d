"""What a handler may report, and the body of the message that tells of it."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest

from leveret.contract import Progress
from leveret.wire.progress import LONGEST_TEXT, decode_progress, encode_progress, progress_of


@pytest.mark.parametrize(
    ("given", "reported"),
    [
        (None, None),
        (0, 0.0),
        (1, 1.0),
        (True, 1.0),
        (Fraction(1, 4), 0.25),
        (sum([0.1] * 3) / 0.3, 1.0),  # 1.0000000000000002
        (-1e-17, 0.0),
    ],
)
def test_a_fraction_is_from_0_to_1(given: Any, reported: float | None) -> None:
    assert progress_of(given, "x") == Progress(fraction=reported, text="x")


@pytest.mark.parametrize("given", [-0.1, 1.1, float("nan"), float("inf"), 50, 10**400])
def test_another_number_is_refused(given: float) -> None:
    with pytest.raises(ValueError, match="from 0 to 1"):
        progress_of(given, "")


@pytest.mark.parametrize(("fraction", "text"), [("0.5", ""), (b"1", ""), ([], ""), (0.5, None)])
def test_what_is_no_number_or_no_text_is_refused(fraction: Any, text: Any) -> None:
    with pytest.raises(TypeError):
        progress_of(fraction, text)


def test_a_long_text_is_cut() -> None:
    text = progress_of(None, "x" * 5000).text
    assert len(text) == LONGEST_TEXT
    assert text.endswith("(cut; it has 5000 characters)")


def test_what_is_reported_arrives() -> None:
    told = Progress(fraction=0.4, text="page 4")
    assert encode_progress(told) == b'{"fraction":0.4,"text":"page 4"}'
    assert decode_progress(encode_progress(told)) == told
    assert decode_progress(encode_progress(Progress())) == Progress()


def test_a_text_with_surrogates_is_reported_in_a_form_that_travels() -> None:
    assert progress_of(None, "page \u00e9\ud800") == Progress(text="page \u00e9?")


@pytest.mark.parametrize(
    "body",
    [b"", b"\xff", b"7", b'{"fraction":2}', b'{"fraction":"x"}', b'{"text":7}', b"[" * 100_000],
)
def test_a_body_that_tells_nothing_is_a_sign_of_life(body: bytes) -> None:
    assert decode_progress(body) is None


def test_what_is_not_known_is_ignored() -> None:
    assert decode_progress(b'{"fraction":null,"eta":7}') == Progress()
