"""How a server process is told to stop, and ends.

A blocked event loop hears no signal. So SIGINT and SIGTERM are told to a thread as well, which
counts the seconds from there and ends the process if it has not ended by itself. The signals are
heard between two steps of the main thread's Python code; only code in C that does not return to
Python for that long holds them up.
"""

from __future__ import annotations

import asyncio
import os
import select
import signal
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import FrameType
from typing import Final

__all__ = ["end_process_after", "stop_signals"]

_NUMBERS: Final = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def stop_signals(
    on_signal: Callable[[], None], *, patience: float, spare: float, code: int
) -> Generator[None]:
    """Call `on_signal` in the running loop at each SIGINT and SIGTERM.

    The process ends with `code` `patience` seconds after the first, or `spare` seconds after the
    second, whatever it does then. On Windows there are no such signals.
    """
    if sys.platform == "win32":
        yield
        return
    loop = asyncio.get_running_loop()
    heard, told = os.pipe()
    os.set_blocking(told, False)  # the handler of a signal must not wait
    signals = 0

    def on_number(_number: int, _frame: FrameType | None) -> None:
        nonlocal signals
        signals += 1
        if signals <= 2:
            os.write(told, b"\0")
        loop.call_soon_threadsafe(on_signal)

    def count_down() -> None:
        if not os.read(heard, 1):
            os.close(heard)  # it ended without any signal
            return
        if select.select((heard,), (), (), patience)[0]:
            os.read(heard, 1)
            select.select((), (), (), spare)
        _end(code)

    before = {number: signal.signal(number, on_number) for number in _NUMBERS}
    threading.Thread(target=count_down, name="leveret stop", daemon=True).start()
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if not signals:
            os.close(told)


def end_process_after(seconds: float, code: int) -> None:
    """End this process, whatever it does then, unless it has ended by itself."""
    timer = threading.Timer(seconds, _end, (code,))
    timer.daemon = True
    timer.start()


def _end(code: int) -> None:
    # Not by logging: whoever hangs may hold its lock.
    os.write(2, b"leveret: something does not end (a thread?); leaving it behind\n")
    os._exit(code)
