"""Probes: passive declares, which tell how many requests wait in a queue and who listens.

They go over a channel of their own, as the broker closes the channel of one that finds no queue.
And since a probe is always answered, one that is not tells that the broker is dead, long before two
heartbeats are missed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import count
from math import inf
from typing import Final

from leveret.amqp import methods
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
    """Whether a broker that owes answers and says nothing is still there. Pure."""

    def __init__(self) -> None:
        self._tickets = count()
        self._owed: dict[int, float] = {}  # when each was asked, the oldest first
        self._reads = -1
        self._heard_at = -inf

    def expect_answer(self, now: float) -> int:
        """The client asked the broker something; returns the number of the question.

        :param now: on the event loop's clock.
        """
        question = next(self._tickets)
        self._owed[question] = now
        return question

    def expect_no_answer(self, question: int) -> None:
        """The answer came, or nobody waits for it any more."""
        self._owed.pop(question, None)

    def connection_changed(self) -> None:
        """The connection is another one, on which the broker was asked nothing."""
        self._owed.clear()

    def is_dead(self, reads: int, now: float, *, blocked: bool) -> bool:
        """Whether the broker has been silent for too long.

        The answer is right only if it is asked several times a second while an answer is due.

        :param reads: how often the connection has read anything.
        :param blocked: whether the broker blocks publishers: then it may read nothing for long.
        """
        if reads != self._reads:
            self._reads, self._heard_at = reads, now
            return False
        if not self._owed or blocked:
            return False
        return now - max(next(iter(self._owed.values())), self._heard_at) > DEAD_AFTER


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
        self._liveness.connection_changed()

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
            if error.reply_code != ReplyCode.NOT_FOUND:
                route.not_answered(self._time())
                return False
            state = QueueState.DOWN if is_down(error) else QueueState.MISSING
            route.probed(Finding(state=state, asked_at=asked_at, found_at=self._time()))
        except LeveretError:
            route.not_answered(self._time())
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
        channel: Channel | None = None
        question: int | None = None
        try:
            async with self._turn:
                question = self._liveness.expect_answer(self._time())
                route.probe_sent(self._time())
                channel = await self._open()
                asking = self._begin(channel.look_at_queue(route.queue))
                asking.add_done_callback(_see_error)
                await asyncio.wait({asking}, timeout=_HANGS_AFTER)
                if not asking.done():
                    self._channel = None
            await asyncio.wait({asking}, timeout=_DOWN_AFTER)
            if not asking.done() and await self._broker_answers():
                # It may never answer this question, but it lives.
                self._liveness.expect_no_answer(question)
                down = Finding(state=QueueState.DOWN, asked_at=asked_at, found_at=self._time())
                route.probed(down)
            declared = await asking
        finally:
            if question is not None:
                self._liveness.expect_no_answer(question)
            if channel is not None and channel is not self._channel:
                channel.abandon()
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
        return True

    async def _open(self) -> Channel:
        if self._channel is None or self._channel.closed is not None:
            self._channel = await self._connection().open_channel()
        return self._channel


def _see_error(asking: asyncio.Task[methods.Queue.DeclareOk]) -> None:
    """Its error counts as seen, even if who waits for it is cancelled at the same time."""
    if not asking.cancelled():
        asking.exception()
