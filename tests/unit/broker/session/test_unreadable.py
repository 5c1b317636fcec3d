from __future__ import annotations

import pytest

from leveret.broker.session.unreadable import frame_error, octets, undecodable, unexpected


@pytest.mark.parametrize(
    ("data", "shown"),
    [(b"", "<<>>"), (b"ab", '<<"ab">>'), (b"a\0", "<<97,0>>"), (bytes(200), f"<<{'0,' * 127}0>>")],
)
def test_bytes_are_shown_as_erlang_shows_them(data: bytes, shown: str) -> None:
    assert octets(data) == shown


def test_a_complaint_names_its_code_and_blames_the_method() -> None:
    error = undecodable(50 << 16 | 10, b"x")
    assert error.reply_text == 'FRAME_ERROR - cannot decode <<"x">>'
    assert (error.reply_code, error.blamed) == (501, (50, 10))
    assert unexpected("so").blamed == frame_error(1, "so").blamed == (0, 0)
    assert unexpected("so").reply_code == 505
