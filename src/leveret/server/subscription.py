"""One queue that a server takes requests from, on one channel after the other.

It is a member of the link, which attaches it again whenever its channel ends. It knows the queue,
the channel, the prefetch and the dialect; its method handles the requests
(`method_server.py`). A method may have several subscriptions.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from math import inf
from typing import Final, Protocol

from leveret.amqp.events import Delivery
from leveret.contract import MethodSpec
from leveret.errors import LeveretError
from leveret.observe import ServerCounters
from leveret.server.calls.life import ServerCall, Source
from leveret.server.confirmed_messages import PublishConfirmed
from leveret.server.outbox import Outbox, Unsent
from leveret.transport.channel import Channel, unanswered
from leveret.transport.connection import Connection
from leveret.wire.channel_errors import size_at_fault
from leveret.wire.dialect import ServerDialect
from leveret.wire.log_fields import fields_of_method
from leveret.wire.message import CallKey, Incoming
from leveret.wire.timing import NO_SERVER_EARLIEST

log = logging.getLogger("leveret.server")

_DECLARE_TIMEOUT: Final = 5.0
"""Seconds that a queue has to be declared; after that it counts as out of reach, for a while."""
_ALL: Final = 1 << 31
"""More requests than a queue can hold (AMQP counts them in 32 bits)."""


class Takes(Protocol):
    """Takes the requests of a subscription, and is told when their channel ends."""

    def prefetch(self) -> int:
        """How many requests a consumer that starts now may have at a time."""
        ...

    def take(self, request: Incoming, source: Source, *, old: bool) -> None:
        """A request is here.

        :param old: whether it was in the queue before this server.
        """

    def caller_gone(self, key: CallKey) -> None:
        """The broker returned a message to a caller, as the caller's queue is gone."""

    def sent(self, call: ServerCall) -> None:
        """A reply that had to wait for the socket was sent."""

    def attached(self, source: Source) -> None:
        """There is a new channel, for requests and replies."""

    def too_large(self, source: Source, size: int, most: int) -> None:
        """The broker closed their channel for a reply of `size` bytes, and takes `most`."""

    def channel_lost(self, source: Source, unsent: list[Unsent]) -> None:
        """The channel has ended, with these replies unsent."""


class Subscription:
    """One queue of one method.

    :param remembers: whether the call ids in this queue are unique, as the dialect promises.
    :param dead_letters: whether failed requests are dead-lettered instead of answered.
    :param keeps_failed: whether one-way requests that failed are kept in a queue of their own.
    :param publish_confirmed: publishes a request again that nobody waits for.
    :param ready: waits until callers can be asked about old requests.
    :param announce: tells the other servers that this one begins to take requests.
    :param restore: has the link attach this again.
    :param deleted: is told that the queue was deleted, or its node went down.
    """

    def __init__(
        self,
        spec: MethodSpec,
        dialect: ServerDialect,
        takes: Takes,
        *,
        remembers: bool,
        dead_letters: bool = False,
        keeps_failed: bool = False,
        publish_confirmed: PublishConfirmed,
        ready: Callable[[], Awaitable[object]],
        announce: Callable[[], Awaitable[None]],
        restore: Callable[[Subscription], None],
        deleted: Callable[[Subscription], None],
    ) -> None:
        self.spec = spec
        self.queue = dialect.queue(spec)
        """The queue's name."""
        self.source: Source | None = None
        """The source of its calls, once it has had a channel."""
        self.counters = ServerCounters()
        """What is counted of its requests, and of those that come `beside` it."""
        self.beside: Source | None = None
        """What calls of its method know that come by no queue."""
        self.changing = False
        """Whether its prefetch is being changed."""
        self._dialect = dialect
        self._takes = takes
        self._remembers = remembers
        self._dead_letters = dead_letters
        self._keeps_failed = keeps_failed
        self._publish_confirmed = publish_confirmed
        self._ready = ready
        self._announce = announce
        self._restore = restore
        self._deleted = deleted
        self._read = dialect.read
        self._take = takes.take
        self._connection: Connection | None = None
        self._channel: Channel | None = None
        self._outbox: Outbox | None = None
        self._tag = ""
        self._backlog = 0
        self._since = inf

    def __str__(self) -> str:
        return f"the queue {self.queue}"

    @property
    def consumes(self) -> bool:
        """Whether the broker gives it requests now."""
        channel = self._channel
        return channel is not None and channel.closed is None and bool(channel.consumers)

    def consumed_for(self) -> float:
        """Seconds for which the broker has given it requests without a break; 0 if it does not."""
        return max(0.0, time.monotonic() - self._since) if self.consumes else 0.0

    @property
    def connection(self) -> Connection:
        """The current connection, or the last one."""
        assert self._connection is not None
        return self._connection

    @property
    def channel(self) -> Channel:
        """The current channel, or the last one."""
        assert self._channel is not None
        return self._channel

    @property
    def outbox(self) -> Outbox:
        """The current way back, or the last one."""
        assert self._outbox is not None
        return self._outbox

    @property
    def is_open(self) -> bool:
        """Whether requests come in and replies go out."""
        return self._channel is not None and self._channel.closed is None

    # -- on one channel after the other ----------------------------------------------------------

    async def attach(self, connection: Connection) -> Channel:
        """Take requests on this connection.

        :raises LeveretError: if that fails; then the link tries again.
        """
        await self._ready()
        await self.prepare(connection)
        await self.start()
        return self.channel

    async def prepare(self, connection: Connection) -> None:
        """Open the channel, and see that the queue exists.

        :raises TopologyError: if it exists with other options.
        :raises ChannelClosed: if it is out of reach, among other reasons.
        """
        channel = self._channel = await connection.open_channel()
        self._connection = connection
        packer = self._dialect.packer(channel.number, connection.frame_max, self.spec)
        outbox = self._outbox = Outbox(
            channel.number,
            connection,
            packer,
            method=self.spec.key,
            own_user=connection.user,
            remembers=self._remembers,
            on_sent=self._takes.sent,
            on_gone=self._takes.caller_gone,
            publish_confirmed=self._publish_confirmed,
        )
        if self.source is None:
            self.source = Source(
                queue=self.queue,
                answers=outbox,
                dead_letters=self._dead_letters,
                keeps_failed=self._keeps_failed,
                counters=self.counters,
            )
        else:
            self.source.answers = outbox
        try:
            await self._declare(channel)
        except BaseException:
            outbox.close(open_channel=False)
            channel.abandon()
            raise
        self._tag = ""
        channel.on_cancel = self._on_cancel
        channel.on_close = self._on_close
        channel.on_confirm = outbox.on_confirm
        channel.on_return = outbox.on_return

    async def bind(self, channel: Channel) -> None:
        """Bind the queue, which exists.

        :raises LeveretError: if it cannot be bound.
        """
        await self._dialect.bind(channel, self.spec)

    async def declare_again(self) -> None:
        """Declare the queue on another channel, so that replies do not wait for it.

        :raises LeveretError: if it cannot be declared.
        """
        channel = await self.connection.open_channel()
        try:
            await self._declare(channel)
        finally:
            channel.abandon()

    async def _declare(self, channel: Channel) -> None:
        try:
            async with asyncio.timeout(_DECLARE_TIMEOUT):
                await self._dialect.declare(channel, self.spec)
        except TimeoutError:
            raise unanswered(f"{self} does not answer") from None

    async def start(self) -> None:
        """Take requests.

        :raises LeveretError: if the channel ends meanwhile.
        """
        loop = asyncio.get_running_loop()
        began = loop.time()
        waiting = (await self.channel.look_at_queue(self.queue)).message_count or 0
        self._backlog = _ALL
        self._tag = ""
        self._since = inf
        await self._announce()
        await self.consume(self._takes.prefetch())
        self._since = time.monotonic()
        await self._count_backlog(waiting, loop.time() - began)
        assert self.source is not None
        self._takes.attached(self.source)

    async def _count_backlog(self, waiting: int, elapsed: float) -> None:
        """Find out how many of the next requests were in the queue before this server.

        Their callers may have been told that no server listens. `waiting` requests were there
        `elapsed` seconds ago. If that is long ago, callers of later requests may have been told so
        as well, so the queue is probed again. A second probe follows: requests that were delivered
        before the first one can arrive after its answer, but not after that of the second.
        """
        left = 0
        if elapsed > NO_SERVER_EARLIEST:
            left = (await self.channel.look_at_queue(self.queue)).message_count or 0
            await self.channel.look_at_queue(self.queue)
        delivered = _ALL - self._backlog
        self._backlog = max(waiting - delivered, left)

    async def consume(self, prefetch: int) -> None:
        """Take requests with this prefetch, instead of the current one.

        The new consumer starts before the old one is cancelled. So the queue always has a consumer;
        otherwise callers would get `NoServer`.

        :raises LeveretError: if the channel ends meanwhile.
        """
        channel, before = self.channel, self._tag
        self._tag = await channel.consume(self.queue, self._on_delivery, prefetch=prefetch)
        if before:
            await channel.cancel_consumer(before)

    async def change_prefetch(self, prefetch: int) -> None:
        """Change the prefetch. A channel that ends meanwhile has the right one when it is back."""
        self.changing = True
        try:
            await self.consume(prefetch)
        except LeveretError as error:
            log.debug("%s: the prefetch is not changed: %s", self, error)
        finally:
            self.changing = False

    async def cancel(self) -> None:
        """Take no more requests. Requests on their way are taken before this returns.

        :raises LeveretError: if the channel ends meanwhile.
        """
        await self.channel.cancel_consumer(self._tag)

    def cancel_unheard(self) -> None:
        """Take no more requests once the broker reads again. They may still come until then."""
        if self.is_open:
            self.channel.cancel_consumer_unheard(self._tag)

    async def select_confirms(self) -> None:
        """Have the broker confirm each reply from here on.

        :raises LeveretError: if the channel ends meanwhile.
        """
        await self.outbox.select_confirms(self.channel.select_confirms)

    def abandon(self, error: LeveretError) -> None:
        """Give up the current channel for another one."""
        self.channel.abandon()
        self.channel.end(error)

    async def close(self) -> None:
        """Close the channel. The link must have released this member before."""
        if self._channel is not None:
            self._channel.on_close = None
            self.outbox.close(open_channel=self._channel.closed is None)
            await self.outbox.wait_closed()
            await self._channel.close()

    # -- what the broker says ----------------------------------------------------------------------

    def _on_delivery(self, delivery: Delivery) -> None:
        outbox, source = self._outbox, self.source
        assert outbox is not None
        assert source is not None
        outbox.unsettled[delivery.delivery_tag] = None
        old = self._backlog > 0
        if old:
            self._backlog -= 1
        self._take(self._read(delivery, time.time(), self.spec.timeout), source, old=old)

    def _on_cancel(self, _tag: str) -> None:
        if not self.channel.consumers:  # else this was one of two: see `consume`
            self._deleted(self)

    def _on_close(self, error: LeveretError) -> None:
        """The channel has ended, and its deliveries are void; the handlers run on."""
        assert self.source is not None
        sizes = size_at_fault(error)
        if sizes is not None:
            log.error(
                "%s: the broker did not take a reply: %s",
                *(self, error),
                extra=fields_of_method(self.spec.key),
            )
            self._takes.too_large(self.source, *sizes)
        self._takes.channel_lost(self.source, self.outbox.close(open_channel=False))
        self._restore(self)
