"""Draws the items of a plain iterable, for an upload.

In a program with asyncio that is done in its event loop, as the program's own loops would do it.
The loop of `leveret.blocking` is that of all threads of a program, which knows nothing of it: there
a generator may wait, for a file, a queue or the results of the same dialogue. So it has a thread.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator, Generator, Iterable
from contextvars import copy_context
from queue import SimpleQueue
from typing import Any, Final, Self

__all__ = ["draw", "draw_in_threads"]

_AT_ONCE: Final = 32
"""How many items of a plain iterable are drawn before other tasks get their turn."""
_AHEAD: Final = 16
"""How many items a thread draws ahead of those that are asked for."""
_AT_HAND: Final = frozenset({list, tuple, range, set, frozenset, dict, deque})
"""Iterables that never wait for an item."""
_END: Final = object()


class _OfThread(threading.local):
    draws_in_threads = False


_of_thread: Final = _OfThread()


def draw_in_threads() -> None:
    """Have plain iterables drawn in threads, for the event loop of this thread."""
    _of_thread.draws_in_threads = True


def draw(source: Iterable[Any]) -> AsyncIterator[Any]:
    """The items of a plain iterable. `aclose` closes it, if it is a generator that has begun."""
    if _of_thread.draws_in_threads and type(source) not in _AT_HAND:
        return _DrawnInThread(source)
    return _in_turns(source)


async def _in_turns(source: Iterable[Any]) -> AsyncIterator[Any]:
    try:
        for number, item in enumerate(source, 1):
            yield item
            if number % _AT_ONCE == 0:
                await asyncio.sleep(0)
    finally:
        _close(source)


def _close(source: Iterable[Any]) -> None:
    if isinstance(source, Generator):  # not a file, say: that may be read on
        source.close()


class _DrawnInThread:
    """Draws items in a daemon thread, which begins when the first one is asked for.

    The thread may wait for its source for as long as that likes: nobody waits for the thread. It is
    ahead by `_AHEAD` items at most, so that quick sources do not change threads for each of them.
    """

    def __init__(self, source: Iterable[Any]) -> None:
        self._source = source
        self._loop = asyncio.get_running_loop()
        self._places: SimpleQueue[None] = SimpleQueue()
        """Has an entry for each item that may be drawn, and one at the end."""
        self._drawn: deque[tuple[Any, BaseException | None]] = deque()
        self._waiting: asyncio.Future[None] | None = None
        self._has_begun = False
        self._is_over = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        if not self._has_begun:
            self._begin()
        while not self._drawn:
            waiting = self._waiting = self._loop.create_future()
            if not self._drawn:  # else it came just before the thread could see who waits
                await waiting
        item, error = self._drawn.popleft()
        self._places.put(None)
        if error is not None:
            raise error
        if item is _END:
            raise StopAsyncIteration
        return item

    async def aclose(self) -> None:
        """Have the thread end, and close the source, once the source gives the thread back."""
        self._is_over = True
        self._places.put(None)

    def _begin(self) -> None:
        self._has_begun = True
        for _ in range(_AHEAD):
            self._places.put(None)
        threading.Thread(
            target=copy_context().run, args=(self._draw,), name="leveret upload", daemon=True
        ).start()

    def _draw(self) -> None:
        """What the thread does."""
        iterator: Any = None
        try:
            while True:
                self._places.get()
                if self._is_over:
                    return
                item, failure = _END, None
                try:
                    iterator = iter(self._source) if iterator is None else iterator
                    item = next(iterator, _END)
                except BaseException as error:  # noqa: BLE001 - the call's caller gets it
                    failure = error
                self._drawn.append((item, failure))
                self._wake()
                if item is _END:
                    return
        except RuntimeError:
            pass  # the loop has ended, and the call with it
        finally:
            _close(self._source)

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            self._loop.call_soon_threadsafe(_go_on, waiting)


def _go_on(waiting: asyncio.Future[None]) -> None:
    if not waiting.done():  # else nobody waits for it any more
        waiting.set_result(None)
