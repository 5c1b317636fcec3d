"""Tells other servers that this one begins to take requests, and knows when others began.

A request that expired in its queue may have been at a server that has gone. The client asks the
servers that are there for how long they have consumed the queue (`since`). One that came after the
call, took its request and has gone cannot say so. So each server tells the others before it takes
requests, and they answer for it: they say that they have been there as long as nobody has come.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from math import inf
from typing import Final

from leveret.errors import LeveretError

log = logging.getLogger("leveret.server")

_FRESH: Final = 0.2
"""Seconds for which an announcement counts for all queues that a server begins to consume."""
_BEGINS_WITHIN: Final = 0.5
"""Seconds after its announcement within which a server counts as one that has yet to begin."""


class Newcomers:
    """The servers of the same services that came after this one.

    :param instance: the server's name for itself.
    :param services: those that it serves.
    :param announce: tells all servers of these services; returns once the broker has it.
    :param clock: seconds.
    """

    def __init__(
        self,
        instance: str,
        services: Iterable[str],
        announce: Callable[[Iterable[str]], Awaitable[None]],
        clock: Callable[[], float],
    ) -> None:
        self._instance = instance
        self._services = tuple(services)
        self._announce = announce
        self._clock = clock
        self._announced_at = -inf
        self._announcing = asyncio.Lock()
        self._came: dict[str, float] = {}

    async def announce(self) -> None:
        """Tell the others that this server begins to take requests, if it has not just done so."""
        async with self._announcing:
            now = self._clock()
            if now - self._announced_at < _FRESH:
                return
            try:
                await self._announce(self._services)
            except LeveretError as error:
                log.debug("other servers cannot be told that this one begins: %s", error)
                return
            self._announced_at = now

    def began(self, service: str, instance: str) -> None:
        """A server begins to take requests of a service."""
        if instance != self._instance and service in self._services:
            self._came[service] = self._clock()

    def none_for(self, service: str) -> float:
        """Seconds for which no other server has begun to take requests of a service."""
        came = self._came.get(service, -inf)
        return max(0.0, self._clock() - came - _BEGINS_WITHIN)
