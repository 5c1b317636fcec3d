"""Serves one method: takes requests from any of its queues, runs them, answers them.

This file has the way of a request to its handler, and puts the other parts together.
`calls/life.py` says what may happen to a call and what follows. `calls/run.py` runs the handler,
and `calls/settling.py` sends the reply and settles the request. The files of `method/` do what is
due in between: they find a place (`places.py`), end a call (`ends.py`) or stop it (`stopping.py`),
and see to requests that came before (`redelivered.py`), whose callers are asked first
(`asking.py`), or told (`telling_first.py`), whose callers do not wait (`unawaited.py`), and that
stream (`beginning_streams.py`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Final

from msgspec import Struct

from leveret.contract import MethodSpec, Progress
from leveret.errors import CallError, Cancelled
from leveret.server.calls.intake import doubt
from leveret.server.calls.life import (
    TELLS,
    Answer,
    Event,
    Holding,
    HoldingEvent,
    ServerCall,
    Source,
    State,
    Stop,
)
from leveret.server.calls.names import name_of_one_way
from leveret.server.calls.once_calls import OnceCalls
from leveret.server.calls.outcome import stopped
from leveret.server.calls.passing import Passing
from leveret.server.calls.replies import Replies
from leveret.server.calls.reporting import Reporter
from leveret.server.calls.run import Ended, Runner
from leveret.server.calls.settling import Settling
from leveret.server.handlers.execution import Executor
from leveret.server.load.prefetch import Consumes
from leveret.server.method.asking import Asking
from leveret.server.method.beginning_streams import BeginningStreams
from leveret.server.method.ends import Ends
from leveret.server.method.places import Places
from leveret.server.method.redelivered import Redelivered
from leveret.server.method.shared import Shared
from leveret.server.method.stopping import Stopping
from leveret.server.method.telling_first import TellingFirst
from leveret.server.method.unawaited import Unawaited
from leveret.server.outbox import Unsent
from leveret.transport.deadlines import Deadlines
from leveret.wire.context import CurrentCall
from leveret.wire.message import CallKey, Incoming, Notice, NoticeKind

# What each call comes by: Python 3.11 takes five times as long to find a member of an Enum.
_STARTED: Final = State.STARTED

_LOOK_AGAIN: Final = 0.2
"""Seconds after which a drain looks again at calls whose callers have not yet answered."""


class MethodServer:
    """Serves one method.

    :param guard: raises `PermissionDenied` for a call that is not allowed; None: all are.
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
        self.deadlines: Deadlines[ServerCall] = Deadlines(loop, self._expired)
        self._shared = shared
        self._life = shared.life
        self._clock = shared.life.clock
        self._table = shared.table
        self._calls = shared.table.of(spec.key)
        self._early = shared.early_cancels
        self._streams = shared.streams
        self._has_streams = spec.streams or spec.upload is not None
        self._announcer = shared.announcer
        self._executor = executor
        self._guard = guard
        self._loop = loop
        self._key = spec.key
        answer_to = f"{spec.service}.{shared.instance}"
        self._once = once = OnceCalls(shared.once, spec, shared.instance, self._clock)
        self._replies = replies = Replies(
            spec, shared.max_message_size, notes_errors=shared.endings is not None
        )
        self._settling = settling = Settling(
            spec,
            shared.life,
            shared.kept,
            remove=shared.table.remove,
            discard=self.deadlines.discard,
            user_of=shared.user_of,
            reply_elsewhere=shared.reply_elsewhere,
            keep_failed=self._keep_failed,
        )
        self.repeat = settling.repeat
        """Sends a reply once more: `repeat(queue, name, frames)`; False if the queue is not its."""
        self._unawaited = Unawaited(
            spec,
            self._calls,
            once,
            self.deadlines,
            self._clock,
            loop,
            hand_back=settling.hand_back,
        )
        self._places = places = Places(
            spec,
            executor.concurrency,
            shared.life,
            loop,
            adaptive=adaptive,
            start=self._start,
            fail=self._fail,
            begin_time=self._unawaited.begin_time,
            is_draining=lambda: self.draining,
        )
        self.slots = places.slots
        self.admission = places.admission
        self._ends = ends = Ends(
            shared,
            replies,
            settling,
            once,
            loop,
            leave=places.leave,
            wait_no_longer=places.slots.discard,
        )
        self._stopping = Stopping(
            spec,
            shared,
            replies,
            settling,
            ends,
            in_thread=executor.in_thread,
            wait_no_longer=places.slots.discard,
            record_cut_off=places.measures.record_cut_off,
        )
        self._asking = Asking(
            shared.life,
            self.deadlines,
            answer_to=answer_to,
            idempotent=spec.idempotent,
            keyed=spec.once,
            admit=self._admit,
            fail=ends.fail,
            forget=ends.forget,
            remove=shared.table.remove,
        )
        self._telling_first = TellingFirst(
            shared.life,
            self.deadlines,
            publish=shared.publish_confirmed,
            admit=self._admit,
            fail=ends.fail,
            forget=ends.forget,
        )
        self._redelivered = Redelivered(
            spec,
            shared,
            settling,
            ends,
            take=partial(self.take, old=False),
            ask=self._asking.ask_again,
            admit=places.admit,
        )
        self._beginning_streams = BeginningStreams(
            spec,
            replies,
            shared.streams,
            self.deadlines,
            sender=answer_to,
            acknowledge=settling.acknowledge,
            clock=self._clock,
        )
        self._run = self._made_runner().run

    def _made_runner(self) -> Runner:
        shared = self._shared
        passing = Passing(
            self.spec,
            shared.life,
            self._replies,
            shared.publish_next,
            self._settling.passed,
            lambda: self.draining,
        )
        return Runner(
            self.spec,
            shared.life,
            self._executor,
            self._replies,
            self._once,
            self._places.measures,
            self._ends.end,
            partial(Reporter, self._loop),
            passing,
            self._unawaited.bound,
            self._beginning_streams.begin,
            None if shared.tracing is None else shared.tracing.begin,
            send_tracebacks=shared.send_tracebacks,
        )

    def serve_queue(self, queue: Consumes) -> None:
        """Requests come by this queue as well."""
        self._places.serve_queue(queue)

    @property
    def calls(self) -> Collection[ServerCall]:
        """The calls that are here, in whatever state, in order of arrival."""
        return self._calls

    @property
    def waiting(self) -> Sequence[ServerCall]:
        """The calls that wait for a place, the first one first."""
        return tuple(self.slots.waiting)

    async def start(self) -> None:
        """Prepare what takes time, before the first request."""
        await self._executor.start()

    def close(self) -> None:
        """Release what runs the handlers."""
        self.deadlines.close()
        self._executor.close()

    # -- what a subscription asks and tells --------------------------------------------------------

    def prefetch(self) -> int:
        """How many requests a consumer that starts now may have at a time."""
        return self._places.prefetch()

    def take(  # noqa: C901 - the hot path: one function is faster than two
        self, request: Incoming, source: Source, *, old: bool
    ) -> None:
        """Check a request, and begin its handler in a task of its own.

        :param old: whether it was in the queue before this server.
        """
        now = self._clock()
        source.counters.started += 1
        seconds = request.deadline - time.time()
        if request.started is not None and not self._unawaited.can_be_remembered:
            self._unawaited.leave_to_others(request, source)
            return
        if (request.redelivered or self.draining) and self._redelivered.is_settled(
            request, source, seconds, old=old, draining=self.draining
        ):
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
            self._ends.fail(call, error)
            return
        self._table.add(call)
        if request.started is not None:
            # Whether somebody waits for it does not matter.
            call.tick = self.deadlines.add(call.ends, call)
            self._admit(call)
            return
        may_be_told = old or request.redelivered or request.attempts or request.old
        if may_be_told and self._asking.ask(call):
            return
        if request.only_if_free and self.slots.is_free and self._telling_first.tell(call):
            return
        call.tick = self.deadlines.add(call.ends, call)
        if self.slots.acquire():
            # Written out, as each call comes by here; see `life.TRANSITIONS`.
            call.state = _STARTED
            if self._life.on_transition is not None:
                self._life.on_transition(call, State.ARRIVED, Event.PLACE, _STARTED, now)
            call.started = now
            call.task = self._loop.create_task(self._run(call))
        else:
            self._places.find_no_place(call)
        if not self._announcer.watching:
            self._announcer.watch()

    def _arguments(self, call: ServerCall, seconds: float, now: float) -> Struct:
        """The arguments of a request that is about to run.

        :raises CallError: why it must not run.
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
        if seconds <= self._places.doubtful:
            self._places.check_time_left(request, seconds, now)
        if self._early.until and self._early.take(call.key):
            raise Cancelled("the caller cancelled before a server took it", executed="no")
        if not self._has_streams and request.stream is None:
            return self._replies.arguments(request)
        self._beginning_streams.check(request)
        arguments = self._replies.arguments(request)
        call.stream = self._beginning_streams.stream_of(call, now)
        return arguments

    def _start(self, call: ServerCall) -> None:
        """Begin a call that has a place; `take` has the same code inline."""
        self._life.fire(call, Event.PLACE)
        call.started = self._clock()
        call.task = self._loop.create_task(self._run(call))

    def _admit(self, call: ServerCall) -> None:
        """Find a place for a call, now or later, and have its caller told of it."""
        self._places.admit(call)
        if not self._announcer.watching:
            self._announcer.watch()

    def _fail(self, call: ServerCall, error: CallError) -> None:
        self._ends.fail(call, error)

    def _keep_failed(self, call: ServerCall) -> None:
        """Keep the request of a one-way call that failed."""
        error, call.failure = call.failure, None
        assert error is not None
        key = self._once.given(call.incoming) or ""
        self._shared.keep_failed(self.spec, call, error, key)

    def caller_gone(self, key: CallKey) -> None:
        """The broker returned a message to a caller, as the caller's queue is gone."""
        self._streams.returned(key)

    def sent(self, call: ServerCall) -> None:
        """A reply that had to wait for the socket was sent: the call's place is free."""
        if call.task is not None:
            self._places.leave()

    def attached(self, source: Source) -> None:
        """There is a channel again: send the replies that could not be sent first."""
        self._settling.attached(source)
        if self._has_streams:
            self._streams.attached(source)

    def too_large(self, source: Source, size: int, most: int) -> None:
        """The broker closed a channel for a reply of `size` bytes, and takes `most`."""
        self._replies.note_broker_limit(most)
        if self._has_streams:
            self._streams.refused(source, size, most)

    def channel_lost(self, source: Source, unsent: list[Unsent]) -> None:
        """A channel has ended, and its deliveries are void; the handlers run on.

        :param unsent: the replies that still waited for the socket.
        """
        lost = [c for c in self._calls if c.source is source and c.holding is Holding.HELD]
        for call in lost:
            self._life.move(call, HoldingEvent.CHANNEL_LOST)
            self._table.detached(call)
            # Its request is the broker's, so it does not wait here; it may come again.
            self.slots.discard(call)
            if call.state is State.WAITING and not call.incoming.is_awaited:
                # It has not begun, and here it could be known for as long as a day.
                self.stop(call, Stop.DRAIN)
        for item in unsent:
            if item.call is not None:
                self._settling.keep(item.call, bytes(item.frames))
                self.sent(item.call)
        self._settling.channel_lost(source.queue)
        if self.draining:
            for call in lost:
                self.stop(call, Stop.DRAIN)  # nobody can be answered any more

    # -- a call that is here -----------------------------------------------------------------------

    def stop(self, call: ServerCall, why: Stop) -> None:
        """End a call before its handler does. Only the first reason counts.

        Past its deadline the caller is answered at once. The handler is cancelled; one in a thread
        cannot be, so its place stays taken until it returns.
        """
        self._stopping.stop(call, why)

    def abandon(self, call: ServerCall) -> None:
        """Stop waiting for a handler that does not end, but tell its caller.

        An idempotent call is left to another server: the broker redelivers it when the channel
        ends.
        """
        self._stopping.abandon(call)

    def confirmed(self, call: ServerCall) -> None:
        """The caller of a call still waits: run it."""
        self._asking.confirmed(call)

    def cancel_started(self, name: str) -> bool:
        """Cancel a started call by its key's name in the store; False if it is not here."""
        call = self._unawaited.find(name)
        if call is not None:
            self.stop(call, Stop.CALLER)
        return call is not None

    def progress_of_started(self, name: str) -> Progress | None:
        """The last progress report of a started call, if it runs here and has one."""
        return self._unawaited.progress(name)

    def _expired(self, call: ServerCall) -> None:
        """A deadline has passed: the call's own, or that of its caller's answer."""
        if self._unawaited.lives_on(call):
            return
        if call.state is State.ASKED and call.told is not None:
            self._telling_first.expired(call)
        elif call.state is State.ASKED:
            self._asking.unanswered(call)
        else:
            self.stop(call, Stop.DEADLINE)

    # -- the drain ---------------------------------------------------------------------------------

    async def hand_back_waiting(self) -> None:
        """Hand back the calls that wait for a place, and change no prefetch any more.

        Those whose requests the broker has already are forgotten.
        """
        for call in tuple(self._calls):
            if call.state is State.WAITING:
                self.stop(call, Stop.DRAIN)
        if self.spec.resume:
            self.drain_streams()
        await self._places.settled()

    def drain_streams(self) -> None:
        """End the streams that another server can continue."""
        for call in tuple(self._calls):
            if self.spec.resume and call.streams:
                self.stop(call, Stop.DRAIN)

    async def finish(self) -> None:
        """Wait until no call is here, and the failed requests are kept."""
        while self._calls or self._ends.refusals:
            calls = tuple(self._calls)
            for call in calls:
                if call.task is not None and call.task.done():  # from outside, before it began
                    error = stopped(call, call.state, in_thread=self._executor.in_thread)
                    reply = self._replies.error(call, error)
                    answers = call.source.answers
                    self._ends.end(call, Ended(reply=reply, packed_for=answers, back=False))
            tasks = [call.task for call in calls if call.task is not None]
            tasks += self._ends.refusals
            # Those whose callers were asked and have not answered yet end by themselves.
            await (asyncio.wait(tasks) if tasks else asyncio.sleep(_LOOK_AGAIN))
        await self._shared.failed_kept()

    # -- what callers are told meanwhile -----------------------------------------------------------

    def announce(self, before: float) -> None:
        """Tell the callers of calls that have been here since before a time that they are here.

        After that they do not take an expired request or an empty queue for proof that nobody ran
        it: a server that died may have had it.
        """
        self._places.judge()
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
        if call.state is State.WAITING and self._places.has_several_queues:
            # With several queues calls wait for as long as those from the others run.
            return NoticeKind.WAITS
        return TELLS[call.state]
