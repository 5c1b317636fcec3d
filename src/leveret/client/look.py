"""Looks at the queues of calls that wait, to tell "no server" from "a slow one".

A look is a passive declare, on a channel of its own. One is made for a method when a call to it has
waited longer than `FIRST_LOOK`, at most once a second while servers are there; and one beside the
first call after a second without replies, so that the client knows whether a server was there when
it sent the request: without that, "nobody has run it" would be a guess.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, Final

from pamqp import commands

from leveret.amqp.codes import ReplyCode
from leveret.client import verdicts
from leveret.client.pending import LOOK_EVERY, NO_QUEUE
from leveret.errors import ChannelClosed, LeveretError

if TYPE_CHECKING:
    from leveret.client.calls import Calls
    from leveret.client.pending import Pending, Route
    from leveret.transport.channel import Channel

FIRST_LOOK: Final = 0.25
"""Seconds a call waits before its queue is looked at; half its timeout if that is less."""
_LOOK_SOON: Final = 0.05
"""How often one that has none is looked at, in seconds, at the most."""
_SETTLE: Final = 0.02
"""How long after a look an "accepted" of a draining server may still be on its way, in seconds."""


class Lookout:
    """Finds out why calls wait."""

    def __init__(self, calls: Calls) -> None:
        self.watching = False
        self._calls = calls
        self._channel: Channel | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._turn = asyncio.Lock()
        self._timer: asyncio.TimerHandle | None = None
        self._bounced: dict[Route, list[Pending]] = {}
        self._explaining: set[Route] = set()

    async def start(self) -> None:
        """Open the channel."""
        self._channel = await self._calls.connection.open_channel()

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
            await channel.call(commands.Queue.Delete(queue=name))
        except LeveretError:
            pass  # it expires by itself
        if self._channel is not None:
            await self._channel.close()

    def check(self, route: Route, now: float) -> None:
        """A call begins, and no server was seen alive in the last second: look beside it."""
        if not route.looking and now - route.looked_at > _LOOK_SOON:
            self._begin(self._look(route))

    def watch(self, delay: float) -> None:
        """Look after the waiting calls in `delay` seconds, and on until none is left."""
        self.watching = True
        self._timer = self._calls.loop.call_later(delay, self._sweep)

    def explain(self, pending: Pending) -> None:
        """A request came back as nobody took it in time: find out whether anybody is there."""
        route = pending.route
        self._bounced.setdefault(route, []).append(pending)
        if route not in self._explaining:
            self._explaining.add(route)
            self._begin(self._explain(route))

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._calls.loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _sweep(self) -> None:
        calls = self._calls
        if not calls.pending:
            self.watching = False
            return
        now = calls.loop.time()
        waiting: dict[Route, list[Pending]] = {}
        for pending in calls.pending.values():
            age = now - pending.started
            if age >= min(FIRST_LOOK, pending.timeout / 2) - 0.001:
                waiting.setdefault(pending.route, []).append(pending)
            elif pending.timeout > 2 * FIRST_LOOK:
                break  # all that follow are younger
        for route, pendings in waiting.items():
            if not route.looking:
                self._begin(self._look_for(route, pendings, now))
        self.watch(FIRST_LOOK)

    async def _look_for(self, route: Route, waiting: list[Pending], now: float) -> None:
        """Look, and end the calls that nobody will answer."""
        if route.consumers and now - route.looked_at < LOOK_EVERY:
            return
        await self._look(route)
        calls = self._calls
        if route.consumers == NO_QUEUE:
            waiting = [pending for pending in waiting if pending.started < route.looked_at]
            verdict = verdicts.queue_deleted
        elif route.consumers == 0 and route.messages:
            # No more of them can wait in the queue than the queue holds: the youngest.
            waiting = waiting[-route.messages :]
            verdict = verdicts.no_server
        else:
            return
        await asyncio.sleep(_SETTLE)
        for pending in waiting:
            if not (pending.request.wait_for_server or pending.id in calls.accepted):
                calls.fail(pending, verdict(pending))

    async def _look(self, route: Route) -> None:
        """One passive declare; what it finds is noted on the route."""
        route.looking = True
        route.looked_at = self._calls.loop.time()
        try:
            async with self._turn:  # a 404 closes the channel under whoever shares it
                channel = await self._open()
                found = await channel.look_at_queue(route.queue)
            consumers = found.consumer_count or 0
            if consumers < (route.consumers or 0):
                route.dropped_at = self._calls.loop.time()
            route.consumers = consumers
            route.messages = found.message_count or 0
            if route.consumers:
                route.alive_at = self._calls.loop.time()
        except ChannelClosed as error:
            if error.reply_code == ReplyCode.NOT_FOUND:
                route.consumers, route.messages = NO_QUEUE, 0
        except LeveretError:
            pass  # the connection is going: the calls are told by it
        finally:
            route.looking = False

    async def _explain(self, route: Route) -> None:
        """Look for all whose requests came back in the meantime."""
        calls = self._calls
        while bounced := self._bounced.pop(route, []):
            await self._look(route)
            for pending in bounced:
                calls.fail(pending, verdicts.expired(pending, calls.accepted))
        self._explaining.discard(route)

    async def _open(self) -> Channel:
        if self._channel is None or self._channel.closed is not None:
            self._channel = await self._calls.connection.open_channel()
        return self._channel
