"""Finds out whether the servers of a queue are those that were there when a call was sent.

A request that expires in its queue may have been at a server that lost its connection, so that the
request went back. The broker says how many servers consume the queue, not which: another may have
come meanwhile. So the client asks them for how long they have consumed it. If all have since before
they were last counted before the call was sent, and there are as many as then, none of them went.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final, Protocol

from leveret.client.calls.inquiries import Inquiry
from leveret.client.calls.route import Route
from leveret.errors import CallError
from leveret.wire.control import SINCE
from leveret.wire.server_answers import read_consumes

log = logging.getLogger("leveret.client")

_WITHIN: Final = 0.06
"""Seconds that servers have to answer: the call must end soon after its deadline."""
_EVERY: Final = 0.02
"""Seconds between two questions about one queue, in which requests that expire are collected."""
_SPARED: Final = 5.0
"""Seconds for which servers are not asked that did not answer: they are too busy, or too old."""


class Opens(Protocol):
    """Opens a question to servers."""

    def __call__(
        self, word: str, key: str, *, wait_for_connection: bool, body: bytes, most: int
    ) -> Inquiry:
        """A question to the servers under a routing key, which takes so many answers."""
        ...


class SameServers:
    """Asks the servers of queues for how long they have consumed them.

    :param time: seconds, on the event loop's clock.
    """

    def __init__(self, inquiry: Opens, time: Callable[[], float]) -> None:
        self._inquiry = inquiry
        self._time = time

    async def ask(self, route: Route) -> None:
        """Note in the route since when all servers that the last probe found have been there.

        If one of them does not say so in time, nothing is noted.
        """
        if self._time() - route.unsaid_at < _SPARED:
            return
        await asyncio.sleep(max(0.0, route.same_as_of + _EVERY - self._time()))
        asked_at, servers = self._time(), route.finding.consumers
        try:
            since = await self._answers(route, servers)
        except (CallError, ValueError) as error:
            log.debug("%s: its servers do not say for how long they have it: %s", route.key, error)
            since = []
        if since and len(since) == servers:
            route.found_same(max(since), asked_at, servers)
        else:
            route.not_said(asked_at)

    async def _answers(self, route: Route, servers: int) -> list[float]:
        """Since when each of the servers that answer in time has been there."""
        with self._inquiry(
            SINCE,
            route.control_key,
            wait_for_connection=False,
            body=route.queue.encode(),
            most=servers,
        ) as inquiry:
            give_up = self._time() + await inquiry.ask(_WITHIN)
            while len(inquiry.answers) < servers:
                if not await inquiry.news(give_up - self._time()) or inquiry.is_unbound:
                    break
        answers = zip(inquiry.answered_at, inquiry.answers, strict=True)
        return [at - read_consumes(body).seconds for at, body in answers]
