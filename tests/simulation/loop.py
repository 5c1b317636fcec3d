"""The event loop of one simulated process: asyncio's own, on a clock that only the world moves.

Nothing sleeps for real. The world runs one pass of one loop after the other: the timers that are
due, then what was ready when the pass began, as asyncio does.

Tasks and futures are numbered, and hashed by their numbers. By default they are hashed by their
addresses, so a set of tasks would have another order in each run.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from asyncio import events
from collections.abc import Callable, Coroutine
from contextvars import Context
from heapq import heappop
from itertools import count
from typing import Any, Final, Protocol, cast

_numbers = count()


def number_anew() -> None:
    """Have the next task be the first: for the start of a run, so that it can be repeated."""
    global _numbers  # noqa: PLW0603 - hashes are asked for by objects that know no run
    _numbers = count()


class _Numbered:
    """Hashed by number, in the order in which they were made."""

    number: int

    def __new__(cls, *_: object, **__: object) -> Any:
        made: Any = super().__new__(cls)
        made.number = next(_numbers)
        return made

    def __hash__(self) -> int:
        return self.number


class SimulatedTask(_Numbered, asyncio.Task[Any]):
    """A task with a number."""

    _log_destroy_pending: bool

    __hash__ = _Numbered.__hash__

    def forget(self) -> None:
        """Its process is dead: that it never ends is no mistake."""
        self._log_destroy_pending = False


class SimulatedFuture(_Numbered, asyncio.Future[Any]):
    """A future with a number."""

    __hash__ = _Numbered.__hash__


class Net(Protocol):
    """The network, as a process sees it."""

    async def connect(self, sock: socket.socket, address: tuple[str, int]) -> None:
        """Connect a socket; raises what the system would."""
        ...

    def attach(self, sock: socket.socket, protocol: asyncio.Protocol) -> asyncio.Transport:
        """The transport of a socket that is connected."""
        ...

    def listen(self, accept: Callable[[], asyncio.Protocol], host: str, port: int) -> Any:
        """Take connections to an address."""
        ...


Run = Callable[[events.Handle], bool]
"""Runs one handle; returns whether the process lives on."""

_TIMERS_SWEPT_ABOVE: Final = 256


class SimulatedLoop(asyncio.BaseEventLoop):
    """An event loop whose passes are run by the world.

    :param clock: seconds, of this process.
    :param wake: called when something became ready while no pass of the loop runs.
    """

    _ready: Any
    _scheduled: list[Any]
    _timer_cancelled_count: int
    _thread_id: int | None

    def __init__(
        self,
        clock: Callable[[], float],
        net: Net,
        wake: Callable[[], None],
        complain: Callable[[str], None],
    ) -> None:
        super().__init__()
        self.tasks: list[SimulatedTask] = []
        """All tasks that were made, but those that are known to have ended."""
        self._clock = clock
        self._net = net
        self._wake = wake
        self._complain = complain
        self._thread_id = threading.get_ident()
        self.set_task_factory(cast(Any, self._make_task))
        self.set_exception_handler(self._on_exception)

    def __del__(self, *_: object) -> None:
        """It has nothing that must be closed."""

    # -- what the world calls ----------------------------------------------------------------

    def run_pass(self, run: Run | None = None) -> float | None:
        """Run one pass. Returns when the next one is due: now or later; None for never.

        It stays the running loop: the world says when none is.

        :param run: runs each handle, and may end the pass.
        """
        ready = self._ready
        now = self._clock()
        timers = self._scheduled
        while timers:
            timer = timers[0]
            if timer._cancelled:
                self._timer_cancelled_count -= 1
            elif timer._when > now:
                break
            else:
                ready.append(timer)
            heappop(timers)
            timer._scheduled = False
        events._set_running_loop(self)
        for _ in range(len(ready)):
            handle = ready.popleft()
            if handle._cancelled:
                continue
            if run is None:
                handle._run()
            elif not run(handle):
                break
        if ready:
            return now
        while timers and timers[0]._cancelled:
            self._timer_cancelled_count -= 1
            heappop(timers)._scheduled = False
        return timers[0]._when if timers else None

    def stop_for_good(self) -> None:
        """The process is dead: run nothing more."""
        self._ready.clear()
        self._scheduled.clear()
        for task in self.tasks:
            task.forget()

    def unfinished(self) -> list[SimulatedTask]:
        """The tasks that have not ended."""
        self.tasks = [task for task in self.tasks if not task.done()]
        return self.tasks

    # -- what asyncio calls ------------------------------------------------------------------

    def time(self) -> float:
        """Seconds on this process's own clock."""
        return self._clock()

    def create_future(self) -> asyncio.Future[Any]:
        """A future with a number."""
        future: asyncio.Future[Any] = SimulatedFuture(loop=self)
        return future

    def _make_task(
        self,
        loop: asyncio.AbstractEventLoop,
        coro: Coroutine[Any, Any, Any],
        context: Context | None = None,
    ) -> SimulatedTask:
        task: SimulatedTask = SimulatedTask(coro, loop=loop, context=context)
        tasks = self.tasks
        tasks.append(task)
        if len(tasks) >= _TIMERS_SWEPT_ABOVE and len(tasks) & (len(tasks) - 1) == 0:
            self.unfinished()
        return task

    def _write_to_self(self) -> None:
        self._wake()

    def call_from_outside(self, callback: Callable[..., object], *args: Any) -> None:
        """Have the next pass call this, in no context of a task."""
        self._ready.append(events.Handle(callback, list(args), self, Context()))
        self._wake()

    def _on_exception(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        self._complain(f"{context.get('message')}: {error!r}")

    # -- the network -------------------------------------------------------------------------

    async def sock_connect(self, sock: socket.socket, address: Any) -> None:
        """Connect to a simulated host."""
        await self._net.connect(sock, (address[0], address[1]))

    async def create_connection(  # type: ignore[override]
        self, protocol_factory: Callable[[], asyncio.Protocol], *, sock: socket.socket, **_: Any
    ) -> tuple[asyncio.Transport, asyncio.Protocol]:
        """Make the transport of a socket that `sock_connect` has connected."""
        protocol = protocol_factory()
        transport = self._net.attach(sock, protocol)
        sock.close()
        return transport, protocol

    async def create_server(  # type: ignore[override]
        self, protocol_factory: Callable[[], asyncio.Protocol], host: str, port: int, **_: Any
    ) -> Any:
        """Listen on a simulated address."""
        return self._net.listen(protocol_factory, host, port)
