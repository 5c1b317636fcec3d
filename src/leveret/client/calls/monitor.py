"""Looks after calls that wait for long, to tell "no server" from "a slow one".

The queue of a call is probed once the call has waited for `PROBE_AFTER` seconds, or for half of its
timeout if that is less, and again as often as that; once a second where all are being served. It is
also probed along with each call that is sent after a second without replies. So the client knows
whether a server was there when it sent the request; otherwise "nobody has run it" would be a guess.
Calls that are sent in one write share this probe, which is in the same write.

The same probes find requests that were lost. A broker that is killed loses what it held in memory,
a socket that breaks loses what was in it, a deleted queue all that waited there. If the queue is
empty and no server has said that it has the call, the client asks the servers ("query"). If none
has answered at a later probe, the request is gone, or its reply is. The request of an idempotent
method is sent again then.

**When.** Most calls end long before anybody has to look after them, so sending one costs nothing
here. Every `PROBE_AFTER` seconds the monitor notes the calls that are new in the table; each of
those is then due at its own time, by an entry of a timer wheel. Calls with little time get their
entry at once. Calls that are overdue are kept by queue, and each queue has its own next check. So
no call waits for another one's turn, whether of its own queue or of another.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from math import inf
from typing import Final

from leveret.client.calls.life import OUT, Act, Event, Fire, Pending, State
from leveret.client.calls.route import QueueState, Route
from leveret.client.calls.tasks import Begin
from leveret.transport.deadlines import Deadlines
from leveret.wire.log_fields import fields_of, shown
from leveret.wire.timing import (
    ANNOUNCE_AFTER,
    DECLARED_AGAIN_WITHIN,
    NOTICE_IN_TRANSIT,
    NOTICE_TRUSTED_FOR,
    PROBE_AFTER,
    QUERY_ANSWERED_WITHIN,
    SERVERS_RETURN_WITHIN,
)

log = logging.getLogger("leveret.client")

SHORT: Final = 2 * PROBE_AFTER
"""Seconds. The monitor looks after a call with a shorter timeout sooner than after others."""
SERVED_EVERY: Final = 1.0
"""Seconds between two probes of a queue whose requests are all being served, at least."""
MOST_BESIDE: Final = 4
"""How many probes along with calls of one queue may be in flight; further calls wait for one."""
_SOONEST: Final = 0.05
"""Seconds between two probes of a queue, at least, if one of its calls has little time."""
_SOON: Final = 0.1
"""Seconds between two probes of a queue, at least, if all of its calls have enough time."""
_NOT_LOOKED_AFTER: Final = (State.STREAMING, State.ENDED)
"""The states of calls about which no queue can tell any more."""


class _Overdue:
    """The calls of one queue that have waited for long."""

    __slots__ = ("calls", "check_at", "is_looked_after", "route")

    def __init__(self, route: Route) -> None:
        self.route = route
        self.calls: dict[str, Pending] = {}
        self.check_at = inf
        """When the monitor looks at them next, on the event loop's clock."""
        self.is_looked_after = False
        """Whether a probe for them is about to be sent, or in flight."""


class Monitor:
    """Finds out why calls wait.

    :param calls: all calls that have not ended, by id, in the order in which they were sent.
    :param defer: calls back just before the next write to the broker.
    :param probe: probes a queue; returns whether anything was found out.
    :param check_broker: drops the connection if its broker is dead.
    :param is_unconfirmed: whether the broker is not known to have a call's request.
    :param query: asks the servers of a queue what became of these calls.
    :param resend: sends the request of a call again, after it was lost.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        calls: dict[str, Pending],
        *,
        begin: Begin,
        fire: Fire,
        defer: Callable[[Callable[[], None]], None],
        probe: Callable[[Route], Awaitable[bool]],
        check_broker: Callable[[], None],
        is_unconfirmed: Callable[[Pending], bool],
        query: Callable[[Route, list[str]], None],
        resend: Callable[[Pending], None],
    ) -> None:
        self.is_watching = False
        """Whether new calls are noted every `PROBE_AFTER` seconds."""
        self._calls = calls
        self._begin = begin
        self._fire = fire
        self._defer = defer
        self._probe = probe
        self._check_broker = check_broker
        self._is_unconfirmed = is_unconfirmed
        self._query = query
        self._resend = resend
        self._time = loop.time
        self._timers: Deadlines[partial[None]] = Deadlines(loop, lambda due: due())
        self._overdue: dict[Route, _Overdue] = {}
        self._beside: dict[Route, None] = {}  # to be probed with the next write
        self._probing_beside: Counter[Route] = Counter()
        self._patient_until = -inf

    def close(self) -> None:
        """Look after no calls any more."""
        self._timers.close()

    def connection_changed(self) -> None:
        """The connection is another one: what probes found on the last one counts no more."""
        self._beside.clear()  # there was no such write
        self._patient_until = self._time() + SERVERS_RETURN_WITHIN

    # -- when ---------------------------------------------------------------------------------

    def probe_beside(self, route: Route, now: float) -> None:
        """Probe the queue of a call that is being sent, as no server was seen for a while.

        The probe is in the same write as the request, after all requests in it. So the broker
        answers it before it can have noticed that a server which took one of them has died.
        """
        route.sent_unseen(now)
        if not self._beside:
            self._defer(self._probe_all_beside)
        self._beside[route] = None

    def _probe_all_beside(self) -> None:
        routes, self._beside = self._beside, {}
        for route in routes:
            if self._probing_beside[route] < MOST_BESIDE:
                self._probing_beside[route] += 1
                self._begin(self._probe_beside(route, self._probe(route)))

    async def _probe_beside(self, route: Route, probing: Awaitable[bool]) -> None:
        """Probe for the calls that were sent, and again for calls that were sent meanwhile."""
        try:
            while await probing and route.unprobed_since < inf and route not in self._beside:
                probing = self._probe(route)
        finally:
            self._probing_beside[route] -= 1
            if not self._probing_beside[route]:
                del self._probing_beside[route]

    def watch(self, call: Pending) -> None:
        """Look after this call, and after all later ones until none is left."""
        if call.timeout < SHORT:
            self._note(call)
        if not self.is_watching:
            self.is_watching = True
            self._timers.add(self._time() + PROBE_AFTER, partial(self._note_new))

    def _note_new(self) -> None:
        """Note the calls that were sent since the last time: the last ones of the table."""
        for call in reversed(self._calls.values()):
            if call.watched and call.timeout >= SHORT:
                break  # and so are all before it
            if not call.watched:
                self._note(call)
        self._check_broker()
        self.is_watching = bool(self._calls)
        if self.is_watching:
            self._timers.add(self._time() + PROBE_AFTER, partial(self._note_new))

    def _note(self, call: Pending) -> None:
        call.watched = True
        if call.request.one_way:
            return  # it waits for the broker, and for no server
        due = call.started + min(PROBE_AFTER, call.timeout / 2)
        if due <= self._time():
            self._is_due(call)
        else:
            self._timers.add(due, partial(self._is_due, call))

    def passed(self, call: Pending) -> None:
        """A call has reached a later stage of its pipe, and waits in another queue."""
        self._timers.add(self._time() + PROBE_AFTER, partial(self._is_due, call))

    def _is_due(self, call: Pending) -> None:
        """A call has waited long enough to be looked after."""
        if call.state in _NOT_LOOKED_AFTER:
            return
        route = call.route
        overdue = self._overdue.get(route)
        if overdue is None:
            overdue = self._overdue[route] = _Overdue(route)
        overdue.calls[call.id] = call
        now = self._time()
        under_way = route.is_probed or overdue.is_looked_after
        pause = _SOONEST if call.timeout < SHORT else _SOON
        self._check_at(overdue, max(now, (now if under_way else route.asked_at) + pause))

    def _check_at(self, overdue: _Overdue, when: float) -> None:
        if when < overdue.check_at:
            overdue.check_at = when
            if when <= self._time():
                self._check(overdue, when)
            else:
                self._timers.add(when, partial(self._check, overdue, when))

    def _check(self, overdue: _Overdue, when: float) -> None:
        """Look after the overdue calls of one queue, and do so again later."""
        if when != overdue.check_at:
            return  # an earlier check was made instead
        overdue.check_at = inf
        route, now = overdue.route, self._time()
        if route.is_probed or overdue.is_looked_after:
            self._check_at(overdue, now + _SOON)
            return
        waiting = [c for c in overdue.calls.values() if c.state not in _NOT_LOOKED_AFTER]
        overdue.calls = {call.id: call for call in waiting if call.route is route}
        for call in waiting:
            if call.route is not route:  # a pipe goes on to other queues, and begins anew
                self._is_due(call)
        if not overdue.calls:
            del self._overdue[route]
            return
        if self._is_probe_due(route, overdue.calls.values(), now):
            overdue.is_looked_after = True
            self._begin(self._look_after(overdue))
        self._check_at(overdue, now + PROBE_AFTER)

    def _is_probe_due(self, route: Route, waiting: Iterable[Pending], now: float) -> bool:
        """Whether to probe a queue, which is seldom if all of its calls are known to run."""
        finding = route.finding
        if not finding.consumers or finding.messages:
            return True  # whoever waits must know of each server that comes or dies meanwhile
        age = now - route.asked_at
        # A call that is younger had not waited for long when the last probe was made.
        seen = route.asked_at - PROBE_AFTER / 4
        return age >= SERVED_EVERY or any(
            (call.since > seen and not call.noticed_at)
            or (call.state is State.SOUGHT and age >= SERVED_EVERY / 2)
            for call in waiting
        )

    # -- what a probe says --------------------------------------------------------------------

    async def _look_after(self, overdue: _Overdue) -> None:
        """Probe, end the calls that nobody will answer, and send lost requests again."""
        route = overdue.route
        try:
            if not await self._probe(route):
                return
        finally:
            overdue.is_looked_after = False
        finding = route.finding
        if finding.state is QueueState.DOWN:
            return  # its node comes back, or the deadline passes
        back = max(self._patient_until, route.recovery.found_at + SERVERS_RETURN_WITHIN)
        if not finding.consumers and finding.asked_at < back:
            return  # its servers have lost their connections as well, and are on their way
        # Those that became overdue while the probe was under way are judged with the others.
        waiting = [
            call
            for call in overdue.calls.values()
            if call.state in OUT and call.route is route and call.since < finding.asked_at
        ]
        waiting.sort(key=lambda call: call.since)
        if finding.state is QueueState.MISSING:
            await self._judge(self._deleted(waiting), Event.QUEUE_DELETED)
        elif not finding.consumers and finding.messages:
            # No more of them can wait in the queue than the queue holds: the youngest.
            await self._judge(waiting[-finding.messages :], Event.NO_SERVER)
        elif finding.messages:
            await self._judge(self._behind_others(waiting), Event.BACKLOG)
        else:
            self._seek(route, waiting)

    async def _judge(self, calls: list[Pending], event: Event) -> None:
        """End calls that nobody will answer."""
        if not calls:
            return
        await asyncio.sleep(NOTICE_IN_TRANSIT)
        for call in calls:
            waits = call.request.wait_for_server or call.noticed_at
            if not waits and call.state in (State.QUIET, State.SOUGHT):
                self._fire(call, event)

    def _behind_others(self, calls: list[Pending]) -> list[Pending]:
        """The calls that must not wait, but whose requests seem to wait behind others.

        A server that had one of them would have said so within twice `ANNOUNCE_AFTER`.
        """
        behind: list[Pending] = []
        for call in calls:
            if not (call.request.if_busy_fail and call.state is State.QUIET):
                continue
            trouble = call.ensure_trouble()
            if not trouble.left_queue:
                trouble.missing_since = trouble.missing_since or call.route.finding.asked_at
                if self._is_missing(call, 2 * ANNOUNCE_AFTER):
                    behind.append(call)
        return behind

    def _deleted(self, calls: list[Pending]) -> list[Pending]:
        """The calls whose queue is gone for good: a live server would have declared it again."""
        gone: list[Pending] = []
        for call in calls:
            if not call.request.repeatable:
                gone.append(call)
            elif call.state is State.QUIET:
                self._fire(call, Event.QUEUE_GONE)
            elif call.state is State.SOUGHT and self._is_missing(call, DECLARED_AGAIN_WITHIN):
                gone.append(call)
        return gone

    def _seek(self, route: Route, calls: list[Pending]) -> None:
        """The queue is empty: each call is at a server, or its request or its reply is lost."""
        if route.finding.consumers:
            for call in calls:
                if call.request.if_busy_fail:
                    call.ensure_trouble().left_queue = True
        trusted = self._time() - NOTICE_TRUSTED_FOR
        sought: list[str] = []
        for call in calls:
            if not (call.request.repeatable and route.control_key) or self._is_unconfirmed(call):
                continue
            if call.state is State.SOUGHT:
                if route.finding.consumers and self._is_lost(call):
                    log.info(
                        "%s: the request of a call was lost; sending it again",
                        shown(call),
                        extra=fields_of(call),
                    )
                    self._resend(call)
            elif (not call.noticed_at or call.noticed_at <= trusted) and self._fire(
                call, Event.QUEUE_EMPTY
            ) is Act.QUERY:
                sought.append(call.id)
        if sought:
            self._query(route, sought)

    def _is_lost(self, call: Pending) -> bool:
        """Whether to send a request again, as no server has said that it has it.

        Servers get twice the time to answer with each further copy. That time runs on while the
        connection is down: otherwise connections that break every few seconds would prevent any
        further copy.
        """
        resent_at = call.ensure_trouble().resent_at
        pause = QUERY_ANSWERED_WITHIN * 2**call.resends
        return self._is_missing(call, QUERY_ANSWERED_WITHIN) and (
            not resent_at or call.route.finding.asked_at - resent_at > pause
        )

    def _is_missing(self, call: Pending, patience: float) -> bool:
        """Whether a call's request has seemed lost for this number of seconds."""
        since = call.ensure_trouble().missing_since
        return call.route.finding.asked_at - since > patience
