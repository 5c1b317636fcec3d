"""Places for handlers: the one count of them, and who waits for one.

The broker's prefetch keeps most of what finds no place in the queue, where other servers can take
it. More comes than there are places where a method has several queues, where its concurrency
follows the load, where a server refuses many (`admission.py`), and where handlers run on whose
channel broke. It waits here, in order.

The prefetch follows the number of places. AMQP cannot change the prefetch of a consumer that runs,
and one as high as the limit may ever become would have requests wait here while other servers are
free. So a consumer is replaced by one with another prefetch, which costs three frames to and fro.
Hence it is wanted only where the prefetch is too low for the limit or far too high, and not more
often than every `PAUSE` seconds.

Pure: it knows neither what waits nor what a consumer is, and says which prefetch it wants.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from math import inf
from typing import Final, Generic, TypeVar

T = TypeVar("T", bound=Hashable)

MOST: Final = 65_535
"""The highest prefetch that AMQP knows."""
PAUSE: Final = 0.25
"""Seconds between two changes of the prefetch."""
_FAR_TOO_HIGH: Final = 1.5


class Slots(Generic[T]):
    """The places of one method.

    :param limit: how many calls may run at a time at first.
    :param ahead: how many requests more than those are to be here, at a moment in seconds.
    :param adapts: whether the limit changes by itself. Then a few requests more are taken, as
        nobody could see otherwise that a higher limit is of use.
    """

    def __init__(self, limit: int, ahead: Callable[[float], int], *, adapts: bool) -> None:
        self.taken = 0
        """How many places are taken."""
        self.waiting: OrderedDict[T, None] = OrderedDict()
        """Who waits for a place, the first one first."""
        self.limit = limit
        """How many calls may run at a time now."""
        self.adapts = adapts
        """Whether the limit changes by itself."""
        self._ahead = ahead
        self._prefetch = 0
        self._changed = -inf

    def acquire(self) -> bool:
        """Take a place; False if none is free, or others have waited for longer."""
        if self.waiting or self.taken >= self.limit:
            return False
        self.taken += 1
        return True

    def wait(self, item: T) -> None:
        """Stand at the end of the line."""
        self.waiting[item] = None

    def discard(self, item: T) -> None:
        """Wait no longer; nothing happens to one that does not wait."""
        self.waiting.pop(item, None)

    def release(self) -> None:
        """Leave a place."""
        self.taken -= 1

    def resize(self, limit: int) -> None:
        """Have as many places from now on. What is over the limit leaves in its time."""
        self.limit = limit

    def next(self) -> T | None:
        """Take a place for the first who waits; None if nobody waits or no place is free."""
        if not self.waiting or self.taken >= self.limit:
            return None
        self.taken += 1
        return self.waiting.popitem(last=False)[0]

    # -- the prefetch ---------------------------------------------------------------------------

    def prefetch(self, now: float) -> int:
        """The prefetch for a consumer that begins now."""
        self._prefetch = self._wanted(now)
        return self._prefetch

    def changed_prefetch(self, now: float) -> int | None:
        """The prefetch that the consumer is to have instead; None if it is to stay as it is."""
        if now - self._changed < PAUSE:
            return None
        wanted = self._wanted(now)
        least = min(self.limit + self._ahead(now), MOST)
        if least <= self._prefetch <= wanted * (_FAR_TOO_HIGH if self.adapts else 1.0):
            return None
        self._changed = now
        self._prefetch = wanted
        return wanted

    def _wanted(self, now: float) -> int:
        limit = self.limit
        spare = max(1, limit // 4) if self.adapts else 0  # for the limit to rise
        return min(limit + spare + self._ahead(now), MOST)
