"""Places for handlers: counts them, and keeps the calls that wait for one.

The broker's prefetch keeps most requests without a place in the queue, where other servers can take
them. More requests than places come if a method has several queues, if its concurrency follows the
load, if the server refuses many (`admission.py`), or if handlers still run after their channel
broke. They wait here, in order.

The prefetch follows the number of places. AMQP cannot change the prefetch of a running consumer.
With a prefetch for the highest possible limit, requests would wait here while other servers are
free. So the server replaces the consumer by one with another prefetch, which costs three frames in
each direction. It does so only if the prefetch is too low for the limit or far too high, and at
most every `PAUSE` seconds.

Pure: it knows neither calls nor consumers, and only says which prefetch it wants.
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
    :param ahead: how many more requests than these must be here, at a time in seconds.
    :param adapts: whether the limit changes by itself. Then a few more requests are taken, as
        otherwise nothing would show that a higher limit is of use.
    """

    def __init__(self, limit: int, ahead: Callable[[float], int], *, adapts: bool) -> None:
        self.taken = 0
        """How many places are taken."""
        self.waiting: OrderedDict[T, None] = OrderedDict()
        """The calls that wait for a place, in order."""
        self.limit = limit
        """How many calls may run at a time now."""
        self.adapts = adapts
        """Whether the limit changes by itself."""
        self._ahead = ahead
        self._prefetch = 0
        self._changed = -inf

    @property
    def is_free(self) -> bool:
        """Whether `acquire` would take a place."""
        return not self.waiting and self.taken < self.limit

    def acquire(self) -> bool:
        """Take a place; False if none is free, or others have waited for longer."""
        if self.waiting or self.taken >= self.limit:
            return False
        self.taken += 1
        return True

    def wait(self, item: T) -> None:
        """Join the queue for a place."""
        self.waiting[item] = None

    def discard(self, item: T) -> None:
        """Leave the queue for a place; do nothing for a call that is not in it."""
        self.waiting.pop(item, None)

    def release(self) -> None:
        """Free a place."""
        self.taken -= 1

    def resize(self, limit: int) -> None:
        """Have this many places from now on. Calls over the limit run to their end."""
        self.limit = limit

    def next(self) -> T | None:
        """Take a place for the first call that waits; None without a call or a free place."""
        if not self.waiting or self.taken >= self.limit:
            return None
        self.taken += 1
        return self.waiting.popitem(last=False)[0]

    # -- the prefetch ---------------------------------------------------------------------------

    def prefetch(self, now: float) -> int:
        """The prefetch for a consumer that starts now."""
        self._prefetch = self._wanted(now)
        return self._prefetch

    def changed_prefetch(self, now: float) -> int | None:
        """The prefetch that the consumer must have instead; None if it stays as it is."""
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
