"""Runs the requests that one method's consumer has taken, and answers them.

A reply and the acknowledgement of its request leave in one write, the reply first: a server that
dies in between leaves a request that is delivered again, never one that is lost.
"""

from __future__ import annotations

import asyncio
import logging
import time
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from leveret.amqp.events import Delivery
from leveret.amqp.frames import on_channel
from leveret.contract import MethodSpec
from leveret.errors import (
    Busy,
    CallError,
    Cancelled,
    DeadlineExceeded,
    RemoteError,
)
from leveret.server.admission import Admission
from leveret.server.execution import Executor, Invoke, Middleware, compose
from leveret.server.gate import Gate
from leveret.server.limiter import Limiter
from leveret.server.once_calls import Claim, OnceCalls, unusable
from leveret.server.orphans import Orphans
from leveret.server.outbox import Outbox
from leveret.server.outcome import cancelled, raised, ran_before
from leveret.server.replies import Replies
from leveret.server.running import Running, StopReason
from leveret.transport.channel import Channel
from leveret.wire.before import IF_BUSY_FAIL
from leveret.wire.context import set_current_call
from leveret.wire.native.headers import IDEMPOTENCY_KEY
from leveret.wire.native.names import EXCHANGE

if TYPE_CHECKING:
    from leveret.server.server import Server

log = logging.getLogger("leveret.server")

_NOT_BEGUN: Final = 0.2
"""Seconds after which a drain looks again at calls whose callers have yet to say that they wait."""


class Handling(ABC):
    """The calls of one method that are here: those that run, wait for a place, or have ended."""

    announces = True
    """Whether callers understand "accepted" and "claim"; the tutorial's clients do not."""

    def __init__(
        self,
        server: Server,
        executor: Executor,
        middleware: tuple[Middleware, ...],
    ) -> None:
        self.spec: MethodSpec = executor.spec
        self.executor = executor
        self.queue = self.spec.queue_name
        self.exchange, self.routing_key = EXCHANGE, self.spec.key
        self.running: dict[int, Running] = {}
        """By delivery tag, so the longest running first."""
        self.orphans = Orphans()
        self.finished = 0
        self.failed = 0
        self._server = server
        self._loop = server.loop
        self._invoke: Invoke = compose(middleware, executor)
        self._enters = executor.begins_at_once and not middleware
        self._once = OnceCalls(server.once, self.spec, server.instance)
        self._channel: Channel | None = None
        self._outbox: Outbox
        self._replies: Replies
        self._max_message_size = server.max_message_size
        self.admission = Admission()
        self._doubtful = 0.0
        """With so many seconds left, a request may be one that cannot be finished in time."""
        self._gate: Gate | None = None
        self._took = self.admission.took
        if executor.adaptive is not None:
            self._gate = Gate(self, Limiter(executor.adaptive, executor.concurrency))
            self._took = self._gate.took

    @property
    def channel(self) -> Channel:
        """The channel of now, or the last one."""
        assert self._channel is not None
        return self._channel

    def _make_replies(self, channel: Channel) -> Replies:
        return Replies(self.spec, channel, self._max_message_size)

    def detach(self) -> None:
        """The channel ends: nothing is sent on it any more."""
        self._outbox.detach()

    def user_of(self, delivery: Delivery) -> str:
        """The broker's user whose request this is, "" where nobody knows."""
        return self._server.access.user_of(delivery.properties, self.channel.connection.user)

    @abstractmethod
    async def subscribe(self, prefetch: int) -> None:
        """Take requests, at most so many at a time, instead of as many as before."""

    # -- it begins, at once or later -------------------------------------------------------------

    def _begin(self, running: Running, arguments: Struct) -> None:
        """Have the handler run, or, where the request has a key, first look whether it shall."""
        work = self._run(running, arguments)
        headers = running.delivery.properties.headers
        if self.spec.once or (headers is not None and IDEMPOTENCY_KEY in headers):
            key = self._once.key(running, self.user_of(running.delivery))
            if key is not None:
                work.close()
                work = self._run_once(running, arguments, key)
        running.task = self._loop.create_task(work)

    def begin_late(self, running: Running) -> bool:
        """Begin a request that waited for a place; False if too little time is left by now."""
        remaining = running.remaining()
        assert running.struct is not None
        try:
            if remaining <= self._doubtful:
                self._check_time_left(running.delivery, remaining)
        except DeadlineExceeded as error:
            self._end(running, self._replies.error(running, error))
            return False
        running.taken = time.time()
        running.since = self._loop.time()
        self._begin(running, running.struct)
        return True

    def _check_time_left(self, delivery: Delivery, remaining: float) -> None:
        """:raises DeadlineExceeded: if there is too little time left to begin a request."""
        now = time.time()
        budget = self._budget(delivery.properties.expiration) or self.spec.timeout
        try:
            self.admission.check(remaining, budget, now)
        except DeadlineExceeded as error:
            error.executed = ran_before(delivery)
            if self.admission.overloaded(now):
                self._gate = self._gate or Gate(self)
                self._gate.adjust()
            raise

    def _budget(self, expiration: str | None) -> float:
        """The seconds that a request had when it was sent, by its time to live."""
        return (
            int(expiration) / 1000 if expiration and expiration.isdecimal() else self.spec.timeout
        )

    def turn_away(self, running: Running) -> None:
        """Answer a request that has found no place and was not to wait for one."""
        error = Busy(f"no server of {self.spec.key} has a free place at this moment")
        error.executed = ran_before(running.delivery)
        self._end(running, self._replies.error(running, error))

    def waiting(self) -> list[Running]:
        """The calls that wait here for a place."""
        return [] if self._gate is None else list(self._gate.waiting)

    def limit(self) -> int:
        """How many calls may run at the same time now."""
        return self.executor.concurrency if self._gate is None else self._gate.limit

    async def _close_gate(self) -> None:
        """Hand back what waits for a place."""
        if self._gate is not None:
            for running in self.waiting():
                self.stop(running, "drain")
            await self._gate.close()

    # -- it runs ---------------------------------------------------------------------------------

    async def _run_once(self, running: Running, arguments: Struct, key: str) -> None:
        """Run the handler unless the store of keys has something else to say."""
        running.asking = True
        found = await self._claimed_or_reply(running, key)
        if isinstance(found, Claim):
            await self._run(running, arguments, found)
        else:
            self._end(running, found, back=running.stopped_by == "drain")

    async def _claimed_or_reply(self, running: Running, key: str) -> Claim | bytes:
        try:
            if running.stopped_by:
                raise asyncio.CancelledError
            found = await self._once.begin(running, key)
            if not isinstance(found, Claim):
                return self._replies.recorded(running, found)
            if not running.stopped_by:
                return found
            await found.settle(running, b"", ran=False)
        except CallError as error:
            return self._replies.error(running, error)
        except asyncio.CancelledError:
            pass
        except Exception as error:
            log.error("%s: the store of idempotency keys failed", self.spec.key, exc_info=error)
            return self._replies.error(running, unusable("maybe"))
        return self._replies.error(running, self._stopped(running))

    def _keyed(self, running: Running) -> bool:
        return self._once.key(running, "") is not None

    async def _run(self, running: Running, arguments: Struct, claim: Claim | None = None) -> None:
        set_current_call(running)
        back = False  # to the queue, for another server
        cut_off = False
        reply = b""
        try:
            if running.stopped_by:  # before it began: a task not begun must not be cancelled
                raise asyncio.CancelledError
            if time.time() >= running.deadline:  # other handlers held the loop
                running.stopped_by = "deadline"
                raise asyncio.CancelledError
            running.begun, running.asking = True, False
            running.entered = self._enters
            result = await self._invoke(arguments)
            self._took(time.time() - running.taken)
            reply = self._replies.result(running, result)
        except asyncio.CancelledError:
            cut_off = True
            may_run_again = self.spec.idempotent or not running.entered
            back = running.stopped_by == "drain" and may_run_again
            reply = self._replies.error(running, self._stopped(running))
        except GeneratorExit:  # the loop is gone, and the connection with it
            claim = None
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
            running.over = True
            try:
                if claim is not None:
                    # To have been cut off is no answer for good where another run may give one.
                    forgotten = back or (cut_off and self.spec.idempotent)
                    await claim.settle(running, reply, ran=running.entered and not forgotten)
            finally:
                self._end(running, reply, back=back)

    # -- it ends ---------------------------------------------------------------------------------

    def _end(self, running: Running, reply: bytes, *, back: bool = False) -> None:
        if self._gate is not None and running.task is not None:
            self._gate.leave()
        tag = running.delivery.delivery_tag
        if self.running.pop(tag, None) is None:
            self._end_orphan(running, reply)
            return
        self._server.deadlines.discard(running.tick, running)
        if back and not running.answered:
            self._give_back(running)
        else:
            self._answer(running, reply)
            self._acknowledge(tag)

    def _end_orphan(self, running: Running, reply: bytes) -> None:
        """A call ended whose delivery is void: its caller may still wait, its request is kept."""
        if not self.orphans.leave(running):
            return  # given up before
        self._server.deadlines.discard(running.tick, running)
        self.finished += 1
        if not running.answered and running.stopped_by != "drain":
            self.orphans.keep(running, reply)
            self._answer(running, reply)
            if reply and self.channel.closed is not None:
                self._server.control.reply(reply)

    def stop(self, running: Running, reason: StopReason) -> None:
        """End a call before its handler does.

        Past its deadline the caller is answered at once. The handler is cancelled; one in a thread
        cannot be, so its place stays taken until it returns.
        """
        if running.stopped_by:
            return
        running.stopped_by = reason
        if self._gate is not None and self._gate.forget(running):
            self._stop_waiting(running)
            return
        if not running.claimed and reason == "drain":
            self._stop_waiting(running)
            return
        if not running.claimed:
            error = Cancelled("nobody waited for it any more when a server came", executed="no")
            self._end(running, self._replies.error(running, error))
            return
        if reason == "deadline":
            self._took(running.taken - time.time())
            self._answer(running, self._replies.error(running, self._stopped(running)))
        stoppable = self.executor.stops_when_cancelled or not running.entered
        busy = (running.begun and stoppable) or running.asking
        if running.task is not None and busy and not running.over:
            running.task.cancel()

    def _stopped(self, running: Running) -> CallError:
        """The error of a call that was stopped, by what is known of its handler."""
        if running.entered:
            return cancelled(running)
        if running.stopped_by == "deadline":
            error: CallError = DeadlineExceeded(
                "the deadline passed before its handler began", where="queue"
            )
        else:
            error = Cancelled("it was stopped before its handler began")
        # While a key is asked for, another server may run what it stands for.
        error.executed = "maybe" if running.asking else ran_before(running.delivery)
        return error

    def _stop_waiting(self, running: Running) -> None:
        """A request that found no place here is not to be begun."""
        delivery = running.delivery
        if not delivery.delivery_tag:  # the broker's: another server may have it by now
            self.orphans.leave(running)
            self._server.deadlines.discard(running.tick, running)
            if running.stopped_by == "caller":
                self._server.early_cancels.add(running.key, running.remaining())
        elif running.stopped_by == "drain":
            del self.running[delivery.delivery_tag]
            self._server.deadlines.discard(running.tick, running)
            self._hand_back(delivery, running.remaining())
        else:
            self._end(running, self._replies.error(running, self._stopped(running)))

    def _give_back(self, running: Running) -> None:
        """Return the request of a call that is to be run elsewhere."""
        if running.entered:
            self._outbox.requeue(running.delivery.delivery_tag)
        else:
            self._hand_back(running.delivery, running.remaining())

    def _hand_back(self, delivery: Delivery, remaining: float) -> None:
        """Return a request that was not begun; as redelivered where there is no other way."""
        unfit = remaining <= 0 or delivery.body is None
        not_again = delivery.redelivered and not self.spec.idempotent  # a copy would not say so
        if unfit or not_again or not self._publish_again(delivery, remaining):
            self._outbox.requeue(delivery.delivery_tag)

    def _publish_again(self, delivery: Delivery, remaining: float) -> bool:
        """Put a copy of a request in its place, behind those that wait; False if none can be made.

        By way of the exchange, where its CC matches nothing.
        """
        expiration = delivery.properties.expiration
        if expiration is not None and expiration != str(IF_BUSY_FAIL):
            expiration = str(int(remaining * 1000))
        user = self.user_of(delivery)
        return self._outbox.hand_back(delivery, self.exchange, self.routing_key, expiration, user)

    def give_up(self, running: Running) -> None:
        """Wait no longer for a handler that refuses to end, but tell its caller.

        An idempotent call is left to another server: the broker hands it on with the channel's end.
        """
        if not self.spec.idempotent:
            self._end(running, self._replies.error(running, self._stopped(running)))
        else:
            self.orphans.leave(running)

    def _answer(self, running: Running, reply: bytes) -> None:
        """Send the one reply of a call; what comes after it is dropped."""
        if not running.answered:
            running.answered = True
            if reply:
                self._outbox.reply(reply)
                if self.announces:  # clients of the tutorial may use the same id again
                    self.orphans.note(running.delivery, reply)

    def _acknowledge(self, delivery_tag: int) -> None:
        self.finished += 1
        self._outbox.acknowledge(delivery_tag)

    async def finish(self) -> None:
        """Wait for the calls that run."""
        while calls := self.calls():
            for call in calls:
                if call.task is not None and call.task.done():  # from outside, before it began
                    self._end(call, self._replies.error(call, self._stopped(call)))
            tasks = [call.task for call in calls if call.task is not None]
            # Those whose callers were asked and have not answered yet end by themselves.
            await (asyncio.wait(tasks) if tasks else asyncio.sleep(_NOT_BEGUN))

    # -- what callers are told meanwhile ---------------------------------------------------------

    def announce(self, older_than: float) -> None:
        """Tell the callers of what has run for a while that it does.

        After that they take no "expired in the queue" and no empty queue for proof that nobody
        ran their request: it may have been taken by a server that died.

        :param older_than: a time on the loop's clock.
        """
        self._doubtful = self.admission.judge(time.time())
        if not self.announces:
            return
        for running in self.running.values():
            if running.since > older_than:
                break
            if running.announced != ("runs" if running.entered else "waits"):
                self.accept(running)

    def accept(self, running: Running) -> None:
        """Tell a caller that its handler runs, or waits here for its turn."""
        if not running.answered and running.task is not None:
            running.announced = "runs" if running.entered else "waits"
            if word := self._replies.accepted(running):
                self._outbox.reply(word)

    def asked(self, reply_to: str, call_ids: set[str]) -> None:
        """A client asks what became of these calls: tell of those that run, and repeat replies."""
        for running in self.calls():
            if running.key[0] == reply_to and running.key[1] in call_ids:
                self.accept(running)
        for reply in self.orphans.given(reply_to, call_ids):
            self._outbox.reply(on_channel(reply, self.channel.number))

    def calls(self) -> list[Running]:
        """The calls whose handlers run now."""
        return [*self.running.values(), *self.orphans.running.values()]
