"""Pauses between attempts, which grow from one to the next."""

from __future__ import annotations

import random as chance
from collections.abc import Callable
from typing import Final

import msgspec

LAST: Final = 0.2
"""Seconds before a deadline at which there is a last attempt."""


class Backoff(msgspec.Struct, frozen=True, kw_only=True):
    """How long to pause before each attempt. Pure: who uses it counts the attempts and sleeps."""

    first: float
    """The pause before attempt 1 in seconds, before jitter."""
    most: float
    """The longest pause in seconds, before jitter."""
    growth: float = 2.0
    """The factor from one pause to the next."""
    jitter: float = 0.0
    """Up to this share of a pause, from 0 to 1, is taken off at random, so that those who failed
    together do not come back together."""

    def limit(self, attempt: int) -> float:
        """The pause before attempt number `attempt`, counted from 1, without jitter; in seconds."""
        try:
            return min(self.most, self.first * self.growth ** (attempt - 1))
        except OverflowError:
            return self.most

    def pause(self, attempt: int, random: Callable[[], float] = chance.random) -> float:
        """The pause before attempt number `attempt`, counted from 1; in seconds.

        :param random: a number from 0 to 1.
        """
        limit = self.limit(attempt)
        return limit * (1 - self.jitter * (1 - random())) if self.jitter else limit

    def pause_within(self, attempt: int, left: float) -> float | None:
        """The pause before an attempt, or a shorter one: the last attempt is `LAST` before the end.

        :param left: seconds until the end.
        :returns: None where there is no time for another attempt.
        """
        longest = left - LAST
        return min(self.pause(attempt), longest) if longest > 0 else None
