"""Calls that every server of a service runs, or one named server, by the control exchange.

The request of such a call is in no queue that outlives its server. So the broker never returns it,
and the client sends it once. Its answers come to the client's reply queue like all others, each
with the name of its server. `gathering.py` says when to wait no more.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Protocol

from msgspec import Struct

from leveret.amqp.codes import ReplyCode
from leveret.amqp.events import Content, Delivery
from leveret.amqp.properties import Properties
from leveret.body_parts import Body
from leveret.client.calls.gathering import Gathering
from leveret.client.calls.listener import Listener
from leveret.client.calls.route import QueueState, Route
from leveret.errors import (
    Busy,
    CallError,
    ChannelClosed,
    ConnectionLost,
    DeadlineExceeded,
    LeveretError,
    NoServer,
    PermissionDenied,
    Unimplemented,
)
from leveret.transport.channel import Channel
from leveret.transport.connection import Connection
from leveret.wire.control import PING
from leveret.wire.dialect import ClientChannel, ClientDialect
from leveret.wire.message import Notice, Reply
from leveret.wire.native.headers import DEADLINE, METHOD, instance_of
from leveret.wire.native.names import CALL, CONTROL_EXCHANGE
from leveret.wire.server_answers import read_answer
from leveret.wire.timing import REPLY_GRACE

_PING: Final = "?"
"""The suffix that makes of a call id the name of the ping that is sent with the call. No call id
ends with it."""


class Question(Struct, frozen=True, kw_only=True):
    """A call that every server of a service is to run, or one of them."""

    id: str
    """The call id."""
    route: Route
    """What is known of the method's queue, and the control key of the servers that it is for."""
    method: str
    """The method's name, without that of the service."""
    instance: str = ""
    """The one server that it is for; "" for all servers of the service."""
    dialect: ClientDialect
    """Reads the replies."""
    content_type: str
    """Of the body."""
    body: Body
    """The encoded arguments."""
    headers: Mapping[str, Any]
    """The headers of the call: its metadata, and whether its caller wants progress reports."""
    stall: float
    """Seconds without news after which the client waits for no more answers."""
    wait_for_connection: bool
    """Whether it waits for a broken connection to come back before it is sent."""
    listener: Listener | None = None
    """Takes each server's progress reports, if the caller wants them."""


class _Asked:
    """A question that was asked, and the answers so far."""

    def __init__(self, question: Question, gathering: Gathering) -> None:
        self.question = question
        self.gathering = gathering
        self._news = asyncio.Event()

    def tell(self) -> None:
        """Something arrived, or nothing will arrive any more."""
        self._news.set()

    async def news(self, seconds: float) -> None:
        """Wait until something arrives, at most this number of seconds."""
        timer = asyncio.get_running_loop().call_later(seconds, self._news.set)
        try:
            await self._news.wait()
        finally:
            timer.cancel()
        self._news.clear()


class _Confirm:
    """Waits for the broker's answer to the only message of a channel."""

    def __init__(self, channel: Channel) -> None:
        self.reached_anybody: asyncio.Future[bool] = channel.connection.loop.create_future()
        """Whether any queue was bound with its key."""
        self._returned = False
        channel.on_return = self._on_return
        channel.on_confirm = self._on_confirm
        channel.on_close = self._on_close

    def _on_return(self, _content: Content) -> None:
        self._returned = True

    def _on_confirm(self, _number: int, _multiple: bool, _ok: bool) -> None:
        if not self.reached_anybody.done():
            self.reached_anybody.set_result(not self._returned)

    def _on_close(self, error: LeveretError) -> None:
        if not self.reached_anybody.done():
            self.reached_anybody.set_exception(error)


class Network(Protocol):
    """What this file needs of the client."""

    @property
    def connection(self) -> Connection:
        """The connection of now, or the last one."""
        ...

    @property
    def channel(self) -> ClientChannel:
        """Where replies go, and which user sends the requests."""
        ...

    @property
    def is_attached(self) -> bool:
        """Whether there is a connection on which replies come."""
        ...

    def too_large(self, route: Route, body: Body) -> CallError | None:
        """Why a body is not sent, if it is larger than the client or the broker takes."""
        ...


class Asking:
    """The open questions of one client.

    :param ready: waits until messages may go, and returns what is left of the seconds.
    :param probe: probes a queue; returns whether anything was found out.
    :param inquire: asks servers about themselves: `inquire(word, key, name, seconds)`.
    :param query: asks servers what became of calls.
    :param cancel: tells servers that nobody waits: `cancel(key, call_id, seconds)`.
    :param most: how many may be open at a time.
    """

    def __init__(
        self,
        network: Network,
        *,
        most: int,
        time: Callable[[], float],
        ready: Callable[[Question, float], Awaitable[float]],
        probe: Callable[[Route], Awaitable[bool]],
        inquire: Callable[[str, str, str, float], None],
        query: Callable[[Route, list[str]], None],
        cancel: Callable[[str, str, float], None],
    ) -> None:
        self._network = network
        self._most = most
        self._count_of_open = 0
        self._time = time
        self._ready = ready
        self._probe = probe
        self._inquire = inquire
        self._query = query
        self._cancel = cancel
        self.open: dict[str, _Asked] = {}
        """The open questions, by the ids of the calls and the names of the pings."""
        self._ended = False

    # -- what comes in --------------------------------------------------------------------------

    def __len__(self) -> int:
        """The number of open questions."""
        return len(self.open) // 2

    def take(self, name: str, delivery: Delivery) -> bool:
        """Take a message of the reply queue; False if it answers no open question."""
        asked = self.open.get(name)
        if asked is None:
            return False
        gathering, now = asked.gathering, self._time()
        if name.endswith(_PING):
            try:
                answer = read_answer(delivery.body or b"")
            except ValueError:
                return True
            if answer.instance:
                gathering.pinged(answer.instance, able=answer.calls_for_all, now=now)
        else:
            self._said(asked, delivery, now)
        asked.tell()
        return True

    def _said(self, asked: _Asked, delivery: Delivery, now: float) -> None:
        instance = instance_of(delivery.properties.headers)
        if not instance:
            return
        message = asked.question.dialect.read(delivery)
        if isinstance(message, Reply):
            asked.gathering.replied(instance, message, now)
        elif isinstance(message, Notice):
            asked.gathering.noticed(instance, now)
            listener = asked.question.listener
            if listener is not None and message.progress is not None:
                listener.heard(message.progress)

    def unbound(self, name: str) -> bool:
        """No server listens for a ping; False if the ping is not one of these."""
        return name in self.open

    def end(self) -> None:
        """No more answers will come."""
        self._ended = True
        for asked in self.open.values():
            asked.tell()

    # -- what goes out --------------------------------------------------------------------------

    async def ask(self, question: Question, timeout: float) -> Gathering:
        """Have servers run a call; returns the answers that came within `timeout` seconds.

        Once the request was sent, this raises nothing: servers that did not answer count as
        missing.

        :raises NoServer: if there is none. :raises Unimplemented: if there is no such method.
        :raises Busy: if too many are open already.
        :raises CallError: if it cannot be sent.
        """
        if self._count_of_open >= self._most:
            raise Busy(
                f"{self._most} calls of all servers, or of one that is named, are in flight"
                " already, the limit of connect(max_in_flight=...); wait for some before you make"
                " more",
                method=question.route.key,
            )
        self._count_of_open += 1
        try:
            return await self._ask(question, timeout)
        finally:
            self._count_of_open -= 1

    async def _ask(self, question: Question, timeout: float) -> Gathering:
        route = question.route
        too_large = self._network.too_large(route, question.body)
        if too_large is not None:
            raise too_large
        begun = self._time()
        timeout = await self._ready(question, timeout)
        end = self._time() + timeout
        expected = 1 if question.instance else await self._count(route, timeout)
        asked = _Asked(question, Gathering(expected, self._time(), question.stall))
        self.open[question.id] = self.open[question.id + _PING] = asked
        left = max(end - self._time(), 0.001)
        try:
            self._inquire(PING, route.control_key, question.id + _PING, left)
            if await self._publish(question, left):
                await self._gather(asked, end + REPLY_GRACE)
            elif question.instance:
                service = route.key.partition(".")[0]
                raise NoServer(
                    f"no server of {service} is named {question.instance} (any more)",
                    method=route.key,
                )
        finally:
            del self.open[question.id], self.open[question.id + _PING]
            if not asked.gathering.is_complete:
                self._cancel(route.control_key, question.id, end - begun)
            if question.listener is not None:
                question.listener.stop()
        return asked.gathering

    async def _count(self, route: Route, timeout: float) -> int:
        """The number of servers, by the broker's count.

        :raises CallError: if there are none, or the broker does not say.
        """
        try:
            async with asyncio.timeout(timeout):
                found = await self._probe(route)
        except TimeoutError:
            raise DeadlineExceeded(
                f"the broker did not say in {timeout:g} s how many servers there are",
                where="client",
                method=route.key,
            ) from None
        finding = route.finding
        if not found:
            raise ConnectionLost(
                "the connection broke before it was known how many servers there are",
                executed="no",
                method=route.key,
            )
        if finding.state is QueueState.MISSING:
            raise Unimplemented("no server was asked: its queue does not exist", method=route.key)
        if not finding.consumers:
            raise NoServer(f"no server was asked: {finding.in_words}", method=route.key)
        return finding.consumers

    async def _publish(self, question: Question, seconds: float) -> bool:
        """Send the request; False if the broker says that nobody listens.

        Each request has a channel of its own, which the broker closes if it refuses the request.
        If the channel ends for another reason, servers may have the request, and may answer later.

        :raises PermissionDenied: if the client's user may not send it.
        :raises CallError: if it was not sent.
        """
        end = self._time() + seconds
        channel = await self._open_channel(question, seconds)
        left = max(end - self._time(), 0.001)
        try:
            confirm = _Confirm(channel)
            channel.publish(
                CONTROL_EXCHANGE,
                question.route.control_key,
                self._properties(question, left),
                bytes(question.body),
                mandatory=True,
            )
            async with asyncio.timeout(left):
                return await confirm.reached_anybody
        except TimeoutError:
            return True  # its time is over
        except LeveretError as error:
            if isinstance(error, ChannelClosed) and error.reply_code == ReplyCode.ACCESS_REFUSED:
                raise PermissionDenied(
                    "this user may not send calls to servers by name, nor to all: it needs the"
                    f" permission to write to {CONTROL_EXCHANGE}",
                    executed="no",
                    method=question.route.key,
                ) from error
            return True
        finally:
            channel.on_close = None
            channel.abandon()

    async def _open_channel(self, question: Question, seconds: float) -> Channel:
        """:raises CallError: why there is no channel for it."""
        key = question.route.key
        try:
            async with asyncio.timeout(seconds):
                channel = await self._network.connection.open_channel()
                try:
                    await channel.select_confirms()
                except BaseException:
                    channel.abandon()
                    raise
        except TimeoutError:
            raise DeadlineExceeded(
                f"not sent in {seconds:g} s: the broker does not answer", where="client", method=key
            ) from None
        except LeveretError as error:
            raise ConnectionLost(f"not sent: {error}", executed="no", method=key) from error
        return channel

    def _properties(self, question: Question, seconds: float) -> Properties:
        channel = self._network.channel
        return Properties(
            type=CALL,
            content_type=question.content_type,
            correlation_id=question.id,
            reply_to=channel.reply_to.key,
            expiration=str(int(seconds * 1000) or 1),
            user_id=channel.user or None,
            app_id=channel.name or None,
            headers={
                METHOD: question.method,
                **question.headers,
                DEADLINE: int((time.time() + seconds) * 1000),
            },
        )

    async def _gather(self, asked: _Asked, end: float) -> None:
        """Wait for the answers, and ask again for those that may have been lost."""
        gathering, question = asked.gathering, asked.question
        every = question.stall / 2
        ask_at = self._time() + every
        while not (gathering.is_complete or self._ended):
            now = self._time()
            if not self._network.is_attached:
                gathering.paused(now)
            until = min(end, gathering.gives_up_at)
            if now >= until:
                return
            if now >= ask_at:
                # Who runs it says so again, and who has replied sends the reply again.
                gathering.asked(now)
                self._query(question.route, [question.id])
                ask_at = now + every
            await asked.news(min(until, ask_at) - now)
