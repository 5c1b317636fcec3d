"""An event loop in a thread of its own, so that code that blocks can run coroutines."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

__all__ = ["LoopThread"]

T = TypeVar("T")


class LoopThread:
    """An event loop that runs in a daemon thread, from `start` to `stop`.

    `run` and `call` block the calling thread until the loop has the result. They may be used from
    any thread but the loop's own.

    :param name: of the thread.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    @property
    def runs(self) -> bool:
        """Whether it was started and not stopped."""
        return self._loop is not None

    def start(self) -> None:
        """Start the thread. Does nothing if it runs."""
        if self._loop is not None:
            return
        self._loop = asyncio.new_event_loop()
        # A daemon thread: a program that forgets to stop it can end all the same.
        self._thread = threading.Thread(target=self._loop.run_forever, name=self._name, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop the loop, wait for the thread, and close the loop. Does nothing if it is stopped."""
        loop, thread = self._loop, self._thread
        self._loop = self._thread = None
        if loop is not None and thread is not None:
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()

    def run(self, work: Coroutine[Any, Any, T], timeout: float | None = None) -> T:
        """Run a coroutine in the loop, and return its result.

        :param timeout: seconds to wait; then the coroutine is cancelled. None: without end.
        :raises RuntimeError: if the loop does not run.
        :raises TimeoutError: if `timeout` seconds have passed.
        :raises Exception: what the coroutine raised.
        """
        if self._loop is None:
            work.close()
            raise RuntimeError(f"the thread {self._name!r} does not run: call start()")
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result(timeout)
        except BaseException:  # a timeout, or Ctrl-C in this thread: nobody waits for it any more
            future.cancel()
            raise

    def call(self, function: Callable[[], T], timeout: float | None = None) -> T:
        """Call a plain function in the loop, and return its result; otherwise as `run`."""

        async def call() -> T:
            return function()

        return self.run(call(), timeout)
