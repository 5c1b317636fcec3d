"""Runs one call, from its place to its end: its claim, its handler, and the record of its reply.

It knows no channel. The outcome is given to the owner of the call's delivery.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, Protocol

from msgspec import Struct

from leveret.contract import MethodSpec, Progress
from leveret.errors import CallError, RemoteError
from leveret.server.calls.claiming import Claiming
from leveret.server.calls.life import Event, Life, ServerCall, State, Stop
from leveret.server.calls.once_calls import Claim, OnceCalls
from leveret.server.calls.outcome import raised, stopped
from leveret.server.calls.replies import Replies
from leveret.server.calls.way_back import WayBack
from leveret.wire.context import CurrentCall, set_current_call


class Ended(Struct, frozen=True, kw_only=True):
    """How a call ended."""

    reply: bytes
    """The frames of its reply, b"" where its caller wants none."""
    packed_for: WayBack[ServerCall]
    """The way back that they were packed for; its channel may have ended since."""
    back: bool
    """Whether another server must run it."""


class Invoked(Protocol):
    """A call whose handler may begin later: once it has a thread, or the middleware calls it."""

    returned: Any
    """What the handler returned to the middleware around it."""

    def enter(self) -> None:
        """The handler begins now: a failure from here on counts as executed."""

    def send(self, item: Any) -> Awaitable[None] | None:
        """The handler yielded an item; return what to await before the next one, if anything."""
        ...

    async def uploaded(self) -> Any:
        """The next item of the upload.

        :raises StopAsyncIteration: after the last one.
        """


class Handler(Protocol):
    """A method's handler, with the middleware around it."""

    enters_at_once: bool
    """Whether the handler begins as soon as it is invoked: neither middleware nor a thread nor a
    process comes before it."""
    in_thread: bool
    """Whether it runs in a thread, which cannot be stopped."""

    @property
    def invoke(self) -> Callable[[Struct, CurrentCall, Invoked], Awaitable[Any]]:
        """Run it; the last argument is ignored if the handler `enters_at_once`."""
        ...


class Measures(Protocol):
    """Learns how long handlers take, in seconds."""

    def record(self, seconds: float) -> None:
        """A handler ended by itself."""


class PassesOn(Protocol):
    """Passes the results of pipes' stages on instead of sending them, as `Passing` does."""

    async def pass_on(self, call: ServerCall, reply: bytes, *, again: bool) -> bytes:
        """Returns the frames of the reply; an error is not passed on."""
        ...

    def fitting(self, call: ServerCall, reply: bytes) -> bytes:
        """The reply to record for a started call."""
        ...

    async def pass_on_started(self, call: ServerCall, reply: bytes, *, again: bool) -> bool:
        """Pass on the recorded result; False if its request must go back to the broker."""
        ...


_NOT_SEEN = object()

# What each call comes by: Python 3.11 takes five times as long to find a member of an Enum.
_STARTED: Final = State.STARTED
_RUNNING: Final = State.RUNNING
_NO_STOP: Final = Stop.NONE


class _Entering:
    """A call whose handler has yet to begin."""

    __slots__ = ("_call", "_context", "_life", "_on_begin", "returned")

    def __init__(
        self,
        life: Life,
        call: ServerCall,
        context: CurrentCall,
        on_begin: Callable[[ServerCall, CurrentCall], None],
    ) -> None:
        self._life = life
        self._call = call
        self._context = context
        self._on_begin = on_begin
        self.returned: Any = _NOT_SEEN

    def enter(self) -> None:
        """Its handler begins now.

        A middleware that did not wait for it may have ended the call before.
        """
        call = self._call
        if call.state in {State.BEGUN, State.RUNNING}:
            begins = call.stream is not None and not call.entered
            self._life.fire(call, Event.ENTER)
            if begins:
                self._on_begin(call, self._context)

    def send(self, item: Any) -> Awaitable[None] | None:
        """Send an item of the results, once its caller takes it."""
        assert self._call.stream is not None
        return self._call.stream.send(item)

    async def uploaded(self) -> Any:
        """The next item of the upload."""
        assert self._call.stream is not None
        return await self._call.stream.next_uploaded(self._life.clock)


class Runner:
    """Runs the calls of one method.

    :param on_end: settles the delivery of a call that ended.
    :param reporter: makes what sends the progress reports of a call.
    :param passing: passes the results of stages of pipes on.
    :param bound: starts the method's own timeout, for a call that nobody waits for.
    :param on_begin: settles the delivery of a call whose handler begins to stream.
    :param trace: is called, in the task of each call, when it begins; None if calls are not traced.
    """

    def __init__(
        self,
        spec: MethodSpec,
        life: Life,
        handler: Handler,
        replies: Replies,
        once: OnceCalls,
        measures: Measures,
        on_end: Callable[[ServerCall, Ended], None],
        reporter: Callable[[ServerCall], Callable[[Progress], None]],
        passing: PassesOn,
        bound: Callable[[ServerCall], None],
        on_begin: Callable[[ServerCall, CurrentCall], None],
        trace: Callable[[ServerCall], None] | None = None,
        *,
        send_tracebacks: bool,
    ) -> None:
        self._trace = trace
        self._spec = spec
        self._life = life
        self._clock = life.clock
        self._handler = handler
        self._invoke = handler.invoke
        self._enters_at_once = handler.enters_at_once
        self._replies = replies
        self._once = once
        self._claiming = Claiming(once, replies, life.clock, stopped=self._stopped)
        self._measures = measures
        self._on_end = on_end
        self._reporter = reporter
        self._passing = passing
        self._bound = bound
        self._on_begin = on_begin
        self._send_tracebacks = send_tracebacks

    def run(self, call: ServerCall) -> Coroutine[Any, Any, None]:
        """Run a call that is STARTED. A task of its own awaits this; nothing else ends the call."""
        if self._spec.once or call.incoming.idempotency_key is not None:
            return self._claim_and_run(call)
        return self._run(call, None)

    async def _claim_and_run(self, call: ServerCall) -> None:
        """Claim a call's key first, if it has one. The call does not run if there is a reply."""
        claim: Claim | None = None
        key = self._once.key(call.incoming, call.user)
        if key is not None:
            self._life.fire(call, Event.CLAIM)
            found = await self._claiming.claim(call, key)
            if not isinstance(found, Claim):
                back = call.stop is Stop.DRAIN
                reply = found.reply
                then = call.incoming.then
                if call.incoming.started is not None:
                    if then and found.recorded and not back:
                        back = not await self._passing.pass_on_started(call, reply, again=True)
                    back = back or await self._claiming.put_back(call, found)
                    reply = b""  # its caller asks the store
                elif call.one_way and found.unknown:
                    back = back or await self._claiming.put_back(call, found)
                elif then and not back:
                    reply = await self._passing.pass_on(call, reply, again=True)
                packed_for = call.source.answers
                self._on_end(call, Ended(reply=reply, packed_for=packed_for, back=back))
                return
            claim = found
            if not call.incoming.is_awaited:
                self._bound(call)
            self._life.fire(call, Event.CLAIMED)
        await self._run(call, claim)

    async def _run(  # noqa: C901, PLR0912 - the hot path: one coroutine is faster than two
        self, call: ServerCall, claim: Claim | None
    ) -> None:
        incoming = call.incoming
        deadline = incoming.deadline if incoming.started is None else self._deadline(call)
        context = CurrentCall(incoming, call.method, deadline, call.user, call.arguments)
        call.context = context
        if incoming.wants_progress:
            context.listen(self._reporter(call))
        set_current_call(context)
        if self._trace is not None:
            self._trace(call)
        cut_off = False
        reply = b""
        try:
            if call.stop is not _NO_STOP or self._clock() >= call.ends:
                call.stop = Stop.DEADLINE if call.stop is _NO_STOP else call.stop
                raise asyncio.CancelledError  # before its handler begins
            if self._enters_at_once:
                # Written out, as each call comes by here; see `life.TRANSITIONS`.
                call.state = _RUNNING
                call.entered = True
                if self._life.on_transition is not None:
                    now = self._clock()
                    self._life.on_transition(call, _STARTED, Event.ENTER, _RUNNING, now)
                assert call.arguments is not None
                result = await self._invoke(call.arguments, context, _NOBODY)
                self._measures.record(self._clock() - call.started)
                reply = self._replies.result(call, context, result, from_handler=True)
            else:
                reply = await self._begin(call, context)
        except asyncio.CancelledError:
            cut_off = True
            reply = self._cut_off(call, context)
        except BaseException as error:
            if isinstance(error, GeneratorExit) and not _is_current(call.task):
                claim = None  # thrown away: the loop is gone, and the connection with it
                raise
            reply = self._raised(call, error, context)
            if isinstance(error, KeyboardInterrupt):
                raise
        finally:
            context.end()
            if claim is None and not cut_off and not incoming.then:
                packed_for = call.source.answers
                self._on_end(call, Ended(reply=reply, packed_for=packed_for, back=False))
            else:
                await self._end_in_time(call, reply, claim, cut_off=cut_off)

    async def _begin(self, call: ServerCall, context: CurrentCall) -> bytes:
        """Call a handler behind its middleware, or in a thread or process; returns the reply."""
        entering = _Entering(self._life, call, context, self._on_begin)
        self._life.fire(call, Event.BEGIN)
        assert call.arguments is not None
        result = await self._invoke(call.arguments, context, entering)
        if call.stream is None:  # else it took as long as its caller, which tells nothing
            self._measures.record(self._clock() - call.started)
        seen = entering.returned
        from_handler = call.entered and (seen is result or seen is _NOT_SEEN)
        return self._replies.result(call, context, result, from_handler=from_handler)

    def _cut_off(self, call: ServerCall, context: CurrentCall) -> bytes:
        """The reply to a call that was stopped."""
        stream = call.stream
        if stream is not None and stream.failure is not None:
            return self._replies.error(call, stream.failure, context)
        if stream is not None and stream.has_results and call.streams and call.stop is Stop.DRAIN:
            return self._replies.moved(call, stream)
        return self._replies.error(call, self._stopped(call), context)

    def _raised(self, call: ServerCall, error: BaseException, context: CurrentCall) -> bytes:
        """The reply to a call whose handler, or the middleware around it, raised."""
        failure = raised(
            call, error, self._spec, self._clock(), send_tracebacks=self._send_tracebacks
        )
        call.source.failed += isinstance(failure, RemoteError)  # the contract foresees the others
        return self._replies.error(call, failure, context)

    async def _end_in_time(
        self, call: ServerCall, reply: bytes, claim: Claim | None, *, cut_off: bool
    ) -> None:
        """End a call that was cut off, or whose reply must be recorded first."""
        may_run_again = (self._spec.idempotent or not call.entered) and not call.incoming.for_all
        may_run_again = may_run_again and not call.streams
        back = cut_off and call.stop is Stop.DRAIN and may_run_again
        packed_for = call.source.answers
        try:
            if claim is not None:
                if call.state is not State.ENDED:  # else a drain has given it up
                    self._life.fire(call, Event.RECORD)
                is_started = call.incoming.started is not None
                # To have been cut off is no answer for good where another run may give one.
                forgotten = back or (cut_off and self._spec.idempotent and not is_started)
                remaining = call.ends - self._clock()
                ran = (call.entered or is_started) and not forgotten
                passes = call.incoming.then and not cut_off
                if is_started and passes:
                    reply = self._passing.fitting(call, reply)
                settled = await claim.settle(call, reply, remaining, ran=ran)
                if is_started:
                    back = back or (self._spec.idempotent and not settled)
                    if passes and settled and call.state is not State.ENDED:
                        back = not await self._passing.pass_on_started(call, reply, again=False)
                    reply = b""  # its caller asks the store
            is_over = cut_off or call.state is State.ENDED or call.incoming.started is not None
            if call.incoming.then and not is_over:
                reply = await self._passing.pass_on(call, reply, again=False)
                packed_for = call.source.answers
        finally:
            self._on_end(call, Ended(reply=reply, packed_for=packed_for, back=back))

    def _deadline(self, call: ServerCall) -> float:
        """The deadline of a started call, in seconds since 1970; its request may live longer."""
        return time.time() + call.ends - self._clock()

    def _stopped(self, call: ServerCall) -> CallError:
        return stopped(call, call.state, in_thread=self._handler.in_thread)


def _is_current(task: asyncio.Task[None] | None) -> bool:
    """Whether this task runs now; otherwise its coroutine is being closed from outside."""
    try:
        return asyncio.current_task() is task
    except RuntimeError:  # no loop runs
        return False


class _Nobody:
    """Stands for a call where nothing looks at it."""

    returned: Any = _NOT_SEEN

    def enter(self) -> None:
        """Nothing."""

    def send(self, item: Any) -> None:
        """Nothing."""

    async def uploaded(self) -> Any:
        """There is no upload."""
        raise StopAsyncIteration


_NOBODY = _Nobody()
