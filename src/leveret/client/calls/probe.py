"""Probes: passive declares, which tell how many requests wait in a queue and who listens.

They go over a channel of their own, as the broker closes the channel of one that finds no queue.
And since a probe is always answered, one that is not tells that the broker is dead, long before two
heartbeats are missed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from math import inf
from typing import Final

from leveret.amqp.codes import ReplyCode
from leveret.client.calls.route import Finding, QueueState, Route
from leveret.client.calls.tasks import Begin
from leveret.errors import ChannelClosed, LeveretError
from leveret.transport.channel import Channel
from leveret.transport.connection import Connection
from leveret.wire.channel_errors import is_down

DEAD_AFTER: Final = 5.0
"""Seconds without a byte from the broker, while an answer is due, after which it counts as dead."""
_HANGS_AFTER: Final = 0.25
"""Seconds without an answer after which a probe no longer holds up the others."""
_DOWN_AFTER: Final = 2.0
"""Further seconds without an answer after which a queue counts as out of reach."""


class BrokerLiveness:
    """Whether a broker that owes an answer and says nothing is still there. Pure."""

    def __init__(self) -> None:
        self._expected_since: float | None = None
        self._reads = -1
        self._heard_at = -inf

    def expect_answer(self, now: float) -> None:
        """The client asked the broker something. `now` is on the event loop's clock."""
        if self._expected_since is None:
            self._expected_since = now

    def answered(self) -> None:
        """The broker answered, or the connection is another one."""
        self._expected_since = None

    def is_dead(self, reads: int, now: float, *, blocked: bool) -> bool:
        """Whether the broker has been silent for too long.

        The answer is right only if it is asked several times a second while an answer is due.

        :param reads: how often the connection has read anything.
        :param blocked: whether the broker blocks publishers: then it may read nothing for long.
        """
        if reads != self._reads:
            self._reads, self._heard_at = reads, now
            return False
        if self._expected_since is None or blocked:
            return False
        return now - max(self._expected_since, self._heard_at) > DEAD_AFTER


class QueueProbe:
    """Probes queues, and has their routes note what it finds.

    :param connection: gives the connection of now.
    """

    def __init__(
        self,
        connection: Callable[[], Connection],
        begin: Begin,
        time: Callable[[], float],
    ) -> None:
        self._connection = connection
        self._begin = begin
        self._time = time
        self._channel: Channel | None = None
        self._turn = asyncio.Lock()
        self._liveness = BrokerLiveness()

    def connection_changed(self) -> None:
        """The broker owes no answer on the connection of now."""
        self._liveness.answered()

    def check_broker(self) -> None:
        """Drop the connection if its broker is dead. To be called several times a second."""
        connection = self._connection()
        if self._liveness.is_dead(connection.reads, self._time(), blocked=bool(connection.blocked)):
            connection.abort(f"nothing heard from the broker for {DEAD_AFTER:g} s")

    async def probe(self, route: Route) -> bool:
        """Probe a queue once; returns whether anything was found out."""
        asked_at = self._time()
        route.asked(asked_at)
        try:
            route.probed(await self._ask(route, asked_at))
        except ChannelClosed as error:
            self._liveness.answered()
            if error.reply_code != ReplyCode.NOT_FOUND:
                return False
            state = QueueState.DOWN if is_down(error) else QueueState.MISSING
            route.probed(Finding(state=state, asked_at=asked_at, found_at=self._time()))
        except LeveretError:
            return False  # the connection is going; the calls are told of that by others
        finally:
            route.answered()
        return True

    async def _ask(self, route: Route, asked_at: float) -> Finding:
        """Declare a queue passively.

        One probe at a time has the channel, as a 404 closes it. But the others do not wait for one
        that hangs, as that for a quorum queue without a leader does: it keeps the channel, and they
        take another. A queue of which RabbitMQ says nothing for long counts as DOWN.
        """
        async with self._turn:
            self._liveness.expect_answer(self._time())
            channel = await self._open()
            asking = self._begin(channel.look_at_queue(route.queue))
            await asyncio.wait({asking}, timeout=_HANGS_AFTER)
            if not asking.done():
                self._channel = None
        try:
            await asyncio.wait({asking}, timeout=_DOWN_AFTER)
            if not asking.done() and await self._broker_answers():
                down = Finding(state=QueueState.DOWN, asked_at=asked_at, found_at=self._time())
                route.probed(down)
            declared = await asking
        finally:
            if channel is not self._channel:
                channel.abandon()
        self._liveness.answered()
        return Finding(
            state=QueueState.THERE,
            asked_at=asked_at,
            found_at=self._time(),
            consumers=declared.consumer_count or 0,
            messages=declared.message_count or 0,
        )

    async def _broker_answers(self) -> bool:
        """Whether the broker answers to anything else. One that is dead does not."""
        try:
            async with self._turn:
                self._channel = None
                await self._open()
        except LeveretError:
            return False
        self._liveness.answered()
        return True

    async def _open(self) -> Channel:
        if self._channel is None or self._channel.closed is not None:
            self._channel = await self._connection().open_channel()
        return self._channel
