"""Collects a message's body, which may come in several frames, and a frame in several reads.

A large piece is kept as a view of the read that brought it. So its bytes are copied only once, when
the body is complete. A small piece is copied into a buffer at once, and so is a piece that would
keep a much larger read in memory. The pieces of a body hold at most twice its size.
"""

from __future__ import annotations

from typing import Final

_SMALL: Final = 4096
"""Bytes below which a piece is copied at once, as an object of its own would weigh more."""


class Pieces:
    """The pieces of one body that have come so far."""

    __slots__ = ("_pieces",)

    def __init__(self) -> None:
        self._pieces: list[memoryview | bytearray] = []

    def add(self, data: bytes, start: int, stop: int) -> None:
        """Append data[start:stop]."""
        size = stop - start
        pieces = self._pieces
        if size >= _SMALL and 2 * size >= len(data):
            pieces.append(memoryview(data)[start:stop])
        elif pieces and type(pieces[-1]) is bytearray:
            pieces[-1] += memoryview(data)[start:stop]
        else:
            pieces.append(bytearray(memoryview(data)[start:stop]))

    def __len__(self) -> int:
        return sum(map(len, self._pieces))

    def join(self) -> bytes:
        """The body."""
        return b"".join(self._pieces)
