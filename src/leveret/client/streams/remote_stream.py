"""What a call of a streaming method gives: an async iterator over the items of its results.

Nothing is sent before the first item is asked for. From then on the stream goes on until its end,
an error, `aclose`, the end of its `async with` block, or until its consumer is cancelled or has
dropped it, as `break` does. Then its server is told that nobody waits for it any more.

With middleware, a task has `await call_next(call)` wait for the end of the stream, while the
consumer takes the items.
"""

from __future__ import annotations

import asyncio
from asyncio import get_running_loop
from collections.abc import Awaitable, Callable, Generator, Mapping
from math import inf
from types import TracebackType
from typing import Any, Final, Generic, NoReturn, Self, TypeVar

from leveret.backoff import Backoff
from leveret.body_parts import Body
from leveret.client.calls.stream import Stream
from leveret.client.middleware import CallNext, OutgoingCall
from leveret.client.request_ids import RequestIds
from leveret.client.streams.opening import Opened, StreamOpener, StreamTerms
from leveret.client.streams.sending import Source
from leveret.client.tracing import TracedCall
from leveret.errors import (
    Busy,
    CallError,
    Cancelled,
    ConnectionLost,
    DeadlineExceeded,
    NoServer,
    StreamBroken,
    Unimplemented,
)

__all__ = ["RemoteStream"]

T_co = TypeVar("T_co", covariant=True)

PAUSES: Final = Backoff(first=0.05, most=1.0)
"""In seconds, between two attempts to go on with a stream elsewhere."""
_CURABLE: Final = (
    StreamBroken,
    NoServer,
    Unimplemented,
    Busy,
    ConnectionLost,
    DeadlineExceeded,
    Cancelled,
)
"""What may be otherwise in a moment, where a stream is to go on elsewhere."""


class Plan:
    """The call of one stream before it is made: what it is called with, and on what terms.

    :param source: what is uploaded, if anything is.
    :param chain: makes of what is innermost the middleware around it; None if there is none.
    :param terms_with: gives the terms with another timeout and other metadata.
    :param with_carrier: gives the terms with more metadata, of whoever traces the stream.
    """

    def __init__(
        self,
        opener: StreamOpener,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        terms: StreamTerms,
        *,
        source: Source | None,
        outgoing: Callable[[tuple[Any, ...], dict[str, Any]], OutgoingCall],
        chain: Callable[[CallNext], CallNext] | None,
        terms_with: Callable[[OutgoingCall], StreamTerms],
        with_carrier: Callable[[Mapping[str, str]], StreamTerms],
    ) -> None:
        self.opener = opener
        self.args = args
        self.kwargs = kwargs
        self.terms = terms
        self.source = source
        self.outgoing = outgoing
        self.chain = chain
        self.terms_with = terms_with
        self.with_carrier = with_carrier


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
        self._go_on_until = 0.0  # how long to try, where another request is to be sent
        self._resumes = False  # whether that goes on with a stream that broke
        self._tries = 0
        self._is_busy = False  # a consumer waits
        self._is_over = False
        self._why: BaseException | None = None  # what further items are refused with
        self._around: asyncio.Task[Any] | None = None
        self._left: asyncio.Future[None] | None = None  # what `call_next` waits for

    # -- iterating ----------------------------------------------------------------------------

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T_co:
        """The next item.

        :raises CallError: that the stream ended with; `received` says how many items came before.
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
            f"{self._method} streams: write `async for item in ...`, instead of awaiting it"
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
        """End the stream: its handler is cancelled, if it goes on. Twice is fine."""
        if self._is_over:
            return
        if self._loop is not None:
            self._check_loop()
        self._leave()
        around = self._around
        if around is not None:
            await asyncio.wait((around,))
            if not around.cancelled() and around.exception() is not None:
                await around  # what the middleware makes of the end

    def __del__(self) -> None:
        loop, opened = self._loop, self._opened
        if self._is_over or loop is None or loop.is_closed():
            return
        self._count(asyncio.CancelledError())
        try:
            if opened is not None:
                # In a moment: this may run anywhere, in another thread as well.
                loop.call_soon_threadsafe(opened.stop)
            if self._left is not None:
                loop.call_soon_threadsafe(_settle, self._left)
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
                f"the stream of {self._method} belongs to another event loop; go on in that one"
            )

    async def _next(self) -> Stream:
        """Return once there is an item.

        :raises StopAsyncIteration: at the end. :raises CallError: that it ended with.
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
            await self._begin()
        while True:
            opened = self._opened
            assert opened is not None
            stream = opened.stream
            if not stream.items and not stream.is_over:
                await self._wait(opened)
            if stream.items:
                self._stream = stream
                self._go_on_until = 0.0
                return stream
            metadata = self._terms.reply_metadata
            if metadata is not None and stream.metadata:
                metadata.update(stream.metadata)
            failure = self._opener.failure(opened)
            if failure is None and not stream.moved:
                await self._finish()
                raise StopAsyncIteration
            await self._go_on(failure or self._stopped())

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

    async def _begin(self) -> None:
        plan = self._plan
        self._loop = loop = get_running_loop()
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
            await self._begin_in_middleware(plan, loop)

    async def _begin_in_middleware(self, plan: Plan, loop: asyncio.AbstractEventLoop) -> None:
        """Begin once the middleware has come to the request, as it has left it."""
        assert plan.chain is not None
        try:
            call = plan.outgoing(plan.args, plan.kwargs)
        except CallError as error:
            await self._fail(error)
        if self._traced is not None:
            call.metadata.update(self._traced.carrier)
        begun: asyncio.Future[OutgoingCall] = loop.create_future()
        left: asyncio.Future[None] = loop.create_future()
        self._left = left

        async def innermost(changed: OutgoingCall) -> None:
            if begun.done():
                raise RuntimeError("a stream can be begun once: call `call_next` once")
            begun.set_result(changed)
            await left

        chain: Awaitable[Any] = plan.chain(innermost)(call)
        self._around = around = asyncio.ensure_future(chain)
        await asyncio.wait((begun, around), return_when=asyncio.FIRST_COMPLETED)
        if not begun.done():
            begun.cancel()
            await self._finish(None if around.cancelled() else around.exception())
            raise StopAsyncIteration
        changed = begun.result()
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

    async def _go_on(self, failure: BaseException) -> None:
        """Send another request, which goes on after the last cursor, if the method can.

        One that waits for the first server of its method is not sent again once a server has taken
        it, unless its method resumes.

        :raises BaseException: if it cannot.
        """
        loop = get_running_loop()
        if not (self._go_on_until and self._resumes):
            self._resumes = self._may_resume(failure)
            if not (self._resumes or self._may_wait()):
                await self._fail(failure)
        if not self._go_on_until:
            self._go_on_until = loop.time() + self._terms.timeout
            self._tries = 0
        while True:
            pause = PAUSES.pause(self._tries) if self._tries else 0.0
            curable = isinstance(failure, _CURABLE)
            left = self._go_on_until - loop.time() - pause
            if not curable or left <= 0:
                if isinstance(failure, Unimplemented) and not self._resumes:
                    failure = self._opener.came_too_late(failure)
                await self._fail(failure)
            if pause:
                await asyncio.sleep(pause)
            self._tries += 1
            try:
                await self._open(self._cursor, left)
            except CallError as error:
                failure = error
            else:
                return

    def _may_resume(self, failure: BaseException) -> bool:
        """Whether it can go on elsewhere after a failure."""
        has_place = self._cursor is not None or not self._received
        return self._opener.resumes and type(failure) is StreamBroken and has_place

    def _may_wait(self) -> bool:
        """Whether it waits for the first server of its method, which has no queue yet."""
        return self._opened is not None and self._opener.waits(self._opened) is not None

    def _stopped(self) -> StreamBroken:
        broken = StreamBroken("its server stops, and ended the stream", method=self._method)
        if self._opened is not None:
            broken.call_id = self._opened.call.id
        return broken

    async def _finish(self, error: BaseException | None = None) -> None:
        """The stream is over: tell the middleware, and raise what it raises."""
        self._abandon()
        around, left = self._around, self._left
        self._is_over = True
        self._count(error)
        self._stream = None
        if left is not None and not left.done():
            if error is None:
                left.set_result(None)
            else:
                left.set_exception(error)
                left.exception()  # seen, even if the middleware does not wait for it
        if around is not None:
            await around
        elif error is not None:
            raise error

    async def _fail(self, error: BaseException) -> NoReturn:
        """End with an error, once the middleware has seen it."""
        if isinstance(error, CallError):
            error.received = self._received
            error.method = error.method or self._method
        await self._finish(error)
        raise StopAsyncIteration  # the middleware took the error

    def _leave(self) -> None:
        """Nobody waits for it any more."""
        opened = self._opened
        self._abandon()
        if opened is not None and self._is_busy:
            opened.stream.set_exception(Cancelled("the stream was closed", method=self._method))
        self._is_over = True
        self._count(asyncio.CancelledError())
        self._stream = None
        if self._left is not None:
            _settle(self._left)

    def _cancelled(self) -> None:
        """Its consumer was cancelled, and so is all that it waits for."""
        self._why = Cancelled("its consumer was cancelled", method=self._method)
        self._why.received = self._received
        self._abandon()
        self._is_over = True
        self._count(self._why)
        self._stream = None
        if self._left is not None:
            self._left.cancel()

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

    def _abandon(self) -> None:
        opened = self._opened
        if opened is not None:
            opened.stop()


def _settle(left: asyncio.Future[None]) -> None:
    if not left.done():
        left.set_result(None)
