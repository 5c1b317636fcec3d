"""Publisher confirms: which publishes the broker has taken.

https://www.rabbitmq.com/docs/confirms
"""

from __future__ import annotations

from typing import Generic, TypeVar

T = TypeVar("T")


class Confirms(Generic[T]):
    """Numbers the publishes of one channel, and gives back what was noted beside each.

    The broker confirms by number, one or all up to one. Each publish on the channel counts, also
    one that nobody waits for: `skip` counts it.
    """

    __slots__ = ("_first", "_next", "_noted")

    def __init__(self) -> None:
        self._next = 1
        self._first = 1  # nothing below is open
        self._noted: dict[int, T] = {}

    def add(self, note: T) -> int:
        """Count one publish and keep `note` until it is confirmed; returns its number."""
        number = self._next
        self._noted[number] = note
        self._next = number + 1
        return number

    def skip(self) -> None:
        """Count one publish that nobody waits for."""
        self._next += 1

    def confirm(self, number: int, multiple: bool) -> None:
        """The broker confirmed this one, or all up to it: their notes are dropped."""
        if multiple:
            self.settle(number, multiple)
        else:
            self._noted.pop(number, None)

    def settle(self, number: int, multiple: bool) -> list[T]:
        """What the broker just confirmed or refused, in the order of publishing."""
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
        """What was noted beside a publish that is still unconfirmed."""
        return self._noted.get(number)

    def open(self) -> list[T]:
        """What is still unconfirmed, in the order of publishing."""
        return list(self._noted.values())

    def __len__(self) -> int:
        return len(self._noted)
