"""Requests that the broker gave back or did not take. One probe explains all of a queue.

The broker says only that it has not delivered them. Whether nobody listens, all are busy, the queue
is full or its node is down, decides what their callers are told and whether they go out again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from math import inf
from typing import Final, Protocol

from leveret.client.calls.life import Act, Event, Pending, State
from leveret.client.calls.route import QueueState, Route
from leveret.client.calls.tasks import Begin
from leveret.wire.timing import DECLARED_AGAIN_WITHIN, SERVERS_RETURN_WITHIN

MOST_RESENDS: Final = 10
"""How often a request is sent again that costs its channel each time, or is refused each time."""
_FIRST_PAUSE: Final = 0.05
"""Seconds before a channel is replaced that was not replaced lately; doubled each further time."""
_LONGEST_PAUSE: Final = 1.0
"""Seconds that no such pause passes."""


class Fire(Protocol):
    """Tells a call that something happened to it: `CallTable.fire`."""

    def __call__(self, call: Pending, event: Event, /) -> Act:
        """Returns the act."""
        ...


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
                if found and call.route.finding.state is QueueState.THERE:
                    self._unbound(call.route)
                back = found and call.body is not None and self._may_return(call)
                self._fire(call, Event.QUEUE_RETURNS if back else Event.NO_QUEUE)
            case State.REFUSED:
                event = self._why_refused(call, found=found)
                self._fire(call, event)
                return event in (Event.NEEDS_CHANNEL, Event.NOT_TAKEN) and not _is_away(call.route)
        return False

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

    def _why_refused(self, call: Pending, *, found: bool) -> Event:
        """What a probe says of a request that the broker refused.

        A full queue refuses. So does the dying node of a classic queue: then a server may have the
        request. And so does a channel that met a quorum queue whose leader had just died, for as
        long as the leader's node is away, whoever leads the queue by then.
        """
        route = call.route
        if (found and route.limited is not False and route.finding.messages > 0) or (
            call.resends >= MOST_RESENDS
        ):
            return Event.QUEUE_FULL
        if not call.request.repeatable:
            return Event.NOT_TAKEN  # the next one need not be refused
        return Event.QUEUE_AWAY if _is_away(route) else Event.NEEDS_CHANNEL

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


def _is_away(route: Route) -> bool:
    """Whether the last probe did not find the queue."""
    return route.finding.state in (QueueState.MISSING, QueueState.DOWN)
