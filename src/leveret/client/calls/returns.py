"""Requests that the broker gave back or did not take. One probe explains all of a queue.

The broker says only that it has not delivered them. Whether nobody listens, all are busy, the queue
is full or its node is down, decides what their callers are told and whether they go out again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from math import inf
from typing import Final

from leveret.client.calls.life import MOST_RESENDS, Event, Fire, Pending, State
from leveret.client.calls.route import QueueState, Route
from leveret.client.calls.tasks import Begin
from leveret.wire.timing import DECLARED_AGAIN_WITHIN, SERVERS_RETURN_WITHIN

log = logging.getLogger("leveret.client")

BOUND_WITHIN: Final = 0.5
"""Seconds within which a server binds a queue that it has declared."""
_FIRST_PAUSE: Final = 0.05
"""Seconds before a channel is replaced that was not replaced lately; doubled each further time."""
_LONGEST_PAUSE: Final = 1.0
"""Seconds that no such pause passes."""


class Returns:
    """Explains the calls whose requests came back, those of one queue together.

    :param probe: probes a queue.
    :param replace_channel: goes on with another channel.
    :param unbound: told of a queue that is there, though the broker had no way to it.
    """

    def __init__(
        self,
        *,
        begin: Begin,
        fire: Fire,
        probe: Callable[[Route], Awaitable[bool]],
        replace_channel: Callable[[], Awaitable[None]],
        unbound: Callable[[Route], None],
        time: Callable[[], float],
    ) -> None:
        self.is_replacing = False
        """Whether another channel is on its way, since this one is of no use for some queue."""
        self._begin = begin
        self._fire = fire
        self._probe = probe
        self._replace_channel = replace_channel
        self._unbound = unbound
        self._time = time
        self._waiting: dict[Route, dict[str, Pending]] = {}
        self._explaining: set[Route] = set()
        self._connected_at = -inf
        self._replaced_at = -inf
        self._pause = _FIRST_PAUSE

    def connection_changed(self) -> None:
        """What was missing on the connection before may be there on this one."""
        self._connected_at = self._time()

    def add(self, call: Pending) -> None:
        """Explain why the request of this call came back."""
        route = call.route
        self._waiting.setdefault(route, {})[call.id] = call
        if route not in self._explaining:
            self._explaining.add(route)
            self._begin(self._explain_all(route))

    async def _explain_all(self, route: Route) -> None:
        """Probe for all whose requests came back, and once more for those that came meanwhile."""
        try:
            while calls := self._waiting.pop(route, None):
                found = await self._probe(route)
                stuck = [self._explain(call, found=found) for call in calls.values()]
                if any(stuck):
                    await self._replace()
        finally:
            self._explaining.discard(route)

    def _explain(self, call: Pending, *, found: bool) -> bool:
        """Tell one call what was found; returns whether its channel is of no use for its queue."""
        match call.state:
            case State.EXPIRED:
                self._fire(call, Event.EXPLAINED)
            case State.UNROUTED:
                if found and self._is_unbound(call):
                    self._unbound(call.route)
                back = found and call.body is not None and self._may_return(call)
                self._fire(call, Event.QUEUE_RETURNS if back else Event.NO_QUEUE)
            case State.REFUSED:
                event, stuck = self._why_refused(call, found=found)
                self._fire(call, event)
                return stuck
        return False

    def _is_unbound(self, call: Pending) -> bool:
        """Whether the queue that a request did not find was there long enough to have been bound.

        A server that starts declares its queue and binds it after that.
        """
        finding = call.route.finding
        if finding.state is not QueueState.THERE:
            return False
        trouble = call.ensure_trouble()
        if not trouble.stray_since:
            trouble.stray_since = finding.found_at
        return call.body is None or finding.found_at - trouble.stray_since >= BOUND_WITHIN

    def _may_return(self, call: Pending) -> bool:
        """Whether the queue that a request did not find is there, or may be in a moment."""
        route = call.route
        asked_at = route.finding.asked_at
        if route.finding.state is not QueueState.MISSING:
            return True
        trouble = call.ensure_trouble()
        if trouble.unrouted_since < self._connected_at or not trouble.unrouted_since:
            trouble.unrouted_since = asked_at
        known = route.server_seen_at > -inf
        return known and asked_at - trouble.unrouted_since < DECLARED_AGAIN_WITHIN

    def _why_refused(self, call: Pending, *, found: bool) -> tuple[Event, bool]:
        """What a probe says of a request that the broker refused, and whether its channel is stuck.

        A full queue refuses, be it the contract that bounds it or a policy of the broker. So does
        the dying node of a classic queue: then a server may have the request, but the queue is out
        of reach. And so does a channel that met a quorum queue whose leader had just died, for as
        long as the leader's node is away, whoever leads the queue by then; then no server has the
        request. Another channel tells a queue that is full from such a channel.
        """
        route = call.route
        if call.resends >= MOST_RESENDS:
            return Event.QUEUE_FULL, False
        if not found or _is_away(route):
            if call.request.repeatable:
                return (Event.QUEUE_AWAY, False) if found else (Event.NEEDS_CHANNEL, True)
            return Event.NOT_TAKEN, not found
        proven = self._is_bounded(route)
        if call.request.repeatable:
            if proven and route.finding.messages:
                return Event.QUEUE_FULL, False
            # A classic queue that died and came back holds nothing; a quorum queue that refuses a
            # request has never had it. So a queue with requests in it did not take this one.
            return (Event.FULL_HERE if route.finding.messages else Event.NEEDS_CHANNEL), True
        return (Event.QUEUE_FULL if _is_whole(call) else Event.NOT_TAKEN), not proven

    def _is_bounded(self, route: Route) -> bool:
        """Whether a queue that is there refuses requests because it is full, for all that is known.

        It is if the contract bounds it. Else it is if it refuses on another channel as well.
        """
        if (route.limited is not False or route.refuses) and route.finding.messages:
            return True
        now = self._time()
        if now - route.refused_at > SERVERS_RETURN_WITHIN:
            route.refused(now)
        if self._connected_at <= route.refused_at:
            return False
        if route.limited is False and not route.refuses:
            log.info("%s: its queue is bounded, though not by the contract", route.key)
            route.refuses = True
        return True

    async def _replace(self) -> None:
        """Go on with another channel in a moment; if that does not help, with a third one later."""
        if self.is_replacing:
            return
        self.is_replacing = True
        again = self._time() - self._replaced_at < SERVERS_RETURN_WITHIN
        self._pause = min(_LONGEST_PAUSE, self._pause * 2) if again else _FIRST_PAUSE
        try:
            await asyncio.sleep(self._pause)
            await self._replace_channel()
            self._replaced_at = self._time()
        finally:
            self.is_replacing = False


def _is_whole(call: Pending) -> bool:
    """Whether the last probe found the queue of a call as a dying node would not leave it.

    A queue that died and came back has lost its messages, or its servers.
    """
    route = call.route
    finding = route.finding
    return finding.messages > 0 or (finding.consumers > 0 and route.change.found_at < call.started)


def _is_away(route: Route) -> bool:
    """Whether the last probe did not find the queue."""
    return route.finding.state in (QueueState.MISSING, QueueState.DOWN)
