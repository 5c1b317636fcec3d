"""The middleware around one stream.

It runs in a task of its own: `await call_next(call)` returns there once the stream is over, while
the consumer takes the items. If it ends before that, by a timeout of its own say, so does the
stream.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from leveret.client.middleware import CallNext, OutgoingCall
from leveret.client.streams.opening import Opened
from leveret.errors import Cancelled

__all__ = ["Around"]


class Around:
    """The task in which the middleware of one stream runs.

    :param chain: makes of what is innermost the middleware around it.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, chain: Callable[[CallNext], CallNext]
    ) -> None:
        self._loop = loop
        self._chain = chain
        self._begun: asyncio.Future[OutgoingCall] = loop.create_future()
        self._over: asyncio.Future[None] = loop.create_future()
        self._is_over = False  # the stream, or its consumer has left
        self._task: asyncio.Task[None] | None = None
        self._opened: Opened | None = None

    async def begin(self, call: OutgoingCall) -> OutgoingCall | None:
        """Run the middleware up to its `call_next`.

        :returns: the call as the middleware has left it; None if it ended without `call_next`.
        """

        async def innermost(changed: OutgoingCall) -> None:
            if self._begun.done():
                raise RuntimeError("a stream can begin only once: call `call_next` once")
            self._begun.set_result(changed)
            await self._over

        self._task = task = self._loop.create_task(_whole(self._chain(innermost)(call)))
        await asyncio.wait((self._begun, task), return_when=asyncio.FIRST_COMPLETED)
        if self._begun.done():
            return self._begun.result()
        self._begun.cancel()
        return None

    def watch(self, opened: Opened) -> None:
        """The stream's request was sent: end that, if the middleware ends first."""
        if self._opened is None and self._task is not None:
            self._task.add_done_callback(self._ended)
        self._opened = opened
        if self.has_ended:
            self._ended(self._task)

    @property
    def has_ended(self) -> bool:
        """Whether the middleware has ended."""
        return self._task is not None and self._task.done()

    def _ended(self, _task: object) -> None:
        if self._opened is not None and not self._is_over:
            self._opened.stop()
            self._opened.stream.fail(Cancelled("the middleware ended before the stream did"))

    @property
    def failure(self) -> BaseException | None:
        """The error that it ended with, if it has ended with one."""
        task = self._task
        return None if task is None or not task.done() or task.cancelled() else task.exception()

    async def end(self, error: BaseException | None) -> None:
        """The stream is over: have `call_next` return or raise, and wait for the middleware to end.

        Raises what the middleware raises.
        """
        self._is_over = True
        if not self._over.done():
            if error is None:
                self._over.set_result(None)
            else:
                self._over.set_exception(error)
                self._over.exception()  # seen, even if the middleware does not wait for it
        if self._task is not None:
            await self._task

    def leave(self) -> None:
        """The consumer has left: have `call_next` return."""
        self._is_over = True
        if not self._over.done():
            self._over.set_result(None)

    def leave_soon(self) -> None:
        """The same, from any thread.

        :raises RuntimeError: if the event loop is closed.
        """
        self._loop.call_soon_threadsafe(self.leave)

    def cancel(self) -> None:
        """The consumer was cancelled: cancel `call_next`, too."""
        self._is_over = True
        self._over.cancel()

    async def wait(self) -> None:
        """Wait for the end of the middleware, and raise what it raises."""
        if self._task is not None:
            await asyncio.wait((self._task,))
            if not self._task.cancelled() and self._task.exception() is not None:
                await self._task


async def _whole(middleware: Awaitable[Any]) -> None:
    """Run the middleware. If it raises what ends an iteration, that is an error (as in PEP 479)."""
    try:
        await middleware
    except StopAsyncIteration as error:
        raise RuntimeError("the middleware raised StopAsyncIteration") from error
