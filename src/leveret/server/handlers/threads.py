"""Threads for plain `def` handlers.

They are daemon threads: a handler that never returns must not keep the process alive after its
server has drained, as threads of `concurrent.futures` would.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")

Job = Callable[[], None]


class ThreadPool:
    """Runs functions in at most `size` threads, which are started when they are needed.

    Calls usually find a free thread, as there are no more calls than threads. But middleware may
    give up a call whose function still runs. Then there are fewer threads than calls, and a call
    waits here. It can be cancelled until a thread runs it.
    """

    def __init__(self, size: int, name: str) -> None:
        self._places = asyncio.Semaphore(size)
        self._name = name
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._started = 0
        self._busy = 0

    async def run(self, function: Callable[[], T], begins: Callable[[], None]) -> T:
        """Run a function, and return or raise its outcome. A cancel does not stop its thread.

        :param begins: called when there is a thread for it, before the function begins.
        """
        loop = asyncio.get_running_loop()
        await self._places.acquire()
        begins()
        done: asyncio.Future[T] = loop.create_future()

        def job() -> None:
            outcome: Any = None
            error: BaseException | None = None
            try:
                outcome = function()
            except BaseException as raised:  # noqa: BLE001 - whoever awaits it gets it
                error = raised
            try:
                loop.call_soon_threadsafe(self._ended, done, outcome, error)
            except RuntimeError:
                pass  # the loop is closed: nobody waits any more

        self._busy += 1
        if self._busy > self._started:
            self._started += 1
            name = f"{self._name}-{self._started}"
            threading.Thread(target=self._work, name=name, daemon=True).start()
        self._jobs.put(job)
        return await done

    def _ended(self, done: asyncio.Future[Any], outcome: Any, error: BaseException | None) -> None:
        """The thread is free again, even if nobody waits for the outcome."""
        self._busy -= 1
        self._places.release()
        if done.done():
            return
        if error is None:
            done.set_result(outcome)
        else:
            done.set_exception(error)

    def close(self) -> None:
        """End idle threads; a thread that runs a function ends after it."""
        for _ in range(self._started):
            self._jobs.put(None)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()
            del job  # an idle thread keeps nothing of its last call
