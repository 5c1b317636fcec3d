"""Finds out why the broker returned or refused requests, by one probe for all of a queue.

The broker says only that it has not delivered them. Perhaps no server listens, all are busy, the
queue is full, or its node is down. That decides what their callers are told, and whether the client
sends them again.
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
from leveret.client.calls.verdicts import hangs_on_the_servers
from leveret.wire.timing import DECLARED_AGAIN_WITHIN, SERVERS_RETURN_WITHIN

log = logging.getLogger("leveret.client")

BOUND_WITHIN: Final = 0.5
"""Seconds within which a server binds a queue that it has declared."""
_FIRST_PAUSE: Final = 0.05
"""Seconds before a channel is replaced that has not been replaced lately; doubled each time."""
_LONGEST_PAUSE: Final = 1.0
"""Seconds of the longest pause before a channel is replaced."""


class Returns:
    """Explains why requests came back, those of one queue together.

    :param probe: probes a queue.
    :param ask_servers: asks the servers of a queue for how long they have consumed it.
    :param replace_channel: replaces the client's channel.
    :param unbound: is told of a queue that exists, but that requests do not reach.
    """

    def __init__(
        self,
        *,
        begin: Begin,
        fire: Fire,
        probe: Callable[[Route], Awaitable[bool]],
        ask_servers: Callable[[Route], Awaitable[None]],
        replace_channel: Callable[[], Awaitable[None]],
        unbound: Callable[[Route], None],
        time: Callable[[], float],
    ) -> None:
        self.is_replacing = False
        """Whether the channel is being replaced, as it is of no use for some queue."""
        self._begin = begin
        self._fire = fire
        self._probe = probe
        self._ask_servers = ask_servers
        self._replace_channel = replace_channel
        self._unbound = unbound
        self._time = time
        self._waiting: dict[Route, dict[str, Pending]] = {}
        self._explaining: set[Route] = set()
        self._connected_at = -inf
        self._replaced_at = -inf
        self._pause = _FIRST_PAUSE

    def connection_changed(self) -> None:
        """A queue that was missing on the last connection may be there on this one."""
        self._connected_at = self._time()

    def add(self, call: Pending) -> None:
        """Find out why the request of this call came back."""
        route = call.route
        self._waiting.setdefault(route, {})[call.id] = call
        if route not in self._explaining:
            self._explaining.add(route)
            self._begin(self._explain_all(route))

    async def _explain_all(self, route: Route) -> None:
        """Probe for all requests that came back, and again for those that come back meanwhile."""
        try:
            while calls := self._waiting.pop(route, None):
                found = await self._probe(route)
                if any(self._hangs_on_the_servers(call) for call in calls.values()):
                    await self._ask_servers(route)
                stuck = [self._explain(call, found=found) for call in calls.values()]
                if any(stuck):
                    await self._replace()
        finally:
            self._explaining.discard(route)

    def _hangs_on_the_servers(self, call: Pending) -> bool:
        return call.state is State.EXPIRED and hangs_on_the_servers(call)

    def _explain(self, call: Pending, *, found: bool) -> bool:
        """Tell one call what the probe found; return whether the channel is of no use for it."""
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
        """Whether the queue that a request did not reach was there long enough to have been bound.

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
        """Whether the queue that a request did not reach is there, or may be in a moment."""
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

        A request is refused in one of three cases. The queue is full: the contract bounds it, or a
        policy of the broker. Or the node of a classic queue is dying: then a server may have the
        request, but the queue is out of reach. Or the leader of a quorum queue had just died when
        this channel first met the queue: then the channel refuses until the leader's node is back,
        even if another node leads by then, and no server has the request. Another channel tells
        the first case from the third.
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
        """Whether an existing queue seems to refuse requests because it is full.

        It does if the contract bounds it. Otherwise it does if it refuses on another channel too.
        """
        if (route.limited is not False or route.refuses) and route.finding.messages:
            return True
        now = self._time()
        if now - route.refused_at > SERVERS_RETURN_WITHIN:
            route.refused(now)
        if self._connected_at <= route.refused_at:
            return False
        if route.limited is False and not route.refuses:
            log.info("%s: its queue is bounded, but not by the contract", route.key)
            route.refuses = True
        return True

    async def _replace(self) -> None:
        """Replace the channel in a moment; if that does not help, replace it again later."""
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
    """Whether the last probe shows that the node of a call's queue has not died.

    A queue whose node died has lost its messages or its consumers when it is back.
    """
    route = call.route
    finding = route.finding
    return finding.messages > 0 or (finding.consumers > 0 and route.change.found_at < call.started)


def _is_away(route: Route) -> bool:
    """Whether the last probe did not find the queue."""
    return route.finding.state in (QueueState.MISSING, QueueState.DOWN)
