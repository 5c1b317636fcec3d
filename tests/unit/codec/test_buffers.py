"""The layout of bodies with buffers beside their MessagePack."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leveret.body_parts import BodyParts
from leveret.codec.buffers import MOST_BUFFERS, laid_out, taken_apart

BODY = bytes(laid_out(b"packed", [[b"one"], [b"t", b"", memoryview(b"wo")]]))


@given(st.binary(max_size=100), st.lists(st.lists(st.binary(max_size=200), max_size=3), max_size=5))
def test_what_is_laid_out_is_found_again(packed: bytes, buffers: list[list[bytes]]) -> None:
    body = bytes(laid_out(packed, buffers))
    found, views = taken_apart(body)
    assert bytes(found) == packed
    assert [bytes(view) for view in views] == [b"".join(parts) for parts in buffers]


def test_the_layout_is_that_of_the_protocol() -> None:
    assert BODY[:16] == b"LVB1" + struct.pack("<IQ", 2, 6)
    assert BODY[16:38] == struct.pack("<QQ", 3, 3) + b"packed"
    assert BODY[38:64] == bytes(26)
    assert BODY[64:] == b"one" + bytes(61) + b"two"


def test_a_large_buffer_is_not_copied_either_way() -> None:
    data = bytearray(100_000)
    body = laid_out(b"", [[memoryview(data)]])
    assert isinstance(body, BodyParts)
    data[0] = 7
    whole = bytes(body)
    (view,) = taken_apart(whole)[1]
    assert view.obj is whole
    assert view[0] == 7
    assert view.readonly


def test_more_buffers_than_the_protocol_has_are_refused() -> None:
    with pytest.raises(ValueError, match="at most 65,535 arrays and tables, not 65,536"):
        laid_out(b"", [[]] * (MOST_BUFFERS + 1))


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "does not begin as one of application/vnd.leveret.buffers does"),
        (b'{"n":30}', "does not begin"),
        (b"LVB2" + BODY[4:], "does not begin"),
        (b"LVB1", "does not begin"),
        (BODY[:-1], "has 130 bytes, and 131 by its own account"),
        (BODY + b"x", "has 132 bytes, and 131"),
        (BODY[:4] + b"\x03" + BODY[5:], "by its own account"),
        (BODY[:4] + b"\xff\xff\xff\xff" + BODY[8:], "131 bytes cannot have 4294967295 buffers"),
        (BODY[:4] + b"\x0f" + BODY[5:], "131 bytes cannot have 15 buffers"),
        (BODY[:8] + b"\xff" * 8 + BODY[16:], "by its own account"),
        (BODY[:16] + b"\xff" * 16 + BODY[32:], "by its own account"),
    ],
)
def test_sizes_that_do_not_hold_together_are_refused(body: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        taken_apart(body)
