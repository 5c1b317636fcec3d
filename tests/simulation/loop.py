"""The event loop of one simulated process: asyncio's own, on a clock that only the world moves.

Nothing sleeps for real. The world runs one pass of one loop after the other: the timers that are
due, then what was ready when the pass began, as asyncio does.

Tasks and futures are hashed by numbers. By default they are hashed by their addresses, so a set of
tasks would have another order in each run. As a run has some ten callbacks for each call, the loop
does for each of them what asyncio does, and nothing that is for debugging.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context, copy_context
from heapq import heapify, heappop, heappush
from itertools import count
from typing import Any, Final, Protocol, cast

_numbers = count()


def number_anew() -> None:
    """Have the next hash be the first: for the start of a run, so that it can be repeated."""
    global _numbers  # noqa: PLW0603 - hashes are asked for by objects that know no run
    _numbers = count()


class _Numbered:
    """Hashed by a number, in the order in which hashes are asked for: most are never hashed."""

    _number: int | None = None

    def __hash__(self) -> int:
        if self._number is None:
            self._number = next(_numbers)
        return self._number


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


_SWEPT_ABOVE: Final = 256
"""How many timers or tasks there are at least before those that are over are looked for."""


class Handle:
    """A callback of an event loop, as asyncio's own of that name; it knows no loop."""

    __slots__ = ("args", "callback", "context", "due_at")

    def __init__(
        self,
        callback: Callable[..., object],
        args: tuple[Any, ...],
        context: Context,
        due_at: float = 0.0,
    ) -> None:
        self.callback: Callable[..., object] | None = callback
        self.args = args
        self.context = context
        self.due_at = due_at

    def cancel(self) -> None:
        """Do not call back."""
        self.callback = None
        self.args = ()

    def cancelled(self) -> bool:
        """Whether it is not called back."""
        return self.callback is None

    def when(self) -> float:
        """When it is due, on its loop's clock."""
        return self.due_at


class SimulatedLoop(asyncio.BaseEventLoop):
    """An event loop whose passes are run by its process.

    :param clock: seconds, of this process.
    :param wake: called when something became ready while no pass of the loop runs.
    """

    _thread_id: int | None

    def __init__(
        self,
        clock: Callable[[], float],
        net: Net,
        wake: Callable[[], None],
        complain: Callable[[str], None],
    ) -> None:
        super().__init__()
        self.time = clock  # type: ignore[method-assign]  # each timer asks for it
        self.ready: deque[Handle] = deque()
        """What the next pass calls."""
        self.timers: list[tuple[float, int, Handle]] = []
        """A heap of what is due later."""
        self.tasks: list[SimulatedTask] = []
        """All tasks that were made, but those that are known to have ended."""
        self._order = count()
        self._swept_at = self._tasks_swept_at = _SWEPT_ABOVE
        self._net = net
        self._wake = wake
        self._complain = complain
        self._thread_id = threading.get_ident()
        self.set_exception_handler(self._on_exception)

    def __del__(self, *_: object) -> None:
        """It has nothing that must be closed."""

    # -- what its process calls --------------------------------------------------------------

    def run_pass(self, now: float, most: int = -1) -> int:
        """Run one pass: the timers that are due, then what was ready when it began.

        It stays the running loop: the world says when none is.

        :param most: how many callbacks its process still runs before it dies; negative for any
            number.
        :returns: how many are left of those.
        """
        ready, timers = self.ready, self.timers
        while timers and timers[0][0] <= now:
            ready.append(heappop(timers)[2])
        for _ in range(len(ready)):
            handle = ready.popleft()
            callback = handle.callback
            if callback is None:
                continue
            try:
                handle.context.run(callback, *handle.args)
            except (SystemExit, KeyboardInterrupt):
                raise
            except BaseException as error:  # as asyncio does
                self._complain(f"a callback failed: {callback}: {error!r}")
            most -= 1
            if not most:
                break
        return most

    def next_due(self) -> float | None:
        """When the first timer is due; None if there is none."""
        timers = self.timers
        while timers:
            when, _, handle = timers[0]
            if handle.callback is not None:
                return when
            heappop(timers)
        return None

    def stop_for_good(self) -> None:
        """The process is dead: run nothing more."""
        self.ready.clear()
        self.timers.clear()
        for task in self.tasks:
            task.forget()

    def unfinished(self) -> list[SimulatedTask]:
        """The tasks that have not ended."""
        self.tasks = [task for task in self.tasks if not task.done()]
        return self.tasks

    # -- what asyncio calls ------------------------------------------------------------------

    def get_debug(self) -> bool:
        """Never: each future asks."""
        return False

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> Handle:
        """Have the next pass call this."""
        handle = Handle(callback, args, copy_context() if context is None else context)
        self.ready.append(handle)
        return handle

    def call_soon_threadsafe(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> Handle:
        """The same, from wherever."""
        handle = self.call_soon(callback, *args, context=context)
        self._wake()
        return handle

    def call_later(  # type: ignore[override]
        self,
        delay: float,
        callback: Callable[..., object],
        *args: Any,
        context: Context | None = None,
    ) -> Handle:
        """Call this after so many seconds."""
        return self.call_at(self.time() + delay, callback, *args, context=context)

    def call_at(  # type: ignore[override]
        self,
        when: float,
        callback: Callable[..., object],
        *args: Any,
        context: Context | None = None,
    ) -> Handle:
        """Call this at a time."""
        handle = Handle(callback, args, copy_context() if context is None else context, when)
        timers = self.timers
        if len(timers) >= self._swept_at:
            timers[:] = [timer for timer in timers if timer[2].callback is not None]
            heapify(timers)
            self._swept_at = max(_SWEPT_ABOVE, 2 * len(timers))
        heappush(timers, (when, next(self._order), handle))
        return handle

    def create_future(self) -> asyncio.Future[Any]:
        """A future with a number."""
        future: asyncio.Future[Any] = SimulatedFuture(loop=self)
        return future

    def create_task(
        self,
        coro: Generator[Any, None, Any] | Coroutine[Any, Any, Any],
        *,
        name: object = None,
        context: Context | None = None,
    ) -> SimulatedTask:
        """A task with a number."""
        task: SimulatedTask = SimulatedTask(
            cast(Any, coro), loop=self, name=cast(Any, name), context=context
        )
        tasks = self.tasks
        tasks.append(task)
        if len(tasks) >= self._tasks_swept_at:
            self._tasks_swept_at = max(_SWEPT_ABOVE, 2 * len(self.unfinished()))
        return task

    def _write_to_self(self) -> None:
        self._wake()

    def call_from_outside(self, callback: Callable[..., object], *args: Any) -> None:
        """Have the next pass call this, in no context of a task."""
        self.ready.append(Handle(callback, args, Context()))
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
