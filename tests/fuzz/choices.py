"""Turns the bytes that a fuzzer makes up into choices, so that it can learn what each one does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


class Choices:
    """Reads choices from the front of some bytes; when they are used up, all choices are the first.

    `rest` takes what is left, so it comes last.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._pos = 0

    def number(self, below: int) -> int:
        """A number from 0 up to, and without, `below`, which is at most 256."""
        if self._pos >= len(self._data):
            return 0
        self._pos += 1
        return self._data[self._pos - 1] % below

    def one_of(self, options: Sequence[T]) -> T:
        """One of at most 256."""
        return options[self.number(len(options))]

    def maybe(self) -> bool:
        """Yes or no."""
        return bool(self.number(2))

    def piece(self) -> bytes:
        """Up to 255 bytes: their length comes first, as in AMQP's short strings."""
        size = self.number(256)
        start, self._pos = self._pos, min(self._pos + size, len(self._data))
        return self._data[start : self._pos]

    def rest(self) -> bytes:
        """All that is left."""
        start, self._pos = self._pos, len(self._data)
        return self._data[start:]
