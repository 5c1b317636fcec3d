"""Publisher confirms: which publishes the broker has accepted.

https://www.rabbitmq.com/docs/confirms
"""

from __future__ import annotations

from typing import Generic, TypeVar

T = TypeVar("T")


class Confirms(Generic[T]):
    """Numbers the publishes of one channel and keeps a note for each until it is confirmed.

    The broker confirms by number: one publish, or all up to it. Every publish on the channel must
    be counted, so one that nobody waits for is counted by `skip`.
    """

    __slots__ = ("_first", "_next", "_noted")

    def __init__(self) -> None:
        self._next = 1
        self._first = 1  # nothing below is open
        self._noted: dict[int, T] = {}

    def add(self, note: T) -> int:
        """Count one publish and keep `note` until it is confirmed. Returns its number."""
        number = self._next
        self._noted[number] = note
        self._next = number + 1
        return number

    def skip(self) -> None:
        """Count one publish that nobody waits for."""
        self._next += 1

    def confirm(self, number: int, multiple: bool) -> None:
        """Drop the notes of what the broker confirmed: one publish, or all up to it."""
        if multiple:
            self.settle(number, multiple)
        else:
            self._noted.pop(number, None)

    def settle(self, number: int, multiple: bool) -> list[T]:
        """Remove what the broker confirmed or refused; returns the notes in publishing order.

        Number 0 with `multiple` stands for all.
        """
        if not multiple:
            note = self._noted.pop(number, None)
            return [] if note is None else [note]
        last = min(number, self._next - 1) if number else self._next - 1
        noted = self._noted
        if last - self._first > len(noted):
            numbers = [n for n in noted if n <= last]
        else:
            numbers = [n for n in range(self._first, last + 1) if n in noted]
        self._first = max(self._first, last + 1)
        return [noted.pop(n) for n in numbers]

    def noted(self, number: int) -> T | None:
        """The note of a publish that is not confirmed yet."""
        return self._noted.get(number)

    def open(self) -> list[T]:
        """The notes of all publishes that are not confirmed yet, in the order of publishing."""
        return list(self._noted.values())

    def __len__(self) -> int:
        return len(self._noted)
