"""Whether the other side of a stream is there, and when to tell it that this one is."""

from __future__ import annotations

from enum import Enum
from typing import Final

SAY_EVERY: Final = 10.0
"""Seconds: each side says something at least so often."""
SAY_SOON: Final = 1.0
"""Seconds of silence after which a side first says again what it said: it may have got lost."""
GIVEN_UP_AFTER: Final = 30.0
"""Seconds without a word after which the other side is given up."""


class Due(Enum):
    """What is to be done now."""

    NOTHING = "nothing"
    SAY = "say something"
    GIVE_UP = "give the other side up"


class Liveness:
    """When this side of a stream spoke, and when it heard the other one.

    While nothing moves it speaks after 1, 2, 4, 8 and then each 10 s. So what got lost is made good
    within a second, and a stream that has nothing to tell for hours costs little.

    :param now: seconds on a clock that goes on steadily, as in all methods.
    """

    __slots__ = ("_heard_at", "_pause", "_said_at")

    def __init__(self, now: float) -> None:
        self._heard_at = now
        self._said_at = now
        self._pause = SAY_SOON

    def heard(self, now: float) -> None:
        """Something came from the other side."""
        self._heard_at = now

    def moved(self, now: float) -> None:
        """This side said something new."""
        self._said_at = now
        self._pause = SAY_SOON

    def said_again(self, now: float) -> None:
        """This side said something because it was due."""
        self._said_at = now
        self._pause = min(2 * self._pause, SAY_EVERY)

    def due(self, now: float) -> Due:
        """What is to be done at this moment."""
        if now - self._heard_at >= GIVEN_UP_AFTER:
            return Due.GIVE_UP
        return Due.SAY if now - self._said_at >= self._pause else Due.NOTHING
