"""Pieces of a body: all bytes in order, copied once, and no more memory than twice the body."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from leveret.amqp.bodies import Pieces
from tests.unit.amqp.strategies import FAST


@FAST
@given(st.lists(st.tuples(st.integers(0, 20_000), st.integers(0, 20_000)), max_size=6))
def test_pieces_of_any_size_are_joined_in_order(sizes: list[tuple[int, int]]) -> None:
    pieces = Pieces()
    expected = b""
    for number, (size, around) in enumerate(sizes):
        data = bytes(around) + bytes((number + 1,)) * size + bytes(around)
        pieces.add(data, around, around + size)
        expected += data[around : around + size]
        assert len(pieces) == len(expected)
    assert pieces.join() == expected


def test_a_large_piece_is_not_copied_before_the_body_is_complete() -> None:
    pieces = Pieces()
    data = bytes(100_000)
    pieces.add(data, 7, 100_000)
    (kept,) = pieces._pieces
    assert isinstance(kept, memoryview)
    assert kept.obj is data


def test_a_piece_that_is_small_in_its_read_does_not_keep_the_read() -> None:
    pieces = Pieces()
    for _ in range(100):
        pieces.add(bytes(256_000), 0, 10_000)
    (kept,) = pieces._pieces
    assert isinstance(kept, bytearray)
    assert len(pieces) == 1_000_000


def test_many_tiny_pieces_share_one_buffer() -> None:
    pieces = Pieces()
    for _ in range(1000):
        pieces.add(b"x", 0, 1)
    assert len(pieces._pieces) == 1
    assert pieces.join() == b"x" * 1000
