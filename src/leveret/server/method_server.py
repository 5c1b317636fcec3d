"""Serves one method: takes requests from any of its queues, runs them, answers them.

It is the one place where a call moves. `calls/life.py` says what may happen to a call and what
follows; here that is done. What decides is beside it, and pure: `calls/intake.py` (what becomes of
a request), `load/` (places, and what can be finished in time), `calls/outcome.py` (what a caller is
told). The handler is run by `calls/run.py`, and `calls/settling.py` sends the reply and settles the
request.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from functools import partial
from math import inf
from typing import Final, Protocol

from msgspec import Struct, structs

from leveret.amqp.frames import on_channel
from leveret.contract import MethodSpec, Progress
from leveret.errors import Busy, CallError, Cancelled, Code, DeadlineExceeded, InvalidArgument
from leveret.once import OnceStore
from leveret.server.calls.counting import Counting
from leveret.server.calls.endings import Endings
from leveret.server.calls.intake import (
    Decision,
    decide,
    doubt,
    gave_up,
    times_delivered,
)
from leveret.server.calls.kept_replies import RecordStore
from leveret.server.calls.life import (
    TELLS,
    Act,
    Answer,
    Event,
    Holding,
    HoldingEvent,
    Life,
    ServerCall,
    Settle,
    Source,
    State,
    Stop,
    name_of,
    name_of_one_way,
)
from leveret.server.calls.once_calls import OnceCalls
from leveret.server.calls.outcome import stopped
from leveret.server.calls.passing import Passing, Publish
from leveret.server.calls.replies import Replies
from leveret.server.calls.reporting import Reporter
from leveret.server.calls.run import Ended, Runner
from leveret.server.calls.settling import Settling
from leveret.server.calls.table import CallTable, EarlyCancels
from leveret.server.calls.tracing import ServerTracing
from leveret.server.handlers.execution import Executor
from leveret.server.load.adaptive import AdaptiveMeasures, Measures
from leveret.server.load.admission import LOOK_AHEAD, Admission
from leveret.server.load.limiter import Limiter
from leveret.server.load.prefetch import Consumes, Prefetch
from leveret.server.load.slots import Slots
from leveret.server.outbox import Unsent
from leveret.server.streams.registry import Streams
from leveret.server.streams.stream import ServerStream
from leveret.transport.deadlines import Deadlines
from leveret.wire.context import CurrentCall
from leveret.wire.log_fields import fields_of, shown
from leveret.wire.message import CallKey, Incoming, Notice, NoticeKind
from leveret.wire.timing import CONFIRM_WITHIN, CONFIRM_WITHIN_WAITS

log = logging.getLogger("leveret.server")

# What each call comes by: Python 3.11 takes five times as long to find a member of an Enum.
_STARTED: Final = State.STARTED
_ENDED: Final = State.ENDED

_NOT_BEGUN: Final = (State.WAITING, State.CLAIMING)
"""Where a call waits for a place, or for its key."""
_LEFT_AFTER: Final = 1.0
"""Seconds after which a started call goes back that this server cannot remember."""
_LOOK_AGAIN: Final = 0.2
"""Seconds after which a drain looks again at calls whose callers have yet to say that they wait."""


class Announces(Protocol):
    """What sees to it that callers are told of calls that take long."""

    watching: bool
    """Whether it does so already."""

    def watch(self) -> None:
        """A call begins."""


class Shared(Struct, frozen=True, kw_only=True):
    """What the methods of one server have in common."""

    life: Life
    """Takes calls from state to state."""
    table: CallTable
    """The calls that are here."""
    kept: RecordStore
    """Replies that may have to be sent again."""
    streams: Streams
    """Those of them that stream."""
    early_cancels: EarlyCancels
    """Cancels that overtook their requests."""
    announcer: Announces
    """Tells callers of calls that take long."""
    once: OnceStore
    """Where the replies to requests with an idempotency key are recorded."""
    instance: str
    """The server's name for itself, which no other has."""
    user_of: Callable[[Incoming, str], str]
    """Whose request it is, as a server with this user may believe."""
    reply_elsewhere: Callable[[bytes], None]
    """Sends a reply whose own channel is gone, if another one is there."""
    publish_next: Publish
    """Publishes the request of the next stage of a pipe."""
    keep_failed: Callable[[MethodSpec, ServerCall, CallError, str], None]
    """Keeps the request of a one-way call that failed with this error, and has this key."""
    failed_kept: Callable[[], Awaitable[None]]
    """Waits until all of those are kept."""
    max_message_size: int
    """Bytes of the largest result."""
    send_tracebacks: bool
    """Whether callers get the traceback of an exception that the contract does not declare."""
    tracing: ServerTracing | None = None
    """Traces the calls; None if nobody wants that."""
    endings: Endings | None = None
    """Tells how each call ended; None if nobody wants to know."""


class MethodServer:
    """Serves one method.

    :param guard: raises `PermissionDenied` for a call that may not be made; None: all may be.
    :param loop: the event loop.
    """

    def __init__(
        self,
        spec: MethodSpec,
        executor: Executor,
        shared: Shared,
        *,
        adaptive: bool,
        guard: Callable[[CurrentCall], None] | None,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self.spec = spec
        self.draining = False
        """Whether it takes no more requests."""
        self.admission = Admission()
        self.deadlines: Deadlines[ServerCall] = Deadlines(loop, self._expired)
        self._shared = shared
        self._life = shared.life
        self._clock = shared.life.clock
        self._table = shared.table
        self._calls = shared.table.of(spec.key)
        self._kept = shared.kept
        self._early = shared.early_cancels
        self._streams = shared.streams
        self._has_streams = spec.streams or spec.upload is not None
        self._announcer = shared.announcer
        self._executor = executor
        self._guard = guard
        self._loop = loop
        self._key = spec.key
        self._answer_to = f"{spec.service}.{shared.instance}"
        self._doubtful = 0.0
        """With this many seconds left, a request may be one that cannot be finished in time."""
        limiter = None
        if adaptive and spec.adaptive is not None:
            limiter = Limiter(spec.adaptive, executor.concurrency)
        self.slots: Slots[ServerCall] = Slots(
            executor.concurrency if limiter is None else limiter.limit,
            lambda now: LOOK_AHEAD if self.admission.overloaded(now) else 0,
            adapts=limiter is not None,
        )
        self._prefetch = Prefetch(
            loop, self.slots.changed_prefetch, self._clock, varies=limiter is not None
        )
        self._measures: Measures = self.admission
        if limiter is not None:
            self._measures = AdaptiveMeasures(self.admission, limiter, self.slots, self._clock)
        self._once = OnceCalls(shared.once, spec, shared.instance, self._clock)
        self._replies = Replies(
            spec, shared.max_message_size, notes_errors=shared.endings is not None
        )
        self._settling = Settling(
            spec,
            shared.life,
            shared.kept,
            remove=shared.table.remove,
            discard=self.deadlines.discard,
            user_of=shared.user_of,
            reply_elsewhere=shared.reply_elsewhere,
            keep_failed=self._keep_failed,
        )
        self._endings = shared.endings
        self._counting = Counting(shared.life.clock, shared.tracing)
        self._settle = self._settling.finish if shared.endings is None else self._settle_and_tell
        self.repeat = self._settling.repeat
        """Sends a reply once more: `repeat(queue, name, frames)`; False if the queue is not its."""
        passing = Passing(
            spec,
            shared.life,
            self._replies,
            shared.publish_next,
            self._settling.passed,
            lambda: self.draining,
        )
        self._refusals: set[asyncio.Task[None]] = set()
        self._run = Runner(
            spec,
            shared.life,
            executor,
            self._replies,
            self._once,
            self._measures,
            self._end,
            partial(Reporter, loop),
            passing,
            self._begin_its_time,
            self._begin_stream,
            None if shared.tracing is None else shared.tracing.begin,
            send_tracebacks=shared.send_tracebacks,
        ).run

    def serve_queue(self, queue: Consumes) -> None:
        """Requests come by this queue as well."""
        self._prefetch.queues.append(queue)

    @property
    def calls(self) -> Collection[ServerCall]:
        """The calls that are here, in whatever state, in order of arrival."""
        return self._calls

    @property
    def waiting(self) -> Sequence[ServerCall]:
        """The calls that wait for a place, the first one first."""
        return tuple(self.slots.waiting)

    # -- what a subscription asks and tells --------------------------------------------------------

    async def start(self) -> None:
        """Make ready what takes time, before the first request."""
        await self._executor.start()

    def close(self) -> None:
        """Let go of what runs the handlers."""
        self.deadlines.close()
        self._executor.close()

    def prefetch(self) -> int:
        """How many requests a consumer that begins now may have at a time."""
        return self.slots.prefetch(self._clock())

    def take(  # noqa: C901 - the hot path: one function is faster than two
        self, request: Incoming, source: Source, *, old: bool
    ) -> None:
        """Check a request, and begin its handler in a task of its own.

        :param old: whether it was in the queue before this server.
        """
        now = self._clock()
        source.counters.started += 1
        seconds = request.deadline - time.time()
        if request.started is not None and not self._once.lasts:
            self._leave_to_others(request, source)
            return
        if (request.redelivered or self.draining) and self._is_settled(request, source, seconds):
            return
        reply_to = request.reply_to
        call = ServerCall(
            method=self._key,
            incoming=request,
            source=source,
            arrived=now,
            queued=0.0
            if request.only_if_free or seconds > request.timeout
            else request.timeout - seconds,
            ends=now + seconds,
            one_way=reply_to is None,
            name=name_of_one_way(request.call_id, request.user, request.body)
            if reply_to is None
            else "",
        )
        if reply_to is not None and request.call_id:  # as `name_of` does
            stage = request.stage or ""
            call.name = f"{request.call_id}\0{reply_to.exchange}{stage}\0{reply_to.key}"
        call.user = request.user
        if request.on_behalf_of is not None:
            call.user = self._shared.user_of(request, source.answers.own_user)
        try:
            call.arguments = self._arguments(call, seconds, now)
        except CallError as error:
            self._life.fire(call, Event.REFUSED)
            self._fail(call, error)
            return
        self._table.add(call)
        if request.started is not None:
            self._take_started(call)
            return
        if (old or request.redelivered or request.attempts) and self._ask(call, seconds, old=old):
            return
        call.tick = self.deadlines.add(call.ends, call)
        if self.slots.acquire():
            # Written out, as each call comes by here; see `life.TRANSITIONS`.
            call.state = _STARTED
            if self._life.on_transition is not None:
                self._life.on_transition(call, State.ARRIVED, Event.PLACE, _STARTED, now)
            call.started = now
            call.task = self._loop.create_task(self._run(call))
            if request.only_if_free:
                # It expires at once where this server dies: its caller must not take that for busy.
                self.tell(call)
        else:
            self._find_no_place(call)
        if not self._announcer.watching:
            self._announcer.watch()

    def _arguments(self, call: ServerCall, seconds: float, now: float) -> Struct:
        """The arguments of a request that is to be run.

        :raises CallError: why it is not.
        """
        request = call.incoming
        if request.redelivered or (request.stage and request.resent):
            has_key = self._once.key(request, call.user) is not None
            unknown = doubt(request, self.spec, has_key=has_key)
            if unknown is not None:
                raise unknown
        if self._guard is not None:
            self._guard(
                CurrentCall(request, method=self._key, deadline=request.deadline, user=call.user)
            )
        if seconds <= self._doubtful:
            self._check_time_left(request, seconds, now)
        if self._early.until and self._early.take(call.key):
            raise Cancelled("the caller cancelled before a server took it", executed="no")
        arguments = self._replies.arguments(request)
        if self._has_streams:
            call.stream = self._stream_of(call, now)
        return arguments

    def caller_gone(self, key: CallKey) -> None:
        """The broker has no queue for what was sent to a caller."""
        self._streams.returned(key)

    def sent(self, call: ServerCall) -> None:
        """The reply of a call has left that had to wait for the socket: its place is free."""
        if call.task is not None:
            self._leave()

    def attached(self, source: Source) -> None:
        """Requests come again, and replies go out: those that could not be sent go out first."""
        self._settling.attached(source)
        if self._has_streams:
            self._streams.attached(source)

    def note_broker_limit(self, size: int) -> None:
        """The broker closed a channel, as it takes no larger reply than this, in bytes."""
        self._replies.note_broker_limit(size)

    def channel_lost(self, source: Source, unsent: list[Unsent]) -> None:
        """A channel has ended, and with it its deliveries are void; the handlers run on.

        :param unsent: the replies that still waited for the socket.
        """
        lost = [c for c in self._calls if c.source is source and c.holding is Holding.HELD]
        for call in lost:
            self._life.move(call, HoldingEvent.CHANNEL_LOST)
            self._table.detached(call)
            # Its request is the broker's, so it does not wait here; it may come again.
            self.slots.discard(call)
        for item in unsent:
            if item.call is not None:
                self._settling.keep(item.call, item.frames)
                self.sent(item.call)
        if self.draining:
            for call in lost:
                self.stop(call, Stop.DRAIN)  # nobody can be answered any more

    # -- what streams ------------------------------------------------------------------------------

    def _stream_of(self, call: ServerCall, now: float) -> ServerStream:
        """The streams of a call that is to be run.

        :raises InvalidArgument: if its caller does not take them.
        """
        spec, request = self.spec, call.incoming.stream
        if spec.streams and (request is None or not request.items):
            raise InvalidArgument(
                f"{self._key} streams its results, and this caller takes one result only; call it"
                " with `async for`, by a client that knows streams"
            )
        if spec.upload is not None and (request is None or not request.uploads):
            raise InvalidArgument(
                f"{self._key} is given {spec.upload.name!r} item by item, and this caller sends"
                " none; call it by a client that knows streams"
            )
        assert request is not None
        if not call.name:
            raise InvalidArgument(f"{self._key} streams: a call needs an id and a reply address")
        replies = self._replies
        replies.codec(call.incoming.content_type)
        return ServerStream(
            call,
            request,
            sender=self._answer_to,
            encode=replies.item if spec.streams else None,
            decode=None if spec.upload is None else replies.uploaded,
            now=now,
        )

    def _begin_stream(self, call: ServerCall, context: CurrentCall) -> None:
        """The handler of a call begins that streams: its request is not needed any more.

        It would be held for longer than the broker waits; and half a stream is not run again.
        """
        stream = call.stream
        assert isinstance(stream, ServerStream)
        if call.name in self._streams:  # its caller sent the request twice
            call.answer = Answer.GIVEN
            call.code = Code.CANCELLED.value
            self._acknowledge(call)
            raise asyncio.CancelledError
        self._acknowledge(call)
        self._streams.add(stream)
        stream.begin(self._clock(), lambda: self._first_sent(call, stream.total, context))

    def _acknowledge(self, call: ServerCall) -> None:
        if call.holding is Holding.HELD:
            self._life.move(call, HoldingEvent.SETTLED)
            call.source.answers.settle(call.tag, Settle.ACK)

    def _first_sent(self, call: ServerCall, total: float | None, context: CurrentCall) -> None:
        """The caller of a stream has heard of it: from now on it may take until `total`."""
        self.deadlines.discard(call.tick, call)
        if total is None:
            call.ends = context.deadline = inf
        else:
            call.ends = self._clock() + total - time.time()
            context.deadline = total
            call.tick = self.deadlines.add(call.ends, call)

    def drain_streams(self) -> None:
        """End the streams that go on at another server."""
        for call in tuple(self._calls):
            if self.spec.resume and call.streams:
                self.stop(call, Stop.DRAIN)

    # -- a request that is not simply begun --------------------------------------------------------

    def _is_settled(self, request: Incoming, source: Source, seconds: float) -> bool:
        """See to a request that comes again, or while this drains; False if it is as any other."""
        source.counters.redelivered += request.redelivered
        name = name_of((request.reply_to, request.call_id), request.stage)
        if request.reply_to is None:
            name = name_of_one_way(request.call_id, request.user, request.body)
        if name in self._streams:  # it was acknowledged on a channel that had ended
            source.answers.settle(request.delivery.delivery_tag, Settle.ACK)
            return True
        call = kept = None
        if request.redelivered:
            call = self._table.delivered_again(self._key, name)
            kept = self._kept.find(name)
        decision = decide(
            request,
            self.spec,
            seconds,
            known=call is not None,
            answered=kept is not None,
            draining=self.draining,
        )
        answers, tag = source.answers, request.delivery.delivery_tag
        if decision is Decision.JUDGE:
            return False
        if decision is Decision.HAND_BACK:
            self._settling.hand_back(request, source, seconds)
            self._tell_of(request, source)
        elif decision is Decision.GO_ON and call is not None:
            self._go_on(call, request, source)
        elif decision is Decision.REPEAT and kept is not None:
            answers.repeat(name, kept[1])
            answers.settle(tag, Settle.ACK)
            source.finished += 1
        else:
            times, _ = times_delivered(request, self.spec)
            user = self._shared.user_of(request, answers.own_user)
            uncounted = partial(self._run_uncounted, request, source, times)
            # One that cannot be counted could come for ever.
            if decision is Decision.GIVE_UP or not answers.hand_back(
                request, seconds, user, times, uncounted
            ):
                self._give_up(request, source, times)
            else:
                self._tell_of(request, source)
        return True

    def _run_uncounted(self, request: Incoming, source: Source, times: int) -> None:
        """Run a request that nobody waits for, as its queue is too full to count it."""
        source.counters.started -= 1  # it was counted as it came, and as handed back
        source.counters.handed_back -= 1
        counted = structs.replace(request, redelivered=False, attempts=times)
        self.take(counted, source, old=False)

    def _go_on(self, call: ServerCall, request: Incoming, source: Source) -> None:
        """The request of a call that is here has come again: it can be answered once more."""
        self._life.move(call, HoldingEvent.REDELIVERED)
        call.incoming = request
        call.source = source
        act = self._life.fire(call, Event.REDELIVERED)
        if call.streams:
            self._acknowledge(call)
        if act is Act.ASK:
            source.answers.reply(self._question(call))
        elif act is Act.ADMIT:
            self._admit(call)

    def _give_up(self, request: Incoming, source: Source, times: int) -> None:
        """Answer and dead-letter a request that may kill its servers."""
        error = gave_up(times)
        call = self._call_of(request, source)
        log.error("%s: %s", shown(call), error.message, extra=fields_of(call))
        self._life.fire(call, Event.REFUSED)
        reply = self._replies.error(call, error)
        if call.incoming.started is None:
            self._reject(call, source, b"" if call.dead_letter else reply)
        else:
            self._refuse(call, reply, lambda: self._reject(call, source, b""))

    def _reject(self, call: ServerCall, source: Source, reply: bytes) -> None:
        self._counting.ended(call, reply)
        if not self._settling.kept(call):
            source.answers.reject(call, reply)
        if self._endings is not None:
            self._endings.gave_up(call, reply)

    def _call_of(self, request: Incoming, source: Source) -> ServerCall:
        """The call of a request that is not begun here."""
        now = self._clock()
        seconds = request.deadline - time.time()
        return ServerCall(
            method=self._key,
            incoming=request,
            source=source,
            user=self._shared.user_of(request, source.answers.own_user),
            arrived=now,
            queued=0.0 if request.only_if_free else max(request.timeout - seconds, 0.0),
            ends=now + seconds,
            one_way=request.reply_to is None,
        )

    def _tell_of(self, request: Incoming, source: Source) -> None:
        """Count and tell of a request that was handed back as soon as it came."""
        source.counters.handed_back += 1
        if self._endings is not None:
            self._endings.handed_back(self._call_of(request, source))

    def _ask(self, call: ServerCall, seconds: float, *, old: bool) -> bool:
        """Ask the caller whether it still waits; False if its dialect knows no such question.

        The caller of a request that was there before this server may have been told that no server
        listens. The caller of one that another server had may have been answered by that one, which
        then lost its connection before its acknowledgement was read: a refusal, mostly, which says
        that the handler did not run.
        """
        call.old = old
        question = self._question(call)
        if not question:
            return False
        patience = min(seconds, CONFIRM_WITHIN_WAITS if self._still_waits(call) else CONFIRM_WITHIN)
        call.tick = self.deadlines.add(call.arrived + patience, call)
        self._life.fire(call, Event.ASK)
        call.source.answers.reply(question)
        return True

    def _still_waits(self, call: ServerCall) -> bool:
        """Whether the caller of such a request can be thought to wait, though it says nothing.

        It may be cut off, and to run the request does no harm. But a caller that does not wait for
        a server may have been told that there was none, and that its handler did not run. A caller
        whose request another server had hardly was: the answer would have had to get through, and
        not the acknowledgement in the same write.
        """
        return not call.old or (self.spec.idempotent and call.incoming.waits)

    def _question(self, call: ServerCall) -> bytes:
        notice = Notice(kind=NoticeKind.CONFIRM, answer_to=self._answer_to)
        return call.source.answers.packer.notice(call.incoming, notice)

    def confirmed(self, call: ServerCall) -> None:
        """The caller of a call still waits: run it."""
        if call.state is not State.ASKED:
            return
        self._life.fire(call, Event.CONFIRMED)
        self.deadlines.discard(call.tick, call)
        call.tick = self.deadlines.add(call.ends, call)
        self._admit(call)
        if not self._announcer.watching:
            self._announcer.watch()

    def _expired(self, call: ServerCall) -> None:
        """The deadline has passed: that of the call, or that of its caller to say that it waits."""
        if call.one_way and call.state in _NOT_BEGUN and self._begin_time(call):
            return  # its handler's time has not begun
        if call.state is not State.ASKED:
            self.stop(call, Stop.DEADLINE)
        elif call.holding is Holding.DETACHED:
            self._life.fire(call, Event.UNCONFIRMED)
            self._forget(call)  # whoever gets its request next asks its caller
        elif self._still_waits(call) and call.ends > self._clock():
            self.confirmed(call)
        else:
            error = stopped(call, call.state, in_thread=False)
            self._life.fire(call, Event.UNCONFIRMED)
            self._fail(call, error)

    # -- started calls -----------------------------------------------------------------------------

    def _take_started(self, call: ServerCall) -> None:
        """Nobody is asked whether somebody still waits for it: that does not matter."""
        call.tick = self.deadlines.add(call.ends, call)
        self._admit(call)
        if not self._announcer.watching:
            self._announcer.watch()

    def _begin_its_time(self, call: ServerCall) -> None:
        """A call that nobody waits for is run now: its method's timeout bounds it from here on."""
        if call.incoming.started is None:
            self._begin_time(call)
            return
        self.deadlines.discard(call.tick, call)
        call.ends = self._clock() + self.spec.timeout
        call.tick = self.deadlines.add(call.ends, call)

    def _leave_to_others(self, request: Incoming, source: Source) -> None:
        """Hand back a started call that this server cannot remember, in a moment."""
        log.error(
            "%s: a started call is left to other servers, as this one has no store of idempotency"
            " keys that outlives it: serve with once='sqlite:///...', Redis or PostgreSQL",
            self._key,
        )

        def hand_back() -> None:
            source.counters.handed_back += 1
            if source.answers.is_open:
                self._settling.hand_back(request, source, request.deadline - time.time())

        self._loop.call_later(_LEFT_AFTER, hand_back)

    def cancel_started(self, name: str) -> bool:
        """Cancel a started call by what its key is called in the store; False if it is not here."""
        call = self._started(name)
        if call is not None:
            self.stop(call, Stop.CALLER)
        return call is not None

    def progress_of_started(self, name: str) -> Progress | None:
        """How far a started call is, if it runs here and its handler has said so."""
        call = self._started(name)
        return None if call is None or call.context is None else call.context.last_progress

    def _started(self, name: str) -> ServerCall | None:
        """A started call that is here; that which runs, if there are several with one key."""
        found = None
        for call in self._calls:
            is_started = call.incoming.started is not None
            if is_started and self._once.key(call.incoming, call.user) == name:
                if call.context is not None:
                    return call
                found = found or call
        return found

    def _refuse(self, call: ServerCall, reply: bytes, then: Callable[[], object]) -> None:
        """Note why a started call is not run, and only then settle its request."""

        async def refuse() -> None:
            try:
                await self._once.refuse(call, reply)
            finally:
                then()

        task = self._loop.create_task(refuse())
        self._refusals.add(task)
        task.add_done_callback(self._refusals.discard)

    # -- one-way calls -----------------------------------------------------------------------------

    def _begin_time(self, call: ServerCall) -> bool:
        """Give a one-way call that has not begun all of its method's time; False if it expired."""
        self.deadlines.discard(call.tick, call)
        now = time.time()
        seconds = min(self.spec.timeout, call.incoming.expires - now)
        if seconds <= 0:
            return False
        call.incoming = structs.replace(call.incoming, deadline=now + seconds)
        call.ends = self._clock() + seconds
        call.tick = self.deadlines.add(call.ends, call)
        return True

    # -- places ------------------------------------------------------------------------------------

    def _admit(self, call: ServerCall) -> None:
        """Find a place for a call, now or later."""
        if self.slots.acquire():
            self._start(call)
        else:
            self._find_no_place(call)

    def _start(self, call: ServerCall) -> None:
        """Begin a call that has a place."""
        self._life.fire(call, Event.PLACE)
        call.started = self._clock()
        call.task = self._loop.create_task(self._run(call))

    def _find_no_place(self, call: ServerCall) -> None:
        if call.incoming.only_if_free:
            self._life.fire(call, Event.BUSY)
            self._fail(call, Busy(f"no server of {self._key} has a free place at this moment"))
            return
        self._life.fire(call, Event.NO_PLACE)
        self.slots.wait(call)
        if self._prefetch.varies:
            self._adjust()

    def _leave(self) -> None:
        """A call has left its place: the next one has it."""
        slots = self.slots
        slots.release()
        if self._prefetch.varies:
            self._adjust()
        if slots.waiting:
            self._start_waiting()

    def _start_waiting(self) -> None:
        """Begin what waits while there are places, unless too little time is left for it."""
        while (call := self.slots.next()) is not None:
            if call.one_way:
                self._begin_time(call)
            now = self._clock()
            try:
                if call.ends - now <= self._doubtful:
                    self._check_time_left(call.incoming, call.ends - now, now)
            except DeadlineExceeded as error:
                self.slots.release()
                self._life.fire(call, Event.LATE)
                self._fail(call, error)
            else:
                self._start(call)

    def _check_time_left(self, request: Incoming, seconds: float, now: float) -> None:
        """:raises DeadlineExceeded: if there is too little time left to begin a request."""
        try:
            self.admission.check(seconds, request.timeout, now)
        except DeadlineExceeded:
            if self.admission.overloaded(now):
                self._prefetch.varies = True
                self._adjust()
            raise

    def _adjust(self) -> None:
        if not self.draining:
            self._prefetch.adjust()

    # -- a call ends -------------------------------------------------------------------------------

    def _end(self, call: ServerCall, ended: Ended) -> None:
        """A call's task is done with it."""
        before = call.state
        if before is _ENDED:
            return  # a drain has given it up
        # Written out, as each call comes by here; see `life.TRANSITIONS`.
        call.state = _ENDED
        if self._life.on_transition is not None:
            self._life.on_transition(call, before, Event.END, _ENDED, self._clock())
        reply = ended.reply
        if ended.packed_for is not call.source.answers:  # the channel ended meanwhile
            reply = on_channel(reply, call.source.answers.number)
        if self._finish(call, reply, back=ended.back):
            self._leave()

    def _finish(self, call: ServerCall, reply: bytes, *, back: bool = False) -> bool:
        """Count a call that has ended, answer and settle it: `Settling.finish`."""
        self._counting.ended(call, reply, back=back)
        return self._settle(call, reply, back=back)

    def _settle_and_tell(self, call: ServerCall, reply: bytes, *, back: bool = False) -> bool:
        """`Settling.finish`, where somebody wants to know how calls end."""
        assert self._endings is not None
        end = self._endings.of(call, reply, back=back)
        is_free = self._settling.finish(call, reply, back=back)
        self._endings.tell(call, end)
        return is_free

    def _fail(self, call: ServerCall, error: CallError) -> None:
        """Answer a call that has ended without a task."""
        reply = self._replies.error(call, error)
        if call.incoming.started is None:
            self._finish(call, reply)
        else:
            self._refuse(call, reply, partial(self._finish, call, b""))

    def _keep_failed(self, call: ServerCall) -> None:
        """Keep the request of a one-way call that failed."""
        error, call.failure = call.failure, None
        assert error is not None
        key = self._once.given(call.incoming) or ""
        self._shared.keep_failed(self.spec, call, error, key)

    def _answer(self, call: ServerCall, error: CallError) -> None:
        """Answer a call that has not ended."""
        if call.answer is Answer.OWED:
            self._settling.answer(call, self._replies.error(call, error))

    # -- a call is stopped -------------------------------------------------------------------------

    def stop(self, call: ServerCall, why: Stop) -> None:
        """End a call before its handler does. Only the first reason counts.

        Past its deadline the caller is answered at once. The handler is cancelled; one in a thread
        cannot be, so its place stays taken until it returns.
        """
        before, detached = call.state, call.holding is Holding.DETACHED
        act = self._life.stop(call, why)
        if act is Act.NONE:
            return
        error = stopped(call, before, in_thread=self._executor.in_thread)
        match act:
            case Act.FAIL if detached:
                # Its request is the broker's: another server may have it by now.
                self._forget(call)
                if why is Stop.CALLER:
                    self._early.add(call.key, call.ends - self._clock())
            case Act.FAIL:
                self.slots.discard(call)
                self._fail(call, error)
            case Act.HAND_BACK if call.incoming.for_all:
                self.slots.discard(call)
                self._fail(call, error)
            case Act.HAND_BACK:
                self._forget(call)
                if not detached:
                    self._settling.hand_back(call.incoming, call.source, call.ends - self._clock())
            case Act.ANSWER | Act.ANSWER_CANCEL:
                if call.stream is None:
                    self._measures.record_cut_off(self._clock() - call.started)
                self._answer(call, error)
        self._cut_off(call, act)

    def _cut_off(self, call: ServerCall, act: Act) -> None:
        """Cancel the task of a call that is stopped, as far as it can be."""
        if call.stream is not None:
            call.stream.stop()
        unstoppable = self._executor.in_thread and call.state is State.RUNNING
        if act in {Act.CANCEL, Act.ANSWER_CANCEL} and call.task is not None and not unstoppable:
            call.task.cancel()

    def _forget(self, call: ServerCall) -> None:
        """A call is not here any more, and nobody is answered."""
        self.slots.discard(call)
        self._settling.forget(call)
        self._counting.handed_back(call)
        if self._endings is not None:
            self._endings.handed_back(call)

    def abandon(self, call: ServerCall) -> None:
        """Wait no longer for a handler that refuses to end, but tell its caller.

        An idempotent call is left to another server: the broker hands it on with the channel's end.
        """
        if call.stop is Stop.NONE:  # it came while all others were stopped
            call.stop = Stop.DRAIN
        error = stopped(call, call.state, in_thread=self._executor.in_thread)
        self._life.fire(call, Event.ABANDON)
        if call.streams and isinstance(call.stream, ServerStream) and call.stream.has_results:
            self._finish(call, self._replies.moved(call, call.stream))
        elif self.spec.idempotent and not call.incoming.for_all and not call.streams:
            self._forget(call)
        else:
            self._fail(call, error)

    # -- the drain ---------------------------------------------------------------------------------

    async def hand_back_waiting(self) -> None:
        """Hand back what waits for a place, and change no prefetch any more."""
        for call in self.waiting:
            self.stop(call, Stop.DRAIN)
        if self.spec.resume:
            self.drain_streams()
        await self._prefetch.settled()

    async def finish(self) -> None:
        """Wait until no call is here, and what failed of them is kept."""
        while self._calls or self._refusals:
            calls = tuple(self._calls)
            for call in calls:
                if call.task is not None and call.task.done():  # from outside, before it began
                    error = stopped(call, call.state, in_thread=self._executor.in_thread)
                    reply = self._replies.error(call, error)
                    answers = call.source.answers
                    self._end(call, Ended(reply=reply, packed_for=answers, back=False))
            tasks = [call.task for call in calls if call.task is not None]
            tasks += self._refusals
            # Those whose callers were asked and have not answered yet end by themselves.
            await (asyncio.wait(tasks) if tasks else asyncio.sleep(_LOOK_AGAIN))
        await self._shared.failed_kept()

    # -- what callers are told meanwhile -----------------------------------------------------------

    def announce(self, before: float) -> None:
        """Tell the callers of what has been here since before a moment that it is.

        After that they take no "expired in the queue" and no empty queue for proof that nobody
        ran their request: it may have been taken by a server that died.
        """
        self._doubtful = self.admission.judge(self._clock())
        for call in self._calls:
            if (call.started or call.arrived) <= before and call.told is not self._tells(call):
                self.tell(call)

    def tell(self, call: ServerCall) -> None:
        """Tell a caller that its handler runs, or waits here for its turn."""
        kind = self._tells(call)
        if kind is not None and call.answer is Answer.OWED:
            answers = call.source.answers
            if answers.notice(answers.packer.notice(call.incoming, Notice(kind=kind))):
                call.told = kind

    def _tells(self, call: ServerCall) -> NoticeKind | None:
        if call.state is State.WAITING and len(self._prefetch.queues) > 1:
            # With several queues calls wait for as long as those from the others run.
            return NoticeKind.WAITS
        return TELLS[call.state]
