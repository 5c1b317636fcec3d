"""An event loop in a daemon thread, for callers that have none. It starts at its first use.

A fork leaves the thread in the parent. So each use compares the number of the process: a child
begins with a thread and a loop of its own. What it has of the parent's loop it keeps, and never
touches: both share the sockets, and the selector that watches them.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import CancelledError, Future
from contextlib import contextmanager
from typing import Any, Final, Generic, TypeVar
from weakref import WeakSet

from leveret.blocking.submitted import Submitted
from leveret.blocking.surroundings import check_surroundings
from leveret.client.streams.plain_sources import draw_in_threads
from leveret.errors import ConnectionLost
from leveret.rabbit.running import new_event_loop

__all__ = ["LoopThread", "closed_before", "wait_for_those_that_leave"]

T = TypeVar("T")

_CANCELLED_WITHIN: Final = 1.0
"""Seconds that a call has to end after Ctrl-C: its server is told that nobody waits."""
_TOLD_WITHIN: Final = 0.1
"""Seconds that those who wait have to hear of the end of their calls, before the loop ends."""
_ENDED_WITHIN: Final = 5.0
"""Seconds that the thread has to end."""
_LOOK_EVERY: Final = 1.0
"""Seconds after which who waits looks whether the loop is still there."""
_of_parents: Final[list[object]] = []
"""What a forked process has of its parent's loops: to collect it would close what they share."""


class _Call(Generic[T]):
    """One coroutine that a thread waits for.

    The thread sleeps on a lock, which the coroutine's task releases itself, as the last thing that
    it does. A callback of the task would come a turn of the loop later.
    """

    __slots__ = ("_begun", "_coroutine", "_done", "_error", "_result", "_task")

    def __init__(self, coroutine: Coroutine[Any, Any, T]) -> None:
        self._coroutine = coroutine
        self._done = threading.Lock()
        self._done.acquire()
        self._begun = False
        self._task: asyncio.Task[None] | None = None
        self._result: T
        self._error: BaseException | None = None

    def begin_in(self, loop: asyncio.AbstractEventLoop, wait: float) -> bool:
        """Have a loop run it, and wait so many seconds; False if it has not ended then.

        Nothing comes between the two. The loop's thread wakes up at once, and the interpreter's
        lock keeps it from running until this one sleeps.

        :raises ConnectionLost: if the loop has ended.
        """
        sleep = self._done.acquire
        try:
            loop.call_soon_threadsafe(self.begin)
        except RuntimeError:
            self._coroutine.close()
            raise closed_before() from None
        return sleep(True, wait)

    def begin(self) -> None:
        """Run it; in the loop's thread, and in the context of whoever waits."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        self._begun = True
        try:
            self._result = await self._coroutine
        except asyncio.CancelledError:
            self._error = CancelledError("the call was cancelled")
            raise
        except BaseException as error:  # noqa: BLE001 - whoever waits gets it
            trace = error.__traceback__
            assert trace is not None
            self._error = error.with_traceback(trace.tb_next)  # this frame has the error
        finally:
            self._done.release()

    def cancel(self) -> None:
        """Nobody waits for it any more; in the loop's thread."""
        if self._task is not None:
            self._task.cancel()
        if not self._begun:  # it never will be
            self._coroutine.close()
            self._done.release()

    def wait(self, seconds: float) -> bool:
        """Wait until it has ended; False if it has not after so many seconds."""
        return self._done.acquire(timeout=seconds)

    def wait_for(self, loop: asyncio.AbstractEventLoop) -> None:
        """Wait until it has ended.

        :raises ConnectionLost: if the loop has ended without it: another thread closed it just now.
        """
        while not self.wait(_LOOK_EVERY):
            if loop.is_closed() and not self.wait(0):
                self._coroutine.close()
                raise closed_meanwhile()

    def outcome(self) -> T:
        """Its result, or its error, raised; to be asked once."""
        error, self._error = self._error, None
        if error is None:
            return self._result
        try:
            raise error
        finally:
            del error  # the traceback has this frame


class LoopThread:
    """Runs coroutines for threads that have no event loop.

    :param name: of the thread.
    :param on_fork: is called in a forked process, before this is used there for the first time.
        What it returns is kept for as long as the process lives.
    """

    def __init__(self, name: str, on_fork: Callable[[], object]) -> None:
        self._name = name
        self._on_fork = on_fork
        self._lock = threading.Lock()
        self._at_lock: set[int] = set()
        self._pid = os.getpid()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        _all.add(self)

    @property
    def runs(self) -> bool:
        """Whether its thread runs in this process. None does once the interpreter ends."""
        return self._loop is not None and self._pid == os.getpid() and not sys.is_finalizing()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine, and wait for what it gives. An exception meanwhile, as by Ctrl-C,
        cancels it.

        :raises RuntimeError: where an event loop runs in this thread; under gevent or eventlet.
        """  # noqa: D205 - one sentence more
        loop = self._loop_for(coroutine)
        call = _Call(coroutine)
        try:
            if not call.begin_in(loop, _LOOK_EVERY):
                call.wait_for(loop)
        except ConnectionLost:
            raise
        except BaseException:
            loop.call_soon_threadsafe(call.cancel)
            call.wait(_CANCELLED_WITHIN)
            raise
        try:
            return call.outcome()
        except CancelledError:
            if self.is_loop_of_now(loop):
                raise
            raise closed_meanwhile() from None

    def submit(
        self, coroutine: Coroutine[Any, Any, T], over: Callable[[], None] = lambda: None
    ) -> Future[T]:
        """Run a coroutine, also for a thread that must not wait. To cancel its future cancels it.

        :param over: is called when it is over, or is not to begin, before its future is done.
        """
        try:
            loop = self._loop_for(coroutine, waits=False)
        except BaseException:
            over()
            raise

        def cut_off() -> ConnectionLost | None:
            return None if self.is_loop_of_now(loop) else closed_meanwhile()

        submitted = Submitted(coroutine, loop, cut_off=cut_off, over=over)
        try:
            loop.call_soon_threadsafe(submitted.begin)
        except RuntimeError:
            submitted.drop()
            raise closed_before() from None
        return submitted.future

    def _loop_for(
        self, coroutine: Coroutine[Any, Any, Any], *, waits: bool = True
    ) -> asyncio.AbstractEventLoop:
        try:
            if waits:
                if threading.current_thread() is self._thread:
                    raise RuntimeError(
                        "called in the connection's own thread, as by on_progress, a middleware or"
                        " an async handler: it would wait for itself. Use rabbit.submit(...), or"
                        " another thread, as that of a handler that is a plain def"
                    )
                check_surroundings()
            if sys.is_finalizing():
                raise RuntimeError(
                    "the interpreter ends, and threads with it: nobody would make this call. What"
                    " __del__ is to send at the end of a program, have `atexit` or a `with` send"
                )
            loop = self._loop
            if loop is not None and self._pid == os.getpid():
                return loop
            return self._started()
        except BaseException:
            coroutine.close()
            raise

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Nobody else starts or stops it meanwhile.

        A signal's handler or a finalizer may interrupt the thread that does so, and can only wait
        for it in vain.

        :raises RuntimeError: there.
        """
        me = threading.get_ident()
        if me in self._at_lock:
            raise RuntimeError(
                "the connection is being opened or closed by this very thread, which a signal's"
                " handler or __del__ has interrupted: it would wait for itself. Have the handler"
                " tell the program, as by an Event, what to do"
            )
        try:
            self._at_lock.add(me)
            with self._lock:
                yield
        finally:
            self._at_lock.discard(me)

    def _started(self) -> asyncio.AbstractEventLoop:
        with self._locked():
            if self._pid != os.getpid():
                _of_parents.append((self._loop, self._thread, self._on_fork()))
                self._loop = self._thread = None
                self._pid = os.getpid()
            if self._loop is None:
                begun: Future[asyncio.AbstractEventLoop] = Future()
                thread = threading.Thread(
                    target=_run_loop, args=(begun,), name=self._name, daemon=True
                )
                try:
                    thread.start()
                    loop = begun.result()
                except BaseException:  # an exception of a signal's handler, such as Ctrl-C's
                    if not begun.cancel() and begun.exception() is None:
                        begun.result().call_soon_threadsafe(begun.result().stop)
                    raise
                self._loop, self._thread = loop, thread
            return self._loop

    def is_loop_of_now(self, loop: asyncio.AbstractEventLoop) -> bool:
        """Whether what runs in this loop may go on: it is not being stopped."""
        return loop is self._loop

    def stop(self, last: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """End the loop and its thread, after a last coroutine. The next use starts them anew.

        Whoever uses it meanwhile waits for that.
        """
        with self._locked():
            loop, thread = self._loop, self._thread
            if loop is None or thread is None or self._pid != os.getpid():
                return
            self._loop = self._thread = None
            try:
                call = _Call(_last_of_all(last))
                if call.begin_in(loop, _ENDED_WITHIN):
                    call.outcome()
            finally:
                loop.call_soon_threadsafe(loop.stop)
                thread.join(_ENDED_WITHIN)

    def leave(self, last: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """End the loop and its thread, after a last coroutine, and do not wait for that.

        For when nobody can use it any more. This may be called anywhere, as by the garbage
        collector, also in the loop's own thread.
        """
        loop, thread = self._loop, self._thread
        if loop is None or thread is None:
            return
        self._loop = self._thread = None
        if self._pid != os.getpid():
            _of_parents.append((loop, thread, self._on_fork()))
            return
        _leaving.difference_update([one for one in tuple(_leaving) if not one.is_alive()])
        _leaving.add(thread)
        try:
            loop.call_soon_threadsafe(_begin_to_end, loop, last)
        except RuntimeError:
            pass  # it has ended

    def forked(self) -> None:
        """This process was forked just now; the lock may be held by a thread of the parent."""
        self._lock = threading.Lock()
        self._at_lock = set()


async def _last_of_all(last: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Do the last thing, and let all who wait hear of what it means for their calls."""
    await last()
    others = asyncio.all_tasks() - {asyncio.current_task()}
    if others:
        await asyncio.wait(others, timeout=_TOLD_WITHIN)


def closed_meanwhile() -> ConnectionLost:
    """The error of a call whose connection is closed while it waits."""
    return ConnectionLost("the connection was closed meanwhile, as by another thread")


def closed_before() -> ConnectionLost:
    """The error of a call whose connection is closed before it begins."""
    error = closed_meanwhile()
    error.executed = "no"
    return error


def _begin_to_end(
    loop: asyncio.AbstractEventLoop, last: Callable[[], Coroutine[Any, Any, None]]
) -> None:
    async def end() -> None:
        async with asyncio.timeout(_ENDED_WITHIN):
            await last()

    def ended(task: asyncio.Task[None]) -> None:
        loop.stop()
        if not task.cancelled():
            task.exception()  # nobody is left to be told

    loop.create_task(end()).add_done_callback(ended)


def wait_for_those_that_leave() -> None:
    """Wait until the threads that `leave` ends have ended: the program is about to."""
    for thread in tuple(_leaving):
        thread.join(_ENDED_WITHIN)


_leaving: Final[set[threading.Thread]] = set()
_all: Final[WeakSet[LoopThread]] = WeakSet()


def _forked() -> None:
    for one in _all:
        one.forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


def _run_loop(begun: Future[asyncio.AbstractEventLoop]) -> None:
    """What the thread does, unless whoever began it has given it up."""
    if not begun.set_running_or_notify_cancel():
        return
    try:
        runner = asyncio.Runner(loop_factory=new_event_loop)
        loop = runner.get_loop()
    except BaseException as error:  # noqa: BLE001 - whoever waits for the thread gets it
        begun.set_exception(error)
        return
    with runner:
        asyncio.set_event_loop(loop)
        draw_in_threads()
        loop.call_soon(begun.set_result, loop)
        while not _run_until_stopped(loop):
            pass


def _run_until_stopped(loop: asyncio.AbstractEventLoop) -> bool:
    """Run the loop until it is stopped; False if a callback has broken it off.

    An event loop lets `sys.exit` through, which would end the thread, and with it the connection
    of all other threads.
    """
    try:
        loop.run_forever()
    except BaseException as error:  # noqa: BLE001 - told below
        loop.call_exception_handler(
            {
                "message": f"{type(error).__name__} in the thread of a connection, as of"
                " sys.exit in on_progress, ends no program: it is ignored. Let the callback"
                " tell the thread that waits",
                "exception": error,
            }
        )
        return False
    return True
