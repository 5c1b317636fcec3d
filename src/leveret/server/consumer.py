"""One method's consumer: takes requests from its queue and runs each in a task of its own.

A reply and the acknowledgement of its request leave in one write, the reply first: a server that
dies in between leaves a request that is delivered again, never one that is lost.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from leveret.amqp.events import Delivery
from leveret.contract import MethodSpec
from leveret.errors import CallError, Cancelled, DeadlineExceeded, MaybeExecuted, RemoteError
from leveret.server.execution import Executor, Invoke, Middleware, compose
from leveret.server.outbox import Outbox
from leveret.server.outcome import cancelled, raised
from leveret.server.replies import Replies
from leveret.server.running import Running, StopReason
from leveret.transport.channel import Channel
from leveret.wire.current import set_current_call
from leveret.wire.native import EXCHANGE, IF_BUSY_FAIL
from leveret.wire.topology import declare_request_queue

if TYPE_CHECKING:
    from leveret.server.server import Server

_CLAIM_TIMEOUT: Final = 2.0
"""Seconds that a caller has to say that it still waits, before its old request is dropped."""


class MethodConsumer:
    """Serves one method from its request queue."""

    announces = True
    """Whether callers understand "accepted" and "claim"; the tutorial's clients do not."""

    def __init__(
        self,
        server: Server,
        executor: Executor,
        channel: Channel,
        middleware: tuple[Middleware, ...],
    ) -> None:
        self.spec: MethodSpec = executor.spec
        self.executor = executor
        self.channel = channel
        self.queue = self.spec.queue_name
        self.exchange, self.routing_key = EXCHANGE, self.spec.key
        self.running: dict[int, Running] = {}
        """By delivery tag, so the longest running first."""
        self.finished = 0
        self.failed = 0
        self._server = server
        self._loop = server.loop
        self._invoke: Invoke = compose(middleware, executor.invoke)
        self._has_middleware = bool(middleware)
        self._in_thread = self.spec.executor == "thread"
        self._outbox = Outbox(channel, self.running)
        self._replies = self._make_replies(server.max_message_size)
        self._tag = ""
        self._draining = False
        self._backlog = 0

    def _make_replies(self, max_message_size: int) -> Replies:
        return Replies(self.spec, self.channel, max_message_size)

    async def declare(self) -> None:
        """See that the request queue exists."""
        await declare_request_queue(self.channel, self.spec)

    async def start(self) -> None:
        """Take requests."""
        await self.executor.start()
        # Callers of what waits here already may have been told that no server listens.
        waiting = await self.channel.look_at_queue(self.queue)
        self._backlog = waiting.message_count or 0
        self._tag = await self.channel.consume(
            self.queue, self.on_delivery, prefetch=self.executor.concurrency
        )

    # -- a request comes ----------------------------------------------------------------------

    def on_delivery(self, delivery: Delivery) -> None:
        """Check a request, and begin its handler in a task of its own."""
        spec = self.spec
        server = self._server
        now = time.time()
        remaining = self._remaining(delivery, now)
        if self._draining:
            self._hand_back(delivery, remaining)
            return
        running = Running(self, spec.key, delivery, now + remaining)
        running.in_thread = self._in_thread
        running.entered = not self._has_middleware
        try:
            if delivery.redelivered and not spec.idempotent:
                raise MaybeExecuted(
                    "a server took this request before and died or lost its connection;"
                    " the method is not idempotent, so it is not run again"
                )
            if remaining <= 0:
                raise DeadlineExceeded(
                    "the deadline had passed when a server took the request", where="queue"
                )
            if server.early_cancels and server.early_cancels.take(running.key):
                raise Cancelled("the caller cancelled before a server took it", executed="no")
            running.struct = self._replies.arguments(delivery)
        except CallError as error:
            self._answer(running, self._replies.error(running, error))
            self._acknowledge(delivery.delivery_tag)
            return
        self.running[delivery.delivery_tag] = running
        running.since = clock = self._loop.time()
        if self._backlog:
            self._backlog -= 1
            if self.announces and not spec.idempotent and delivery.properties.reply_to:
                self._claim(running, min(remaining, _CLAIM_TIMEOUT))
                return
        running.tick = server.deadlines.add(clock + remaining, running)
        running.task = self._loop.create_task(self._run(running, running.struct))
        if not server.watching:
            server.watch()

    def _remaining(self, delivery: Delivery, now: float) -> float:
        """Seconds until the caller's deadline.

        Its absolute form is trusted only as far as the message's time to live allows, so that a
        client's clock that runs ahead cannot hold a handler for longer.
        """
        properties = delivery.properties
        expiration = properties.expiration
        budget = (
            int(expiration) / 1000 if expiration and expiration.isdecimal() else self.spec.timeout
        )
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
        running.task = self._loop.create_task(self._run(running, running.struct))
        self._server.watch()

    # -- it runs ------------------------------------------------------------------------------

    async def _run(self, running: Running, arguments: Struct) -> None:
        set_current_call(running)
        running.begun = True
        requeue = False  # for another server, which may run it as well
        reply = b""
        try:
            if running.stopped_by:  # before it began: a task not begun must not be cancelled
                raise asyncio.CancelledError
            result = await self._invoke(arguments)
            reply = self._replies.result(running, result)
        except asyncio.CancelledError:
            requeue = running.stopped_by == "drain" and self.spec.idempotent
            reply = self._replies.error(running, cancelled(running))
        except GeneratorExit:  # the loop is gone, and the connection with it
            raise
        except BaseException as error:
            failure = raised(
                running, error, self.spec, send_tracebacks=self._server.send_tracebacks
            )
            self.failed += isinstance(failure, RemoteError)  # not what its contract foresees
            reply = self._replies.error(running, failure)
            if isinstance(error, KeyboardInterrupt):
                raise
        finally:
            self._end(running, reply, requeue=requeue)

    def _end(self, running: Running, reply: bytes, *, requeue: bool = False) -> None:
        tag = running.delivery.delivery_tag
        if self.running.pop(tag, None) is None:
            return  # given up before
        self._server.deadlines.discard(running.tick, running)
        if requeue:
            self._outbox.requeue(tag)
        else:
            self._answer(running, reply)
            self._acknowledge(tag)

    def stop(self, running: Running, reason: StopReason) -> None:
        """End a call before its handler does.

        Past its deadline the caller is answered at once. The handler is cancelled; one in a thread
        cannot be, so its place stays taken until it returns.
        """
        if running.stopped_by:
            return
        running.stopped_by = reason
        if not running.claimed:
            error = Cancelled("nobody waited for it any more when a server came", executed="no")
            self._end(running, self._replies.error(running, error))
            return
        if reason == "deadline":
            self._answer(running, self._replies.error(running, cancelled(running)))
        if running.begun and running.task is not None and self.executor.stops_when_cancelled:
            running.task.cancel()

    def give_up(self, running: Running) -> None:
        """Wait no longer for a handler that refuses to end, but tell its caller.

        An idempotent call is left to another server: the broker hands it on with the channel's end.
        """
        if not self.spec.idempotent:
            self._end(running, self._replies.error(running, cancelled(running)))

    def _answer(self, running: Running, reply: bytes) -> None:
        """Send the one reply of a call; what comes after it is dropped."""
        if not running.answered:
            running.answered = True
            if reply:
                self._outbox.reply(reply)

    def _acknowledge(self, delivery_tag: int) -> None:
        self.finished += 1
        self._outbox.acknowledge(delivery_tag)

    def announce(self, older_than: float) -> None:
        """Tell the callers of what has run for a while that it does.

        After that they take no "expired in the queue" and no empty queue for proof that nobody
        ran their request: it may have been taken by a server that died.

        :param older_than: a time on the loop's clock.
        """
        if not self.announces:
            return
        for running in self.running.values():
            if running.since > older_than:
                break
            if not (running.announced or running.answered) and running.claimed:
                running.announced = True
                self._outbox.reply(self._replies.accepted(running))

    # -- the end ------------------------------------------------------------------------------

    async def drain(self) -> None:
        """Take no more requests; tell those whose calls run that they do.

        A client that sees no consumer on the queue would take its call for lost.
        """
        if self.channel.closed is not None:
            return
        self.announce(self._loop.time())
        await self._outbox.select_confirms()
        self._draining = True
        await self.channel.cancel_consumer(self._tag)

    async def finish(self) -> None:
        """Wait for the calls that run."""
        while self.running:
            tasks = [call.task for call in self.running.values() if call.task is not None]
            # Those whose callers were asked and have not answered yet end by themselves.
            await (asyncio.wait(tasks) if tasks else asyncio.sleep(_CLAIM_TIMEOUT / 10))

    async def confirm(self) -> None:
        """Wait until the broker has confirmed the replies of the drain."""
        await self._outbox.confirmed()

    def detach(self) -> None:
        """The channel ends: nothing is sent on it any more."""
        self._outbox.detach()

    def _hand_back(self, delivery: Delivery, remaining: float) -> None:
        """Return a request that was not begun.

        By way of the exchange, where its CC matches nothing; behind the requests that wait.
        """
        expiration = delivery.properties.expiration
        if remaining <= 0 or delivery.body is None:
            self._outbox.requeue(delivery.delivery_tag)
            return
        if expiration is not None and expiration != str(IF_BUSY_FAIL):
            expiration = str(int(remaining * 1000))
        self._outbox.hand_back(delivery, self.exchange, self.routing_key, expiration)
