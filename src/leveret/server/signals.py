"""SIGINT and SIGTERM for as many servers as the process has."""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Final

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
_listeners: Final[list[Callable[[], None]]] = []
"""Every server that waits for a signal; all are told of each."""


@contextmanager
def stop_signals(on_repeat: Callable[[], None]) -> Generator[asyncio.Future[None]]:
    """A future that ends with the first SIGINT or SIGTERM; each further one calls `on_repeat`.

    Outside of the main thread, and on Windows, the future never ends.
    """
    loop = asyncio.get_running_loop()
    stopped: asyncio.Future[None] = loop.create_future()

    def stop() -> None:
        if stopped.done():
            on_repeat()
        else:
            stopped.set_result(None)

    listens = threading.current_thread() is threading.main_thread() and sys.platform != "win32"
    if listens:
        if not _listeners:
            for number in _SIGNALS:
                loop.add_signal_handler(number, _tell_all)
        _listeners.append(stop)
    try:
        yield stopped
    finally:
        if listens:
            _listeners.remove(stop)
            if not _listeners:
                for number in _SIGNALS:
                    loop.remove_signal_handler(number)


def _tell_all() -> None:
    for stop in tuple(_listeners):
        stop()
