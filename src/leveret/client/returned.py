"""Requests that came back: expired, without a queue, or refused. A look tells why.

The broker says only that it has not delivered them. Whether nobody was there, all were busy, a
queue is full or its node is down, decides what the caller is told, and whether the request may be
sent again.
"""

from __future__ import annotations

import asyncio
from math import inf
from typing import TYPE_CHECKING

from leveret.client import verdicts
from leveret.client.look import DECLARED_AGAIN, FIRST_LOOK, LOOK_SOON, SERVERS_RETURN
from leveret.client.pending import LOOK_EVERY, MOST_RESENDS, NO_QUEUE

if TYPE_CHECKING:
    from leveret.client.calls import Calls
    from leveret.client.pending import Pending, Route


class Returned:
    """Finds out about the requests of one client that came back, those of a method together."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._lookout = calls.lookout
        self._bounced: dict[Route, list[Pending]] = {}
        self._returned: dict[Route, list[Pending]] = {}
        self._refused: dict[Route, list[Pending]] = {}
        self._explaining: set[Route] = set()
        self._renewing = False
        self._renewed_at = -inf
        self._renewal_pause = LOOK_SOON

    def expired(self, pending: Pending) -> None:
        """A request came back as nobody took it in time: find out whether anybody is there."""
        self._find_out(self._bounced, pending)

    def lost(self, pending: Pending) -> None:
        """A server passed a request on, and there was no place for it: send it again in a while."""
        self._lookout.begin(self._send_later(pending, doubtful=True))

    def unroutable(self, pending: Pending) -> None:
        """A request came back as it has no queue: find out whether that is only out of reach."""
        self._find_out(self._returned, pending)

    def refused(self, pending: Pending) -> None:
        """The broker did not take a request: find out whether its queue is full."""
        if self._renewing and pending.request.repeatable:
            self._calls.attachment.unsent[pending.id] = pending
        else:
            self._find_out(self._refused, pending)

    def _find_out(self, why: dict[Route, list[Pending]], pending: Pending) -> None:
        route = pending.route
        why.setdefault(route, []).append(pending)
        if route not in self._explaining:
            self._explaining.add(route)
            self._lookout.begin(self._explain(route))

    async def _explain(self, route: Route) -> None:
        """Look for all whose requests came back in the meantime."""
        try:
            while route in self._bounced or route in self._returned or route in self._refused:
                await self._explain_now(route)
        finally:
            self._explaining.discard(route)

    async def _explain_now(self, route: Route) -> None:
        calls = self._calls
        bounced = self._bounced.pop(route, [])
        returned = self._returned.pop(route, [])
        refused = self._refused.pop(route, [])
        seen = await self._lookout.look(route)
        if self._take_back(route, refused, seen=seen):
            await self._renew()
        for pending in bounced:
            calls.fail(pending, verdicts.expired(pending, calls))
        for pending in returned:
            if seen and pending.body is not None and self._may_come_back(pending):
                self._lookout.begin(self._send_later(pending, doubtful=False))
            else:
                calls.fail(pending, verdicts.unroutable(pending))

    def _take_back(self, route: Route, refused: list[Pending], *, seen: bool) -> bool:
        """Requests that the broker refused; returns whether another channel may do better.

        A full queue refuses. So does the node of a classic queue's last words: then a server may
        have the request. And so does a channel that met a quorum queue whose leader had just died,
        for as long as the leader's node is away, whoever leads the queue by then.
        """
        calls = self._calls
        full = seen and route.limited is not False and route.messages > 0
        stuck = False
        for pending in refused:
            if full or calls.resent.get(pending.id, 0) >= MOST_RESENDS:
                calls.fail(pending, verdicts.refused())
            elif not pending.request.repeatable:
                stuck = True  # the next one need not be refused
                calls.fail(pending, verdicts.untaken())
            elif (route.consumers or 0) < 0:
                self._lookout.begin(self._send_later(pending, doubtful=True))
            else:
                stuck = True
                calls.attachment.unsent[pending.id] = pending
        return stuck and (route.consumers or 0) >= 0

    async def _renew(self) -> None:
        """Go on with another channel, in a moment; if that helps not, with a third one later."""
        if self._renewing:
            return
        self._renewing = True
        loop = self._calls.loop
        again = loop.time() - self._renewed_at < SERVERS_RETURN
        self._renewal_pause = min(LOOK_EVERY, self._renewal_pause * 2) if again else LOOK_SOON
        try:
            await asyncio.sleep(self._renewal_pause)
            await self._calls.flow.renew()
            self._renewed_at = loop.time()
        finally:
            self._renewing = False

    def _may_come_back(self, pending: Pending) -> bool:
        """Whether the queue that a request did not find is there again, or may be in a moment."""
        route = pending.route
        if route.consumers != NO_QUEUE:
            return True
        since = self._lookout.missing.setdefault(pending.id, route.looked_at)
        return route.alive_at > -inf and route.looked_at - since < DECLARED_AGAIN

    async def _send_later(self, pending: Pending, *, doubtful: bool) -> None:
        """Send a request again that the broker did not keep; `doubtful`: that a server may have."""
        await asyncio.sleep(LOOK_SOON if (pending.route.consumers or 0) > 0 else FIRST_LOOK)
        self._calls.resend(pending, doubtful=doubtful)
