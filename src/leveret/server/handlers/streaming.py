"""Asks streaming handlers for one item after the other, and closes them where they run.

The next item is asked for once the caller takes the last one. A handler that is stopped early,
because its caller went away or the server stops, is closed in its own task or thread, so that its
`finally` and `with` blocks run there.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from typing import Any, Final, Protocol

__all__ = ["Streaming", "Uploaded", "UploadedOffTheLoop", "stream_off_the_loop", "stream_on_loop"]

_END: Final = object()


class Streaming(Protocol):
    """A call that streams."""

    def send(self, item: Any) -> Awaitable[None] | None:
        """The handler yielded an item; return what to await before the next one, if anything."""
        ...

    async def uploaded(self) -> Any:
        """The next item of the upload.

        :raises StopAsyncIteration: after the last one.
        """


class Uploaded(AsyncIterator[Any]):
    """The upload of a caller, for a handler on the event loop."""

    def __init__(self, call: Streaming) -> None:
        self._call = call

    async def __anext__(self) -> Any:
        return await self._call.uploaded()


class UploadedOffTheLoop(Iterator[Any]):
    """The upload of a caller, for a handler in a thread.

    :param loop: the loop of the server.
    """

    def __init__(self, call: Streaming, loop: asyncio.AbstractEventLoop) -> None:
        self._call = call
        self._loop = loop

    def __next__(self) -> Any:
        try:
            item = asyncio.run_coroutine_threadsafe(self._next(), self._loop).result()
        except concurrent.futures.CancelledError:
            raise asyncio.CancelledError from None  # the call was stopped
        if item is _END:
            raise StopIteration
        return item

    async def _next(self) -> Any:
        try:
            return await self._call.uploaded()
        except StopAsyncIteration:
            return _END


async def stream_on_loop(items: AsyncIterator[Any], call: Streaming) -> None:
    """Send all items that a handler on the event loop yields."""
    try:
        async for item in items:
            more = call.send(item)
            if more is not None:
                await more
    finally:
        close = getattr(items, "aclose", None)
        if close is not None:
            await close()


async def stream_off_the_loop(
    begin: Callable[[], Iterator[Any]],
    call: Streaming,
    run: Callable[[Callable[[], Any]], Awaitable[Any]],
) -> None:
    """Send all items that a handler in a thread yields.

    :param begin: makes its iterator.
    :param run: runs a function in a thread.
    """
    items: Iterator[Any] = await _whole(run(begin))
    try:
        while (item := await _whole(run(lambda: next(items, _END)))) is not _END:
            more = call.send(item)
            if more is not None:
                await more
    finally:
        close = getattr(items, "close", None)
        if close is not None:
            with suppress(ValueError):  # it still runs, as this task was cancelled once more
                await _whole(run(close))


async def _whole(step: Awaitable[Any]) -> Any:
    """The outcome of a step in a thread. A thread cannot be stopped, so a cancel waits for it."""
    job = asyncio.ensure_future(_outcome(step))
    try:
        value, error = await asyncio.shield(job)
    except asyncio.CancelledError:
        await asyncio.wait([job])
        if not job.cancelled():
            job.exception()
        raise
    if error is not None:
        raise error
    return value


async def _outcome(step: Awaitable[Any]) -> tuple[Any, BaseException | None]:
    """What a step returns, or what it raises to end the process or a coroutine.

    A task that raises the former ends its event loop, before the caller is told. What waits for one
    that raises the latter would be closed, and could not wait for the end of the handler.
    """
    try:
        return await step, None
    except (SystemExit, KeyboardInterrupt, GeneratorExit) as error:
        return None, error
