"""Places for handlers, where the broker's prefetch alone does not count them.

Without a gate a consumer begins what it gets: its prefetch is its concurrency. A gate stands where
a server takes more requests than it runs: because the concurrency is adaptive, or because it
refuses many under overload (`admission.py`). What finds no place waits here, in order, until its
deadline; it counts as not begun, so nobody is told "accepted", and a drain hands it back.

The prefetch follows the number of places. AMQP cannot change the prefetch of a consumer that runs,
and one as high as the limit may ever become would have requests wait here while other servers are
free. So the consumer is replaced by one with another prefetch: the new one begins before the old
one is cancelled, so that at no moment nobody listens, which callers would take for `NoServer`. That
is three frames to and fro, made only when the prefetch is too low for the limit or far too high.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Final

from leveret.errors import LeveretError
from leveret.server.admission import LOOK_AHEAD
from leveret.server.limiter import Limiter
from leveret.wire.before import IF_BUSY_FAIL

if TYPE_CHECKING:
    from leveret.server.handling import Handling
    from leveret.server.running import Running

log = logging.getLogger("leveret.server")

_MOST: Final = 65_535
_FAR_TOO_HIGH: Final = 1.5
_PAUSE: Final = 0.25
"""Seconds between two changes of the prefetch."""


class Gate:
    """The places of one consumer.

    :param limiter: what says how many there are; None: as many as the consumer's concurrency.
    """

    def __init__(self, consumer: Handling, limiter: Limiter | None = None) -> None:
        self.waiting: dict[Running, None] = {}
        """What waits for a place, the oldest first; the consumer's prefetch bounds it."""
        self._consumer = consumer
        self._limiter = limiter
        self._places = consumer.executor.concurrency
        self._taken = sum(call.task is not None for call in consumer.calls())
        self._prefetch = self._places if limiter is None else 0
        self._change: asyncio.Task[None] | None = None
        self._changed = 0.0
        self._closed = False

    @property
    def limit(self) -> int:
        """How many calls may run at the same time now."""
        return self._places if self._limiter is None else self._limiter.limit

    def prefetch(self) -> int:
        """The prefetch for a consumer that begins now."""
        self._prefetch = self._wanted(time.time())
        return self._prefetch

    def took(self, seconds: float) -> None:
        """Note how long a call took; a negative number if it was cut off by its deadline."""
        self._consumer.admission.took(seconds)
        if self._limiter is not None:
            self._limiter.took(time.monotonic(), abs(seconds), self._taken)

    def enter(self, running: Running) -> bool:
        """Take a place for a request; or False: it waits, and is begun here when there is one."""
        if self._taken < self.limit and not self.waiting:
            self._taken += 1
            return True
        if running.delivery.properties.expiration == str(IF_BUSY_FAIL):
            self._consumer.turn_away(running)
        else:
            self.waiting[running] = None
            self.fill()  # those that wait may all be without a channel
        return False

    def leave(self) -> None:
        """A call ended: the next one has its place."""
        self._taken -= 1
        self.fill()

    def forget(self, running: Running) -> bool:
        """A request waits no more; False if it did not."""
        return self.waiting.pop(running, self) is None

    def fill(self) -> None:
        """Begin what waits while there are places."""
        self.adjust()
        if not self.waiting or self._taken >= self.limit:
            return
        for running in list(self.waiting):
            if self._taken >= self.limit:
                return
            # What lost its channel is the broker's, until it is delivered again.
            if running.delivery.delivery_tag and self.forget(running):
                self._taken += self._consumer.begin_late(running)

    def _wanted(self, now: float) -> int:
        limit = self.limit
        more = 0 if self._limiter is None else max(1, limit // 4)  # for the limit to rise
        if self._consumer.admission.overloaded(now):
            more += LOOK_AHEAD
        return min(limit + more, _MOST)

    def adjust(self) -> None:
        """Have another prefetch where this one is too low, or far too high."""
        now = time.time()
        busy = self._change is not None and not self._change.done()
        if busy or self._closed or abs(now - self._changed) < _PAUSE:
            return
        wanted = self._wanted(now)
        ahead = LOOK_AHEAD if self._consumer.admission.overloaded(now) else 0
        far = 1.0 if self._limiter is None else _FAR_TOO_HIGH
        if min(self.limit + ahead, _MOST) <= self._prefetch <= wanted * far:
            return
        self._changed = now
        self._prefetch = wanted
        self._change = self._consumer.channel.connection.loop.create_task(self._subscribe(wanted))

    async def _subscribe(self, prefetch: int) -> None:
        try:
            await self._consumer.subscribe(prefetch)
        except LeveretError as error:  # the channel heals, and begins with the prefetch of then
            log.debug("%s: the prefetch is not changed: %s", self._consumer, error)

    async def close(self) -> None:
        """Change nothing any more."""
        self._closed = True
        if self._change is not None:
            await self._change
