"""Probes: passive declares, which tell how many requests wait in a queue and who listens.

They go over channels of their own, as the broker closes the channel of one that finds no queue.
As the broker answers every probe, an unanswered one tells that the broker is dead, long before two
heartbeats are missed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import count
from math import inf
from typing import Any, Final

from msgspec import Struct

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
MOST_AT_ONCE: Final = 16
"""How many probes may be in flight, not counting those that hang."""
_LOOK_FOR_A_TURN: Final = 0.01
"""Seconds between two checks of a waiting probe whether fewer are in flight."""
_KEPT: Final = 2
"""How many channels are kept for the next probes."""


class BrokerLiveness:
    """Whether a broker is still there that owes answers and sends nothing. Pure."""

    def __init__(self) -> None:
        self._tickets = count()
        self._owed: dict[int, float] = {}  # when each was asked, the oldest first
        self._reads: int | None = None
        self._heard_at = -inf

    def expect_answer(self, now: float) -> int:
        """The client asked the broker something; returns the number of the question.

        :param now: on the event loop's clock.
        """
        question = next(self._tickets)
        self._owed[question] = now
        return question

    def expect_no_answer(self, question: int) -> None:
        """The answer arrived, or nobody waits for it any more."""
        self._owed.pop(question, None)

    def connection_changed(self) -> None:
        """The connection is another one, on which the client has asked nothing yet."""
        self._owed.clear()

    def is_dead(self, reads: int, now: float, *, blocked: bool) -> bool:
        """Whether the broker has been silent for too long.

        The result is right only if this is called several times a second while an answer is due.

        :param reads: how often the connection has read anything.
        :param blocked: whether the broker blocks publishers; then it may read nothing for a long
            time.
        """
        if reads != self._reads:
            self._reads, self._heard_at = reads, now
            return False
        if not self._owed or blocked:
            return False
        return now - max(next(iter(self._owed.values())), self._heard_at) > DEAD_AFTER


class QueueProbe:
    """Probes queues, and notes in their routes what it finds.

    :param connection: gives the current connection.
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
        self._idle: list[Channel] = []
        self._under_way = 0  # how many questions have a channel, but for those that hang
        self._liveness = BrokerLiveness()

    def connection_changed(self) -> None:
        """The connection is another one, on which the broker owes no answer."""
        self._liveness.connection_changed()

    def check_broker(self) -> None:
        """Drop the connection if its broker is dead. To be called several times a second."""
        connection = self._connection()
        if self._liveness.is_dead(connection.reads, self._time(), blocked=bool(connection.blocked)):
            connection.abort(f"nothing heard from the broker for {DEAD_AFTER:g} s")

    def probe(self, route: Route) -> asyncio.Task[bool]:
        """Probe a queue once. The task returns whether anything was found out.

        The probe is sent before this returns, unless many are in flight. So a probe right after a
        request reaches the broker together with it, before the broker can have noticed that a
        server which took the request has died.
        """
        asked_at = self._time()
        route.asked(asked_at)
        try:
            question = self._ask(route) if self._under_way < MOST_AT_ONCE else None
        except LeveretError:
            question = None  # it fails once more where that is seen
        return self._begin(self._find_out(route, asked_at, question))

    async def count_servers(self, queue: str, seconds: float) -> int | None:
        """How many servers consume a queue, by the broker's count.

        :param seconds: how long the broker has to answer.
        :returns: None if it does not say.
        """
        route = Route(queue, queue)
        try:
            async with asyncio.timeout(seconds):
                await self.probe(route)
        except TimeoutError:
            return None
        is_known = route.finding.state in {QueueState.THERE, QueueState.MISSING}
        return route.finding.consumers if is_known else None

    async def _find_out(self, route: Route, asked_at: float, question: _Question | None) -> bool:
        try:
            route.probed(await self._answer(route, asked_at, question))
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

    def _ask(self, route: Route) -> _Question:
        """Declare a queue passively.

        Each probe in flight has a channel of its own: a 404 closes the channel, and the probe of a
        quorum queue without a leader hangs. A new channel is used before it is open.

        :raises LeveretError: if the connection has ended, or has no channel left.
        """
        connection = self._connection()
        channel = self._channel(connection)
        asking = self._begin(channel.ask_for_queue(route.queue))
        asking.add_done_callback(_see_error)
        now = self._time()
        beside = route.probe_sent(now)
        self._under_way += 1
        return _Question(channel, asking, self._liveness.expect_answer(now), beside)

    def _channel(self, connection: Connection) -> Channel:
        while self._idle:
            channel = self._idle.pop()
            if channel.connection is connection and channel.closed is None:
                return channel
        channel, opened = connection.begin_channel()
        self._begin(opened).add_done_callback(_see_error)
        return channel

    async def _answer(self, route: Route, asked_at: float, question: _Question | None) -> Finding:
        """The answer to a probe. A queue is DOWN if RabbitMQ does not answer for long."""
        while question is None:
            if self._under_way < MOST_AT_ONCE:
                question = self._ask(route)
            else:
                await asyncio.sleep(_LOOK_FOR_A_TURN)
        asking, hangs = question.asking, False
        try:
            try:
                await asyncio.wait({asking}, timeout=_HANGS_AFTER)
            finally:
                self._under_way -= 1
            hangs = not asking.done()
            await asyncio.wait({asking}, timeout=_DOWN_AFTER)
            if not asking.done() and await self._broker_answers():
                # It may never answer this question, but it lives.
                self._liveness.expect_no_answer(question.number)
                down = Finding(state=QueueState.DOWN, asked_at=asked_at, found_at=self._time())
                route.probed(down)
            declared = await asking
        except BaseException:
            question.channel.abandon()
            raise
        finally:
            self._liveness.expect_no_answer(question.number)
        if hangs or len(self._idle) >= _KEPT:
            question.channel.abandon()
        else:
            self._idle.append(question.channel)
        now = self._time()
        return Finding(
            state=QueueState.THERE,
            asked_at=asked_at,
            found_at=now,
            covers_since=min(question.beside, now),
            consumers=declared.consumer_count or 0,
            messages=declared.message_count or 0,
        )

    async def _broker_answers(self) -> bool:
        """Whether the broker answers anything else, which tells that it is alive."""
        try:
            channel = await self._connection().open_channel()
        except LeveretError:
            return False
        channel.abandon()
        return True


class _Question(Struct, frozen=True):
    """A probe that was sent."""

    channel: Channel
    asking: asyncio.Task[methods.Queue.DeclareOk]
    number: int
    """What `BrokerLiveness` knows it by."""
    beside: float
    """When the first of the calls was sent that it went along with; infinity if there are none."""


def _see_error(asking: asyncio.Task[Any]) -> None:
    """Count its error as seen, even if the task that awaits it is cancelled at the same time."""
    if not asking.cancelled():
        asking.exception()
