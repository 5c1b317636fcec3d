"""The stream that a streaming method returns: an async iterator over its results.

Nothing is sent before the first item is asked for. From then on the stream goes on until its end,
an error, `aclose`, or the end of its `async with` block, or until its consumer is cancelled or
drops it, as `break` does. Then the client tells the server that nobody waits for it any more.

The middleware runs in a task, in which `await call_next(call)` waits for the end of the stream
while the consumer takes the items.
"""

from __future__ import annotations

import asyncio
from asyncio import get_running_loop
from collections.abc import Coroutine, Generator
from math import inf
from types import TracebackType
from typing import Any, Generic, NoReturn, Self, TypeVar

from leveret.body_parts import Body
from leveret.client.calls.stream import Stream
from leveret.client.request_ids import RequestIds
from leveret.client.streams.around import Around
from leveret.client.streams.going_on import GoingOn
from leveret.client.streams.opening import Opened
from leveret.client.streams.plan import Plan
from leveret.client.tracing import TracedCall
from leveret.errors import CallError, Cancelled, DeadlineExceeded, StreamBroken, Unimplemented

__all__ = ["RemoteStream"]

T_co = TypeVar("T_co", covariant=True)


class RemoteStream(Generic[T_co]):
    """The items of a stream, one after the other: `async for item in feed.watch(3)`.

    Leaving the loop early, by `break`, an exception or a cancelled task, cancels the handler at its
    server. `async with feed.watch(3) as items:` does so at the end of the block.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._opener = plan.opener
        self._method = plan.opener.method
        self._terms = plan.terms
        self._opened: Opened | None = None
        self._stream: Stream | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._body: Body = b""
        self._ids = RequestIds("")
        self._began = 0.0
        self._is_counted = False
        self._traced: TracedCall | None = None
        self._until = inf
        self._received = 0
        self._cursor: str | None = None
        self._going_on = GoingOn()
        self._may_have_run = False  # an earlier request, in whose place another one was sent
        self._is_busy = False  # a consumer waits
        self._opening: asyncio.Timeout | None = None  # while it waits to send its request
        self._is_over = False
        self._why: BaseException | None = None  # what further items are refused with
        self._around: Around | None = None

    # -- iterating ----------------------------------------------------------------------------

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T_co:
        """The next item.

        :raises CallError: the error that ended the stream; its `received` is the number of items
            before it.
        """
        stream = self._stream
        if (
            stream is None
            or not stream.items
            or self._is_busy
            or self._loop is not get_running_loop()
        ):
            stream = await self._next()
        item = stream.items.popleft()
        if stream.half.took(item.body_size):
            stream.tell()
        opened = self._opened
        assert opened is not None
        try:
            value: T_co = self._opener.value(opened, item)
        except CallError as error:
            await self._fail(error)
        self._received += 1
        self._cursor = item.cursor
        return value

    def __await__(self) -> Generator[Any, None, NoReturn]:
        raise TypeError(
            f"{self._method} streams: write `async for item in ...`, or, with leveret.blocking,"
            " `for item in rabbit.each(...)`, instead of waiting for it as for a call"
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """End the stream, and cancel its handler if that still runs. Calling it twice is fine."""
        if self._is_over:
            return
        if self._is_lost():
            return
        if self._loop is not None:
            self._check_loop()
        self._leave()
        if self._around is not None:
            await self._around.wait()

    def __del__(self) -> None:
        loop, opened = self._loop, self._opened
        if self._is_over or loop is None or loop.is_closed():
            return
        self._count(asyncio.CancelledError())
        try:
            if opened is not None:
                # In a moment: this may run anywhere, in another thread as well.
                loop.call_soon_threadsafe(opened.stop)
            if self._around is not None:
                self._around.leave_soon()
        except RuntimeError:
            pass  # the loop was closed just now, and the client with it

    def __repr__(self) -> str:
        how = "over" if self._is_over else "open" if self._opened is not None else "not begun"
        return f"<stream of {self._method}, {how}, {self._received} items received>"

    # -- the next item --------------------------------------------------------------------------

    def _is_foreign(self) -> bool:
        return self._loop is not get_running_loop()

    def _check_loop(self) -> None:
        if self._is_foreign():
            raise RuntimeError(
                f"the stream of {self._method} belongs to another event loop; iterate over it there"
            )

    def _is_lost(self) -> bool:
        """Whether the event loop in which it began has ended, and it with that loop."""
        loop = self._loop
        if self._is_over or loop is None or not loop.is_closed():
            return False
        self._loop = get_running_loop()
        self._is_over = True
        self._stream = None
        why = "the stream broke off: its connection was closed with its event loop"
        self._why = StreamBroken(why, method=self._method)
        self._why.received = self._received
        self._count(self._why)
        return True

    async def _next(self) -> Stream:
        """Return once there is an item.

        :raises StopAsyncIteration: at the end. :raises CallError: the error that ended it.
        """
        if self._is_over:
            if self._why is not None:
                raise self._why
            raise StopAsyncIteration
        if self._is_busy:
            raise RuntimeError(
                f"another task waits for the next item of this stream of {self._method}; call the"
                " method once for each consumer"
            )
        if self._is_lost():
            assert self._why is not None
            raise self._why
        if self._loop is not None:
            self._check_loop()
        self._is_busy = True
        try:
            return await self._item_here()
        except asyncio.CancelledError:
            self._cancelled()
            raise
        finally:
            self._is_busy = False

    async def _item_here(self) -> Stream:
        if self._loop is None:
            self._loop = get_running_loop()
            await self._unless_closed(self._begin(self._loop))
        while True:
            opened = self._opened
            assert opened is not None
            stream = opened.stream
            if not stream.items and not stream.is_over:
                await self._wait(opened)
            if stream.items:
                self._stream = stream
                self._going_on.item_came()
                return stream
            metadata = self._terms.reply_metadata
            if metadata is not None and stream.metadata:
                metadata.update(stream.metadata)
            failure = self._opener.failure(opened)
            if failure is None and not stream.moved:
                await self._finish()
                raise StopAsyncIteration
            await self._unless_closed(self._go_on(failure or self._stopped()))

    async def _unless_closed(self, opening: Coroutine[Any, Any, None]) -> None:
        """Send a request, which may have to wait. If another task closes the stream, break it off.

        :raises Cancelled: if the stream was closed.
        """
        self._opening = until_closed = asyncio.timeout(None)
        try:
            async with until_closed:
                await opening
        except TimeoutError:
            if not until_closed.expired():
                raise  # an error of the stream
        finally:
            self._opening = None
        if self._is_over:
            self._abandon()
            closed = self._closed()
            if self._opened is None:
                closed.executed = "no"
            raise closed

    async def _wait(self, opened: Opened) -> None:
        """Wait for an item, for as long as the consumer wants to.

        :raises DeadlineExceeded: if none comes in `idle_timeout`.
        """
        idle = self._terms.idle_timeout
        if idle is None or not opened.stream.server:
            await opened.stream.wait()
            if idle is None or opened.stream.items or opened.stream.is_over:
                return
        try:
            async with asyncio.timeout(idle):
                while not opened.stream.items and not opened.stream.is_over:
                    await opened.stream.wait()
        except TimeoutError:
            late = DeadlineExceeded(
                f"no item in {idle:g} s (idle_timeout)", where="handler", method=self._method
            )
            late.call_id = opened.call.id
            await self._fail(late)

    # -- begin and end --------------------------------------------------------------------------

    async def _begin(self, loop: asyncio.AbstractEventLoop) -> None:
        plan = self._plan
        self._began = loop.time()
        self._opener.counters.started += 1
        tracing = self._opener.tracing()
        if tracing is not None and tracing.traces_streams and tracing.is_wanted():
            self._traced = tracing.stream(self._method)
        if plan.chain is None:
            if self._traced is not None:
                self._terms = plan.with_carrier(self._traced.carrier)
            self._ids = RequestIds(plan.opener.new_id())
            try:
                self._body = plan.opener.encode(plan.args, plan.kwargs)
                self._until = plan.opener.until(self._terms)
                await self._open(None)
            except CallError as error:
                await self._fail(error)
        else:
            await self._begin_in_middleware(plan, Around(loop, plan.chain))

    async def _begin_in_middleware(self, plan: Plan, around: Around) -> None:
        """Begin once the middleware calls `call_next`, with the call as it has left it."""
        try:
            call = plan.outgoing(plan.args, plan.kwargs)
        except CallError as error:
            await self._fail(error)
        if self._traced is not None:
            call.metadata.update(self._traced.carrier)
        self._around = around
        changed = await around.begin(call)
        if changed is None:
            await self._finish(around.failure)
            raise StopAsyncIteration
        self._ids = RequestIds(call.id)
        try:
            self._terms = plan.terms_with(changed)
            self._body = plan.opener.encode((), changed.arguments)
            self._until = plan.opener.until(self._terms)
            await self._open(None)
        except CallError as error:
            await self._fail(error)

    async def _open(self, cursor: str | None, timeout: float = inf) -> None:
        self._opened = await self._opener.open(
            self._body,
            self._terms,
            self._ids,
            until=self._until,
            cursor=cursor,
            source=self._plan.source,
            timeout=timeout,
        )
        if self._around is not None:
            self._around.watch(self._opened)

    async def _go_on(self, failure: BaseException) -> None:
        """Send another request, which goes on after the last cursor, if the method resumes.

        A stream that waits for the first server of its method is sent again until a server has
        taken it; after that only if its method resumes.

        :raises BaseException: if it cannot.
        """
        loop, going_on = get_running_loop(), self._going_on
        if not (going_on.is_under_way and going_on.resumes):
            going_on.resumes = self._may_resume(failure)
            if not (going_on.resumes or self._may_wait()):
                await self._fail(failure)
        if not going_on.is_under_way:
            going_on.begin(loop.time(), self._terms.timeout)
        while True:
            attempt = going_on.next_attempt(failure, loop.time())
            if attempt is None or (self._around is not None and self._around.has_ended):
                if isinstance(failure, Unimplemented) and not going_on.resumes:
                    failure = self._opener.came_too_late(failure)
                await self._fail(failure)
            self._may_have_run |= getattr(failure, "executed", "no") != "no"
            pause, left = attempt
            if pause:
                end = loop.time() + pause + left
                await asyncio.sleep(pause)
                left = max(end - loop.time(), 0.001)  # less, where the process stood still
            try:
                await self._open(self._cursor, left)
            except CallError as error:
                failure = error
            else:
                return

    def _may_resume(self, failure: BaseException) -> bool:
        """Whether it can go on at another server after a failure."""
        has_place = self._cursor is not None or not self._received
        return self._opener.resumes and type(failure) is StreamBroken and has_place

    def _may_wait(self) -> bool:
        """Whether it waits for the first server of its method, which has no queue yet."""
        return self._opened is not None and self._opener.waits(self._opened) is not None

    def _closed(self) -> Cancelled:
        """What a consumer is told that waits while another task closes the stream."""
        closed = Cancelled("the stream was closed", method=self._method)
        closed.received = self._received
        return closed

    def _stopped(self) -> StreamBroken:
        broken = StreamBroken("its server stopped, and ended the stream", method=self._method)
        if self._opened is not None:
            broken.call_id = self._opened.call.id
        return broken

    async def _finish(self, error: BaseException | None = None) -> None:
        """End the stream: tell the middleware, and raise what it raises."""
        self._abandon()
        self._is_over = True
        self._count(error)
        self._stream = None
        if self._around is not None:
            await self._around.end(error)
        elif error is not None:
            raise error

    async def _fail(self, error: BaseException) -> NoReturn:
        """End with an error, once the middleware has seen it."""
        if isinstance(error, CallError):
            error.received = self._received
            error.method = error.method or self._method
            if self._may_have_run and error.executed == "no":
                error.executed = "maybe"  # it is true of the last request
        await self._finish(error)
        raise StopAsyncIteration  # the middleware took the error

    def _leave(self) -> None:
        """The consumer has left: end the stream."""
        opened, opening = self._opened, self._opening
        self._abandon()
        if opening is not None:
            opening.reschedule(get_running_loop().time())
        elif opened is not None and self._is_busy:
            opened.stream.set_exception(self._closed())
        self._is_over = True
        self._count(asyncio.CancelledError())
        self._stream = None
        if self._around is not None:
            self._around.leave()

    def _cancelled(self) -> None:
        """The consumer was cancelled: end the stream."""
        self._why = Cancelled("its consumer was cancelled", method=self._method)
        self._why.received = self._received
        self._abandon()
        self._is_over = True
        self._count(self._why)
        self._stream = None
        if self._around is not None:
            self._around.cancel()

    def _count(self, error: BaseException | None) -> None:
        """Count the stream, once, if it has begun."""
        loop = self._loop
        if loop is None or self._is_counted:
            return
        self._is_counted = True
        if self._traced is not None:
            self._traced.ended(error, items=self._received)
        took = loop.time() - self._began
        counters = self._opener.counters
        if error is None:
            counters.answered(took)
        else:
            counters.failed(error, took)
        if self._traced is not None:
            counters.exemplify(self._traced.exemplar(took))

    def _abandon(self) -> None:
        opened = self._opened
        if opened is not None:
            opened.stop()
