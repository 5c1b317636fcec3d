"""The middleware around one stream.

It runs in a task of its own: `await call_next(call)` returns there once the stream is over, while
the consumer takes the items.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from leveret.client.middleware import CallNext, OutgoingCall

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
        self._task: asyncio.Future[Any] | None = None

    async def begin(self, call: OutgoingCall) -> OutgoingCall | None:
        """Run the middleware up to its `call_next`.

        :returns: the call as the middleware has left it; None if it ended without `call_next`.
        """

        async def innermost(changed: OutgoingCall) -> None:
            if self._begun.done():
                raise RuntimeError("a stream can begin only once: call `call_next` once")
            self._begun.set_result(changed)
            await self._over

        chain: Awaitable[Any] = self._chain(innermost)(call)
        self._task = task = asyncio.ensure_future(chain)
        await asyncio.wait((self._begun, task), return_when=asyncio.FIRST_COMPLETED)
        if self._begun.done():
            return self._begun.result()
        self._begun.cancel()
        return None

    @property
    def failure(self) -> BaseException | None:
        """The error that it ended with, if it has ended with one."""
        task = self._task
        return None if task is None or not task.done() or task.cancelled() else task.exception()

    async def end(self, error: BaseException | None) -> None:
        """The stream is over: have `call_next` return or raise, and wait for the middleware to end.

        Raises what the middleware raises.
        """
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
        if not self._over.done():
            self._over.set_result(None)

    def leave_soon(self) -> None:
        """The same, from any thread.

        :raises RuntimeError: if the event loop is closed.
        """
        self._loop.call_soon_threadsafe(self.leave)

    def cancel(self) -> None:
        """The consumer was cancelled: cancel `call_next`, too."""
        self._over.cancel()

    async def wait(self) -> None:
        """Wait for the end of the middleware, and raise what it raises."""
        if self._task is not None:
            await asyncio.wait((self._task,))
            if not self._task.cancelled() and self._task.exception() is not None:
                await self._task
