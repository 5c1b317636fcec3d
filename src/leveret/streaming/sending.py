"""The sending half of a stream: numbers, what may be sent, and what is kept to be sent again.

    OPEN ──END──► ENDED ──ALL──► DONE
      └─────────LEFT──────────────┘

It is OPEN while items are added, ENDED once the end is (or an error in its place), and DONE when
the receiver acknowledged the end, or nobody waits for it any more. What was added last may be taken
BACK, with the end, as long as the receiver does not have it. `TRANSITIONS` has every step.

What was sent is kept, packed, until the receiver acknowledged it: a reader of a socket that broke
may have lost it. What may be sent and what is kept is bounded by the receiver's credit, and, as
a receiver could grant anything, by `MOST_KEPT` items and `MOST_SIZE` bytes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from enum import Enum
from itertools import takewhile
from typing import Final, Generic, TypeVar

from leveret.streaming.credit import Credit

M = TypeVar("M")
"""What a packed message is."""

MOST_KEPT: Final = 4096
"""How many items are sent at most that the receiver has not acknowledged."""
MOST_SIZE: Final = 16 * 1024 * 1024
"""Bytes of their bodies at most, beside the last one."""


class State(Enum):
    """Where the half is."""

    OPEN = "open"
    """Items may be added."""
    ENDED = "ended"
    """The end was added, and is not acknowledged."""
    DONE = "done"
    """Nothing is sent any more."""


class Event(Enum):
    """What happens to it."""

    ITEM = "item"
    """An item is added."""
    END = "end"
    """The end is added."""
    SOME = "some"
    """The receiver has some of what was sent."""
    ALL = "all"
    """The receiver has everything, and the end."""
    BACK = "back"
    """What was added last is taken back."""
    LEFT = "left"
    """Nobody waits for it any more."""


_S, _E = State, Event

TRANSITIONS: Final[dict[tuple[State, Event], State]] = {
    (_S.OPEN, _E.ITEM): _S.OPEN,
    (_S.OPEN, _E.SOME): _S.OPEN,
    (_S.OPEN, _E.END): _S.ENDED,
    (_S.OPEN, _E.BACK): _S.OPEN,
    (_S.OPEN, _E.LEFT): _S.DONE,
    (_S.ENDED, _E.SOME): _S.ENDED,
    (_S.ENDED, _E.ALL): _S.DONE,
    (_S.ENDED, _E.BACK): _S.OPEN,
    (_S.ENDED, _E.LEFT): _S.DONE,
    (_S.DONE, _E.SOME): _S.DONE,
    (_S.DONE, _E.ALL): _S.DONE,
    (_S.DONE, _E.BACK): _S.DONE,
    (_S.DONE, _E.LEFT): _S.DONE,
}
"""A pair that is missing is a mistake of whoever uses this: `KeyError`."""

_OPEN: Final = State.OPEN
"""Bound once, for the hot path: before Python 3.12 reading a member of an enum is slow."""


class SendingHalf(Generic[M]):
    """What one side sends of a stream.

    :param upto: the highest number that an item may have at first; 0: none may be sent before the
        first credit.
    :param size: the bytes that may be sent at first.
    """

    __slots__ = ("_kept", "_kept_size", "_upto", "_upto_size", "got", "number", "size", "state")

    def __init__(self, upto: int = 0, size: int = 0) -> None:
        self.state = State.OPEN
        self.number = 0
        """The highest number that was given; that of the end is not counted."""
        self.size = 0
        """Bytes of all bodies."""
        self.got = 0
        """The highest number that the receiver acknowledged, of the last of a whole message."""
        self._upto = upto
        self._upto_size = size
        self._kept: deque[tuple[M, int, int]] = deque()  # frames, size of bodies, numbers
        self._kept_size = 0

    @property
    def may_send(self) -> bool:
        """Whether one more item may be added now."""
        return (
            self.number < self._upto
            and self.size < self._upto_size
            and self.number - self.got < MOST_KEPT
            and self._kept_size < MOST_SIZE
        )

    @property
    def kept(self) -> int:
        """How many messages the receiver has not acknowledged."""
        return len(self._kept)

    def add(self, frames: M, size: int) -> None:
        """Add an item that was packed as number `number` + 1; it is to be sent now.

        :param size: bytes of its body.
        """
        self.count(size)
        self.keep(frames, size)

    def count(self, size: int) -> None:
        """Add an item, as number `number` + 1, that is to be packed with more: see `keep`.

        :param size: bytes of its body.
        """
        if self.state is not _OPEN:
            raise KeyError(self.state, Event.ITEM)  # OPEN, ITEM, without looking the table up
        self.number += 1
        self.size += size

    def keep(self, frames: M, size: int, items: int = 1) -> None:
        """Keep a message of items that were counted; it is to be sent now.

        :param size: bytes of their bodies.
        :param items: how many there are.
        """
        self._kept.append((frames, size, items))
        self._kept_size += size

    def end(self, frames: M) -> None:
        """Add the end, or the error in its place; it is to be sent now. It needs no credit."""
        self.state = TRANSITIONS[self.state, Event.END]
        self.keep(frames, 0)

    def credit(self, credit: Credit) -> list[M]:
        """The receiver says what it has, and what it takes.

        What an older credit says was said better by a later one, which may have overtaken it.

        :returns: what is to be sent once more.
        :raises ValueError: if it has what was never sent; then nothing is done.
        """
        last = self.number + (self.state is not State.OPEN)
        if credit.got > last:
            raise ValueError(f"a receiver has number {credit.got}, and {last} were sent")
        self._upto = max(self._upto, credit.upto)
        self._upto_size = max(self._upto_size, credit.size)
        while self._kept and self.got + self._kept[0][2] <= credit.got:
            _, size, items = self._kept.popleft()
            self._kept_size -= size
            self.got += items
        all_of_it = self.state is not State.OPEN and self.got == self.number + 1
        self.state = TRANSITIONS[self.state, Event.ALL if all_of_it else Event.SOME]
        return self.unacknowledged() if credit.again and credit.got >= self.got else []

    def unacknowledged(self) -> list[M]:
        """What the receiver may not have: to be sent once more when this side was cut off."""
        return [frames for frames, _, _ in self._kept]

    def take_back(self, refused: Callable[[M], bool]) -> bool:
        """Take back the first message that cannot be sent, and all that was added after it.

        :param refused: whether a message cannot be sent.
        :returns: False, and nothing is done, if there is no such message.
        """
        sendable = list(takewhile(lambda kept: not refused(kept[0]), self._kept))
        if len(sendable) == len(self._kept):
            return False
        self.state = TRANSITIONS[self.state, Event.BACK]
        self._kept = deque(sendable)
        self._kept_size = sum(size for _, size, _ in sendable)
        self.number = self.got + sum(items for _, _, items in sendable)
        return True

    def leave(self) -> None:
        """Nobody waits for it any more: nothing is kept."""
        self.state = TRANSITIONS[self.state, Event.LEFT]
        self._kept.clear()
        self._kept_size = 0
