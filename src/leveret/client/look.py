"""Looks at the queues of calls that wait, to tell "no server" from "a slow one".

A look is a passive declare, on a channel of its own. One is made for a method when a call to it has
waited longer than `FIRST_LOOK`, and again as often as that; once a second where all are being
served. And one is made beside the first call after a second without replies, so that the client
knows whether a server was there when it sent the request: without that, "nobody has run it" would
be a guess.

The same looks find requests that were lost: a broker that is killed loses what it held in memory, a
socket that breaks what was in it, a deleted queue all that waited there. If the queue is empty and
no server has said that the handler runs, the client asks ("ask") whether one does; and if at the
next look it is still so, the request is gone, or its reply, and that of an idempotent method is
sent again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from math import inf
from typing import TYPE_CHECKING, Any, Final, TypeVar

from leveret.amqp import methods
from leveret.amqp.codes import ReplyCode
from leveret.client import verdicts
from leveret.client.pending import LOOK_EVERY, NO_QUEUE, QUEUE_DOWN
from leveret.client.silence import DEAD_AFTER, Silence
from leveret.errors import CallError, ChannelClosed, LeveretError
from leveret.wire.channel_errors import is_down

if TYPE_CHECKING:
    from leveret.client.calls import Calls
    from leveret.client.pending import Pending, Route
    from leveret.transport.channel import Channel

log = logging.getLogger("leveret.client")

_T = TypeVar("_T")

FIRST_LOOK: Final = 0.25
"""Seconds a call waits before its queue is looked at; half its timeout if that is less."""
LOOK_SOON: Final = 0.05
"""How often one that has none is looked at, in seconds, at the most."""
_ANSWERED: Final = 0.4
"""Seconds that servers have to say that they run a call; doubled each time that it was resent."""
_WORD_HOLDS: Final = 4.0
"""Seconds after which a server is asked again whether it still runs what it said it runs."""
DECLARED_AGAIN: Final = 2.0
"""Seconds that servers have to declare a deleted queue again, before its calls are given up."""
SERVERS_RETURN: Final = 5.0
"""Seconds after a reconnect, or a queue's return, for which servers count as on their way."""
_HANGS: Final = 0.25
"""Seconds without an answer after which a look holds up no other one."""
_DOWN_AFTER: Final = 2.0
"""Seconds without an answer, besides, after which a queue counts as out of reach."""
_TICK: Final = 0.001
"""By so many seconds a timer of the loop may be early."""
_BUSY: Final = 0.1
"""Seconds between two sweeps, at the least, while calls wait that have been looked after."""
_SETTLE: Final = 0.02
"""How long after a look an "accepted" of a draining server may still be on its way, in seconds."""


class Lookout:
    """Finds out why calls wait."""

    def __init__(self, calls: Calls) -> None:
        self.watching = False
        self._calls = calls
        self._channel: Channel | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._turn = asyncio.Lock()
        self._timer: asyncio.TimerHandle | None = None
        self._silence = Silence()
        self._patient_until = -inf
        self.missing: dict[str, float] = {}
        """Idempotent calls that nobody seems to have, and since which look."""

    async def close(self) -> None:
        """Stop looking."""
        if self._timer is not None:
            self._timer.cancel()
        for task in tuple(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def delete_queue(self, name: str) -> None:
        """Delete the client's own reply queue."""
        try:
            channel = await self._open()
            await channel.call(methods.Queue.Delete(queue=name))
        except LeveretError:
            pass  # it expires by itself
        if self._channel is not None:
            await self._channel.close()

    def check(self, route: Route, now: float) -> None:
        """A call begins, and no server was seen alive in the last second: look beside it."""
        if not route.looking and now - route.looked_at > LOOK_SOON:
            self.begin(self.look(route))

    def watch(self, delay: float) -> None:
        """Look after the waiting calls in at most `delay` seconds, and on until none is left."""
        when = self._calls.loop.time() + delay
        if self.watching and self._timer is not None:
            if self._timer.when() <= when:
                return
            self._timer.cancel()
        self.watching = True
        self._timer = self._calls.loop.call_at(when, self._sweep)

    def recheck(self) -> None:
        """The connection is another one: what was seen before is no news any more."""
        calls = self._calls
        self._silence.answered()
        self._patient_until = calls.loop.time() + SERVERS_RETURN
        self.missing.clear()
        waiting: dict[Route, list[str]] = {}
        for pending in calls.pending.values():
            route = pending.route
            route.looked_at = -inf
            if route.service and pending.id not in calls.attachment.unsent:
                waiting.setdefault(route, []).append(pending.id)
                if pending.request.repeatable:
                    calls.forget_word(pending.id)  # its server may be lost as well
        for route, call_ids in waiting.items():
            calls.ask(route, call_ids)

    def begin(self, work: Coroutine[Any, Any, _T]) -> asyncio.Task[_T]:
        """Do something beside the calls, at most until the client is closed."""
        task = self._calls.loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _sweep(self) -> None:
        calls = self._calls
        self._timer = None
        if not calls.pending:
            self.watching = False
            self.missing.clear()
            return
        if self.missing:  # those that ended in the meantime are not looked for any more
            self.missing = {c: since for c, since in self.missing.items() if c in calls.pending}
        now = calls.loop.time()
        if self._silence.is_deadly(calls.connection, now):
            calls.connection.abort(f"nothing heard from the broker for {DEAD_AFTER:g} s")
        waiting: dict[Route, list[Pending]] = {}
        next_due = FIRST_LOOK
        for pending in calls.pending.values():
            due = pending.started + min(FIRST_LOOK, pending.timeout / 2) - now
            if due <= _TICK:
                waiting.setdefault(pending.route, []).append(pending)
                continue
            next_due = min(next_due, due)
            if pending.timeout > 2 * FIRST_LOOK:
                break  # all that follow are younger
        for route, pendings in waiting.items():
            if not route.looking:
                self.begin(self._look_for(route, pendings, now))
        self.watch(max(next_due, _BUSY if waiting else 0.0))

    async def _look_for(self, route: Route, waiting: list[Pending], now: float) -> None:
        """Look, end the calls that nobody will answer, and send again those that were lost."""
        if not self._is_due(route, waiting, now):
            return
        if not await self.look(route):
            return
        calls = self._calls
        found = route.consumers or 0
        if found == QUEUE_DOWN:
            return  # its node comes back, or the deadline
        if found <= 0 and now < max(self._patient_until, route.back_at + SERVERS_RETURN):
            return  # its servers have lost their connections as well, and are on their way
        verdict: Callable[[Pending, Calls], CallError]
        before = [pending for pending in waiting if pending.started < route.looked_at]
        if found == 0 and route.messages:
            # No more of them can wait in the queue than the queue holds: the youngest.
            lost, verdict = waiting[-route.messages :], verdicts.no_server
        elif found == NO_QUEUE:
            # Its server declares it anew, within a moment; then it is an empty one.
            lost = [pending for pending in before if self._is_gone(pending, DECLARED_AGAIN)]
            verdict = verdicts.queue_deleted
        else:
            if not route.messages:
                self._seek(route, before)
            return
        await asyncio.sleep(_SETTLE)
        for pending in lost:
            if not (pending.request.wait_for_server or pending.id in calls.accepted):
                calls.fail(pending, verdict(pending, calls))

    def _is_due(self, route: Route, waiting: list[Pending], now: float) -> bool:
        """Whether to look again: where all calls are known to run, that is seldom."""
        if (route.consumers or 0) <= 0 or route.messages:
            return True  # whoever waits must know of each server that comes or dies meanwhile
        if now - route.looked_at >= (LOOK_EVERY / 2 if self.missing else LOOK_EVERY):
            return True
        seen = route.looked_at - FIRST_LOOK / 4  # what is younger had not waited at the last look
        accepted = self._calls.accepted
        return any(call.started > seen and call.id not in accepted for call in waiting)

    def _is_gone(self, pending: Pending, patience: float) -> bool:
        if not pending.request.repeatable:
            return True
        since = self.missing.setdefault(pending.id, pending.route.looked_at)
        return pending.route.looked_at - since > patience

    def _seek(self, route: Route, waiting: list[Pending]) -> None:
        """The queue is empty: whoever waits has its request run by a server, or has lost it."""
        calls = self._calls
        old = calls.loop.time() - _WORD_HOLDS
        known = calls.unconfirmed() | {c for c, said_at in calls.accepted.items() if said_at > old}
        asked: list[str] = []
        for pending in waiting:
            call_id = pending.id
            if not (pending.request.repeatable and route.service) or call_id in known:
                continue
            since = self.missing.setdefault(call_id, route.looked_at)
            again = calls.resent.get(call_id, 0)
            if since == route.looked_at:
                asked.append(call_id)
            elif route.consumers and route.looked_at - since > _ANSWERED * 2**again:
                del self.missing[call_id]
                log.info("%s: the request of a call was lost; sending it again", route.key)
                calls.resend(pending)
        if asked:
            calls.ask(route, asked)

    async def look(self, route: Route) -> bool:
        """One passive declare; what it finds is noted on the route. False if none was possible."""
        route.looking = True
        route.looked_at = self._calls.loop.time()
        try:
            found = await self._declare_passively(route)
            self._silence.answered()
            consumers = found.consumer_count or 0
            if consumers == route.consumers and route.messages:
                route.waited_at = route.seen_at  # so many servers, and requests that waited
            route.seen_at = route.looked_at
            if route.consumers is not None and consumers != max(route.consumers, 0):
                # Fewer: one has died. More: one may have, and another taken its place.
                route.changed_at = self._calls.loop.time()
            if route.consumers == QUEUE_DOWN:
                route.back_at = self._calls.loop.time()
            route.consumers = consumers
            route.messages = found.message_count or 0
            if route.consumers:
                route.alive_at = self._calls.loop.time()
        except ChannelClosed as error:
            self._silence.answered()
            if error.reply_code != ReplyCode.NOT_FOUND:
                return False
            route.consumers, route.messages = QUEUE_DOWN if is_down(error) else NO_QUEUE, 0
        except LeveretError:
            return False  # the connection is going: the calls are told by it
        finally:
            route.looking = False
        return True

    async def _declare_passively(self, route: Route) -> methods.Queue.DeclareOk:
        """Ask the broker for a queue.

        One look has the channel at a time, as a 404 closes it. But others do not wait for one that
        hangs, as that for a quorum queue without a leader: it keeps that channel, and they take
        another. A queue of which RabbitMQ says nothing for long is out of reach.
        """
        async with self._turn:
            self._silence.owed(self._calls.loop.time())
            channel = await self._open()
            asking = self.begin(channel.look_at_queue(route.queue))
            await asyncio.wait({asking}, timeout=_HANGS)
            if not asking.done():
                self._channel = None
        try:
            await asyncio.wait({asking}, timeout=_DOWN_AFTER)
            if not asking.done() and await self._says_something():
                route.consumers, route.messages = QUEUE_DOWN, 0
            return await asking
        finally:
            if channel is not self._channel:
                channel.abandon()

    async def _says_something(self) -> bool:
        """Whether the broker answers to anything else; one that is dead does not."""
        try:
            async with self._turn:
                self._channel = None
                await self._open()
        except LeveretError:
            return False
        self._silence.answered()
        return True

    async def _open(self) -> Channel:
        if self._channel is None or self._channel.closed is not None:
            self._channel = await self._calls.connection.open_channel()
        return self._channel
