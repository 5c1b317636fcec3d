"""One method's consumer: takes requests from its queue, on one channel after the other.

What it takes `handling.py` runs; what it does not want it answers or hands back.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Final

from msgspec import Struct, structs

from leveret.amqp.events import Delivery
from leveret.amqp.frames import on_channel
from leveret.errors import (
    CallError,
    Cancelled,
    LeveretError,
    MaybeExecuted,
)
from leveret.server.execution import Executor, Middleware
from leveret.server.handling import Handling
from leveret.server.outbox import Outbox
from leveret.server.outcome import ran_before
from leveret.server.running import Running
from leveret.transport.channel import Channel, unanswered
from leveret.transport.connection import Connection
from leveret.wire.native.headers import attempts, delivery_count
from leveret.wire.native.topology import declare_request_queue

if TYPE_CHECKING:
    from leveret.server.server import Server

log = logging.getLogger("leveret.server")

MAX_REDELIVERIES: Final = 5
"""How often a request of an idempotent method is given to another server, before it is poison."""
_RESTORED: Final = 1.0
"""Seconds that a channel which is being restored has to be, when a drain begins."""
_DECLARED: Final = 5.0
"""Seconds that a queue has to be declared; after that it counts as out of reach, for a while."""
_CLAIM_TIMEOUT: Final = 2.0
"""Seconds that a caller has to say that it still waits, before its old request is dropped."""
_CLAIM_SOON: Final = 0.5
"""The same where the method is idempotent: its old request is run then, as that does no harm."""
_SOONEST: Final = 0.05
"""Seconds before which no call of 0.1 s or more is told that there is no server."""
_ALL: Final = 1 << 31
"""More requests than a queue can hold (AMQP counts them in 32 bits)."""


class MethodConsumer(Handling):
    """Serves one method from its request queue."""

    def __init__(
        self,
        server: Server,
        executor: Executor,
        middleware: tuple[Middleware, ...],
    ) -> None:
        super().__init__(server, executor, middleware)
        self._guard = server.access.guard(self.spec)
        self._in_thread = self.spec.executor == "thread"
        self._tag = ""
        self._draining = False
        self._backlog = 0

    def __str__(self) -> str:
        return f"the queue {self.queue}"

    # -- on one channel after the other ----------------------------------------------------------

    async def attach(self, connection: Connection) -> Channel:
        """Take requests over this connection, once callers can be asked about old ones."""
        await self._server.control.listening.wait()
        await self.prepare(connection)
        await self.start()
        return self.channel

    async def prepare(self, connection: Connection) -> None:
        """Open the channel, and see that the request queue exists."""
        channel = self._channel = await connection.open_channel()
        self._replies = self._make_replies(channel)
        self._outbox = Outbox(channel, self.running)
        try:
            await self._declare_in_time(channel)
        except BaseException:
            self.detach()
            channel.abandon()
            raise
        self._tag = ""
        channel.on_cancel = self._on_cancel
        channel.on_close = self._on_close

    async def declare_beside(self) -> None:
        """See that the request queue exists, on another channel: replies must not wait for it."""
        channel = await self.channel.connection.open_channel()
        try:
            await self._declare_in_time(channel)
        finally:
            channel.abandon()

    async def _declare_in_time(self, channel: Channel) -> None:
        try:
            async with asyncio.timeout(_DECLARED):
                await self.declare(channel)
        except TimeoutError:
            raise unanswered(f"{self} does not answer") from None

    async def declare(self, channel: Channel) -> None:
        """See that the request queue exists."""
        await declare_request_queue(channel, self.spec)

    async def start(self) -> None:
        """Take requests."""
        await self.executor.start()
        began = self._loop.time()
        waiting = (await self.channel.look_at_queue(self.queue)).message_count or 0
        self._backlog = _ALL
        self._tag = ""
        await self.subscribe(self._gate.prefetch() if self._gate else self.executor.concurrency)
        await self._count_backlog(waiting, self._loop.time() - began)
        for reply in self.orphans.replies():
            self._outbox.reply(on_channel(reply, self.channel.number))

    async def _count_backlog(self, waiting: int, elapsed: float) -> None:
        """Find out how many of the requests to come were there before this server.

        Their callers may have been told that no server listens. `waiting` were there `elapsed`
        seconds ago. If that is long, callers of what came since may have been told so as well, and
        the queue is looked at again. And once more: what was delivered before the first of these
        looks can arrive after its answer, but not after that of the second.
        """
        left = 0
        if elapsed > _SOONEST:
            left = (await self.channel.look_at_queue(self.queue)).message_count or 0
            await self.channel.look_at_queue(self.queue)
        delivered = _ALL - self._backlog
        self._backlog = max(waiting - delivered, left)

    async def subscribe(self, prefetch: int) -> None:
        """Take requests, at most so many at a time, instead of as many as before."""
        channel, before = self.channel, self._tag
        self._tag = await channel.consume(self.queue, self.on_delivery, prefetch=prefetch)
        if before:
            await channel.cancel_consumer(before)

    def _on_cancel(self, _tag: str) -> None:
        if not self.channel.consumers:  # else this was one of two: see `subscribe`
            self._server.deleted(self)

    def _on_close(self, error: LeveretError) -> None:
        """The channel is gone, and with it all deliveries; the handlers run on."""
        self.detach()
        self.orphans.take(list(self.running.values()))
        self.running = {}
        if self._draining:
            for running in list(self.orphans.running.values()):
                self.stop(running, "drain")  # nobody can be answered any more
        elif self._server.started:
            self._server.link.restore(self)

    # -- a request comes -------------------------------------------------------------------------

    def on_delivery(self, delivery: Delivery) -> None:
        """Check a request, and begin its handler in a task of its own."""
        spec = self.spec
        server = self._server
        now = time.time()
        remaining = self._remaining(delivery, now)
        if delivery.redelivered and self._again(delivery, remaining):
            return
        if self._draining:
            self._hand_back(delivery, remaining)
            return
        running = Running(self, spec.key, delivery, now + remaining)
        running.in_thread = self._in_thread
        try:
            running.struct = self._arguments(running, remaining)
        except CallError as error:
            self._answer(running, self._replies.error(running, error))
            self._acknowledge(delivery.delivery_tag)
            return
        self.running[delivery.delivery_tag] = running
        running.taken = now
        running.since = clock = self._loop.time()
        if self._backlog:
            self._backlog -= 1
            if self.announces and all(running.key):
                patience = _CLAIM_SOON if spec.idempotent else _CLAIM_TIMEOUT
                self._claim(running, min(remaining, patience))
                return
        running.tick = server.deadlines.add(clock + remaining, running)
        if self._gate is None or self._gate.enter(running):
            self._begin(running, running.struct)
        if not server.watching:
            server.watch()

    def _arguments(self, running: Running, remaining: float) -> Struct:
        """The arguments of a request that is to be run.

        :raises CallError: why it is not.
        """
        delivery = running.delivery
        if delivery.redelivered and not (self.spec.idempotent or self._keyed(running)):
            raise MaybeExecuted(
                "a server took this request before and died or lost its connection;"
                " the method is not idempotent, so it is not run again"
            )
        if self._guard is not None:
            self._guard(running)
        if remaining <= self._doubtful:
            self._check_time_left(delivery, remaining)
        early_cancels = self._server.early_cancels
        if early_cancels and early_cancels.take(running.key):
            raise Cancelled(
                "the caller cancelled before a server took it", executed=ran_before(delivery)
            )
        return self._replies.arguments(delivery)

    def _remaining(self, delivery: Delivery, now: float) -> float:
        """Seconds until the caller's deadline.

        Its absolute form is trusted only as far as the message's time to live allows, so that a
        client's clock that runs ahead cannot hold a handler for longer.
        """
        properties = delivery.properties
        budget = self._budget(properties.expiration)
        deadline = properties.headers.get("deadline") if properties.headers else None
        if type(deadline) is not int:
            return budget or self.spec.timeout
        remaining = deadline / 1000 - now
        return min(remaining, budget) if budget else remaining

    def _claim(self, running: Running, timeout: float) -> None:
        """Ask the caller whether it still waits, before running what was there before us."""
        running.claimed = False
        running.tick = self._server.deadlines.add(self._loop.time() + timeout, running)
        self._outbox.reply(self._replies.claim(running, self._server.control_key(self.spec)))

    def claimed(self, running: Running) -> None:
        """The caller still waits: run its request."""
        if running.claimed or running.stopped_by:
            return
        running.claimed = True
        self._server.deadlines.discard(running.tick, running)
        remaining = running.remaining()
        running.tick = self._server.deadlines.add(self._loop.time() + remaining, running)
        assert running.struct is not None
        running.taken = time.time()
        if self._gate is None or self._gate.enter(running):
            self._begin(running, running.struct)
        self._server.watch()

    def unclaimed(self, running: Running) -> None:
        """The caller says nothing: it is gone, or its connection is."""
        if self.spec.idempotent and running.remaining() > 0:
            self.claimed(running)
        else:
            self.stop(running, "deadline")

    # -- a request comes again -------------------------------------------------------------------

    def _again(self, delivery: Delivery, remaining: float) -> bool:
        """A request comes that was delivered before; False if it is to be treated as any other.

        Where it was here that it was delivered, its handler still runs, or its reply is kept. One
        of an idempotent method goes back into the queue with its `attempt` counted: classic queues
        count nothing, and a request that kills each of its servers must not do so for ever.
        """
        tag = delivery.delivery_tag
        running = self.orphans.find(delivery)
        if running is not None:
            running.adopt(delivery)
            self.running[tag] = running
            if self._gate is not None:
                self._gate.fill()
            if not running.claimed:  # the answer went to the queue that is gone
                self._outbox.reply(
                    self._replies.claim(running, self._server.control_key(self.spec))
                )
            return True
        properties = delivery.properties
        reply = self.orphans.kept((properties.reply_to, properties.correlation_id))
        if reply:
            self._outbox.reply(on_channel(reply, self.channel.number))
            self._acknowledge(tag)
            return True
        if not self.spec.idempotent or remaining <= 0 or delivery.body is None:
            return False
        # A header that a client could have made up as well, where the broker counts nothing.
        counted = delivery_count(properties.headers) if self.spec.queue.type == "quorum" else None
        times = attempts(properties.headers) + 1 if counted is None else counted
        if times > MAX_REDELIVERIES:
            self._give_up(self._unrun(delivery, remaining), times)
        elif counted is None:
            # Before the others: the last header is the deadline, by which it is read fast.
            headers = {"attempt": times, **(properties.headers or {})}
            headers["attempt"] = times
            counted_up = structs.replace(properties, headers=headers)
            copy = structs.replace(delivery, properties=counted_up)
            if not self._publish_again(copy, remaining):  # uncounted, it could come for ever
                self._give_up(self._unrun(delivery, remaining), times)
        else:
            return False
        return True

    def _unrun(self, delivery: Delivery, remaining: float) -> Running:
        return Running(self, self.spec.key, delivery, time.time() + remaining)

    def _give_up(self, running: Running, times: int) -> None:
        """Answer and dead-letter a request that may kill its servers."""
        often = "once" if times == 1 else f"{times} times, each time"
        what = f"was taken {often} by a server that died or lost its connection"
        log.error("%s: call %s %s; it is given up", self.spec.key, running.id, what)
        error = MaybeExecuted(f"the request {what}; it is given up")
        self._answer(running, self._replies.error(running, error))
        self._outbox.reject(running.delivery.delivery_tag)

    # -- the end ---------------------------------------------------------------------------------

    async def drain(self) -> None:
        """Take no more requests; tell those whose calls run that they do.

        A client that sees no consumer on the queue would take its call for lost.
        """
        await self._server.link.release(self, patience=_RESTORED)
        if self.channel.closed is not None:
            self._draining = True
            await self._close_gate()
            return
        self._draining = True
        self.announce(self._loop.time())
        await self._outbox.select_confirms()
        await self._close_gate()
        await self.channel.cancel_consumer(self._tag)

    async def confirm(self) -> None:
        """Wait until the broker has confirmed the replies of the drain."""
        await self._outbox.confirmed()

    async def close(self) -> None:
        """Let go of the channel and of what runs the handlers."""
        self.executor.close()
        await self._server.link.release(self)
        if self._channel is not None:
            self._channel.on_close = None
            self.detach()
            await self._channel.close()
