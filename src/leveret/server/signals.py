"""SIGINT and SIGTERM for all servers of the process, without taking them from a host program.

A server may run inside a program that handles signals itself, as web servers do. So the program's
own handlers are called as well, and are restored when no server waits for a signal any more.

Handlers are installed with `signal.signal`, which leaves those of the event loop alone: a loop
whose `add_signal_handler` was called gets the number of each signal in its own way, whichever
function `signal.signal` has set.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial
from types import FrameType
from typing import Final

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)

_PASSES: Final = 4
"""Passes of the event loop after which a drain has begun, of which a signal told it."""
_ECHO_WITHIN: Final = 1.0
"""Seconds after which a signal is no echo, though the event loop stands still."""

_Handler = Callable[[int, FrameType | None], object] | int | None
"""What `signal.getsignal` returns."""

_listeners: Final[list[Callable[[int], object]]] = []
"""All servers that wait for a signal; each of them gets the number of every signal."""
_hosts: Final[dict[int, _Handler]] = {}
"""The handlers that were there before, by signal."""


class Echoes:
    """Tells a second signal from the echo of the first one.

    What stops a program may send its signal twice at once. `timeout 60 leveret serve ...` sends
    SIGTERM to the program, and then to its group, to which the program belongs. When a session
    ends, SIGTERM and SIGHUP may come together. So a signal is an echo until the program has begun
    to stop. SIGINT comes from a keyboard: a second one counts, however soon it comes.

    :param clock: seconds that go on steadily.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._first: int | None = None
        self._ends_at = 0.0

    def is_echo(self, number: int) -> bool:
        """Whether a signal that has come now is an echo. Call it once for each."""
        if self._first is None:
            self._first = number
            self._ends_at = self._clock() + _ECHO_WITHIN
            return False
        return signal.SIGINT not in (self._first, number) and self._clock() < self._ends_at

    def end(self, loop: asyncio.AbstractEventLoop, passes: int = _PASSES) -> None:
        """The event loop has heard the first signal: soon the program begins to stop."""
        if passes:
            loop.call_soon(self.end, loop, passes - 1)
        else:
            self._ends_at = 0.0


@contextmanager
def stop_signals(
    on_repeat: Callable[[], None], *, listen: bool = True
) -> Generator[asyncio.Future[None]]:
    """A future that is done with the first SIGINT or SIGTERM; each further one calls `on_repeat`.

    An echo of the first one does not, see `Echoes`. Outside the main thread, and on Windows, the
    future is never done.

    :param listen: False for a future that is never done.
    """
    loop = asyncio.get_running_loop()
    stopped: asyncio.Future[None] = loop.create_future()
    echoes = Echoes()

    def stop() -> None:
        if stopped.done():
            on_repeat()
        else:
            stopped.set_result(None)
            echoes.end(loop)

    if (
        not listen
        or threading.current_thread() is not threading.main_thread()
        or sys.platform == "win32"
    ):
        yield stopped
        return

    def told(number: int) -> None:
        if not echoes.is_echo(number):
            loop.call_soon_threadsafe(stop)

    if not _listeners:
        _install()
    _listeners.append(told)
    try:
        yield stopped
    finally:
        _listeners.remove(told)
        if not _listeners:
            _restore()


def _install() -> None:
    for number in _SIGNALS:
        _hosts[number] = signal.signal(number, _on_signal)


def _restore() -> None:
    """Give the host its handlers back, unless it has set others meanwhile."""
    for number, handler in _hosts.items():
        if signal.getsignal(number) is _on_signal:
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
    _hosts.clear()


def _on_signal(number: int, frame: FrameType | None) -> None:
    for tell in tuple(_listeners):
        tell(number)
    handler = _hosts.get(number)
    if callable(handler) and not _is_pythons(handler):
        handler(number, frame)


def _is_pythons(handler: Callable[..., object]) -> bool:
    """Whether a handler only interrupts the program, as that of Python or `asyncio.run` does.

    A draining server replaces it.
    """
    if handler is signal.default_int_handler:
        return True
    function = handler.func if isinstance(handler, partial) else handler
    return getattr(function, "__module__", "") in ("asyncio.runners", "asyncio.unix_events")
