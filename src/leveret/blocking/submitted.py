"""A coroutine that a loop runs for another thread, which has a future of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, Generic, TypeVar

__all__ = ["Submitted"]

T = TypeVar("T")


class Submitted(Generic[T]):
    """One coroutine, and the future that tells its end.

    :param loop: runs it.
    :param cut_off: the error to tell where the loop ends before the coroutine does; None while it
        goes on.
    :param over: is called in the loop's thread once the coroutine is over, or is not to begin.
    """

    def __init__(
        self,
        coroutine: Coroutine[Any, Any, T],
        loop: asyncio.AbstractEventLoop,
        *,
        cut_off: Callable[[], Exception | None],
        over: Callable[[], None],
    ) -> None:
        self.future: Future[T] = Future()
        self._coroutine = coroutine
        self._loop = loop
        self._cut_off = cut_off
        self._over = over

    def begin(self) -> None:
        """Run it, unless its future was cancelled meanwhile; in the loop's thread."""
        if self.future.cancelled():
            self.drop()
            self.future.set_running_or_notify_cancel()
            return
        task = self._loop.create_task(self._coroutine)
        task.add_done_callback(self._ended)
        self.future.add_done_callback(lambda _: self._cancel(task))

    def drop(self) -> None:
        """It is not to begin."""
        self._coroutine.close()
        self._over()

    def _cancel(self, task: asyncio.Task[T]) -> None:
        """The future is done, or was cancelled by any thread: so is the task."""
        if self.future.cancelled() and not task.done():
            try:
                self._loop.call_soon_threadsafe(task.cancel)
            except RuntimeError:
                pass  # the loop has ended, and the task with it

    def _ended(self, task: asyncio.Task[T]) -> None:
        self._over()
        error: BaseException | None
        if task.cancelled():
            error = self._cut_off()
            if error is None:
                self.future.cancel()
        else:
            error = task.exception()
        if not self.future.set_running_or_notify_cancel():
            return  # whoever has it knows
        if error is not None:
            self.future.set_exception(error)
        else:
            self.future.set_result(task.result())
