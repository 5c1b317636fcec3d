"""A large body in parts; a small one is joined at once."""

from __future__ import annotations

import pytest

from leveret.body_parts import BodyParts, joined_if_small


@pytest.mark.parametrize("size", [0, 1, 65_536])
def test_a_small_body_is_joined_at_once(size: int) -> None:
    assert joined_if_small([b"", memoryview(bytes(size))]) == bytes(size)


def test_a_large_body_keeps_its_parts_and_copies_none() -> None:
    data = bytearray(65_537)
    body = joined_if_small([memoryview(data), b"end"])
    assert isinstance(body, BodyParts)
    data[0] = 7
    assert len(body) == 65_540
    assert bytes(body) == bytes(data) + b"end"
    assert b"before" + body == b"before" + bytes(data) + b"end"  # as packers put small bodies
