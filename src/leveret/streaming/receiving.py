"""The receiving half of a stream: every item once and in order, and how many more may come.

The broker keeps order between one sender and one queue, and may lose what was in a socket that
broke. So an item is the next one, or one that came before, or one with a gap before it; and what
tells of a gap is every message of the sender, as each carries a number. In a gap nothing is taken
until the sender has sent the missing items once more:

    WHOLE ──AHEAD──► GAPPED       an item, the end or a sign of life is ahead of what came
      ▲  ◄───NEXT─────┘           the missing item came
      │
      └──END──► ENDED             the end came, and all items before it
    any ──END_BEHIND──► BROKEN    the end comes too early: the sender made a mistake

`TRANSITIONS` has every step. The items that are here and not yet taken are with whoever uses this;
their number and size are bounded by the window.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

from leveret.streaming.credit import QUICK, WIDEST, WINDOW_BYTES, WINDOW_ITEMS, Credit


class State(Enum):
    """Where the half is."""

    WHOLE = "whole"
    """Nothing is known to be missing."""
    GAPPED = "gapped"
    """Something is missing; it is asked for."""
    ENDED = "ended"
    """The end came, and all before it."""
    BROKEN = "broken"
    """The sender contradicted itself."""


class Event(Enum):
    """What comes."""

    NEXT = "next"
    """The item after the last one."""
    BEHIND = "behind"
    """An item that came before, or a sign of life that tells of nothing new."""
    AHEAD = "ahead"
    """An item, an end or a sign of life that tells of items which did not come."""
    END = "end"
    """The end, right after the last item."""
    END_BEHIND = "end behind"
    """An end that says of fewer items than came."""


class Act(Enum):
    """What is to be done about it."""

    DROP = "nothing"
    TAKE = "give the item to the consumer"
    ASK = "ask for what is missing"
    FINISH = "the stream is over: acknowledge the end"
    ACKNOWLEDGE = "acknowledge the end once more"
    BREAK = "the stream cannot go on"


_S, _E, _A = State, Event, Act

TRANSITIONS: Final[dict[tuple[State, Event], tuple[State, Act]]] = {
    (_S.WHOLE, _E.NEXT): (_S.WHOLE, _A.TAKE),
    (_S.WHOLE, _E.BEHIND): (_S.WHOLE, _A.DROP),
    (_S.WHOLE, _E.AHEAD): (_S.GAPPED, _A.ASK),
    (_S.WHOLE, _E.END): (_S.ENDED, _A.FINISH),
    (_S.WHOLE, _E.END_BEHIND): (_S.BROKEN, _A.BREAK),
    (_S.GAPPED, _E.NEXT): (_S.WHOLE, _A.TAKE),
    (_S.GAPPED, _E.BEHIND): (_S.GAPPED, _A.DROP),
    (_S.GAPPED, _E.AHEAD): (_S.GAPPED, _A.DROP),  # asked for; the timer asks again
    (_S.GAPPED, _E.END): (_S.ENDED, _A.FINISH),
    (_S.GAPPED, _E.END_BEHIND): (_S.BROKEN, _A.BREAK),
    # The sender did not hear that the end came.
    (_S.ENDED, _E.NEXT): (_S.ENDED, _A.DROP),
    (_S.ENDED, _E.BEHIND): (_S.ENDED, _A.DROP),
    (_S.ENDED, _E.AHEAD): (_S.ENDED, _A.DROP),
    (_S.ENDED, _E.END): (_S.ENDED, _A.ACKNOWLEDGE),
    (_S.ENDED, _E.END_BEHIND): (_S.ENDED, _A.DROP),
    **{(_S.BROKEN, e): (_S.BROKEN, _A.DROP) for e in Event},
}

_WHOLE: Final = State.WHOLE
"""Bound once, for the hot path: before Python 3.12 reading a member of an enum is slow."""
_TAKE: Final = Act.TAKE


class ReceivingHalf:
    """What one side receives of a stream.

    :param items: the window in items, 1 or more.
    :param size: the window in bytes of bodies, 1 or more; up to seven times as many for a consumer
        that takes them quickly.
    """

    __slots__ = (
        "_items",
        "_least",
        "_said_at",
        "_said_size",
        "_said_upto",
        "_size",
        "got",
        "state",
        "taken",
        "taken_size",
    )

    def __init__(self, items: int = WINDOW_ITEMS, size: int = WINDOW_BYTES) -> None:
        self.state = State.WHOLE
        self.got = 0
        """The highest number received, with none missing before it; the end is not counted."""
        self.taken = 0
        """How many items the consumer took."""
        self.taken_size = 0
        """Bytes of their bodies."""
        self._items = items
        self._size = self._least = size
        self._said_at = 0.0
        self._said_upto = items  # the request, or the first credit, says so
        self._said_size = size

    def item(self, number: int) -> Act:
        """An item came."""
        if number == self.got + 1:
            if self.state is _WHOLE:  # as nearly all
                self.got = number
                return _TAKE
            act = self._fire(Event.NEXT)
            self.got += act is _TAKE
            return act
        return self._fire(Event.AHEAD if number > self.got else Event.BEHIND)

    def items(self, first: int, count: int) -> tuple[Act, int]:
        """Items came in one message.

        :param first: the number of the first one.
        :returns: what is to be done, and how many of them came before and are to be dropped.
        """
        had = self.got + 1 - first
        if not 0 <= had < count:  # there is a gap before them, or all came before
            return self._fire(Event.AHEAD if had < 0 else Event.BEHIND), 0
        act = self.item(self.got + 1)
        if act is _TAKE:
            self.got = first + count - 1
        return act, had

    def end(self, count: int) -> Act:
        """The end came, or an error in its place, after so many items."""
        if count == self.got:
            return self._fire(Event.END)
        return self._fire(Event.AHEAD if count > self.got else Event.END_BEHIND)

    def sign(self, number: int) -> Act:
        """A sign of life came, from a sender that has sent items up to this number."""
        return self._fire(Event.AHEAD if number > self.got else Event.BEHIND)

    def took(self, size: int) -> bool:
        """The consumer took the next item, whose body has so many bytes.

        :returns: whether a credit is to be sent: of the window that the sender was told of, half of
            the items are taken, or a quarter of the bytes. Large items fill all that is between
            both sides, and who waits for the half of them is told too late.
        """
        self.taken += 1
        self.taken_size += size
        if self.state is State.ENDED:
            return False
        return (
            self.taken + self._items - self._said_upto >= (self._items + 1) // 2
            or self.taken_size + self._size - self._said_size >= (self._size + 3) // 4
        )

    def credit(self, now: float, *, again: bool = False) -> Credit:
        """What is to be said to the sender now.

        :param now: seconds on a clock that goes on steadily.
        :param again: whether something may have got lost, as this side was cut off.
        """
        if self.taken_size + self._size - self._said_size >= (self._size + 3) // 4:
            if now - self._said_at <= QUICK * self._size / self._least:
                self._size = min(2 * self._size, WIDEST * self._least)
            else:
                self._size = self._least
            self._said_at = now
        self._said_upto = self.taken + self._items
        self._said_size = max(self.taken_size + self._size, self._said_size)
        return Credit(
            got=self.got + (self.state is State.ENDED),
            upto=self._said_upto,
            size=self._said_size,
            again=(again or self.state is State.GAPPED) and self.state is not State.ENDED,
        )

    def _fire(self, event: Event) -> Act:
        self.state, act = TRANSITIONS[self.state, event]
        return act
