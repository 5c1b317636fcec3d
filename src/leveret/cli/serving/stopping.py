"""How a server process receives signals, and how its end is enforced.

A blocked event loop handles no signal. So the signal handler also wakes a thread, which ends the
process if it has not ended by itself in time. Python runs the signal handler between two steps of
the main thread's Python code, so only C code that does not return to Python delays it.
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

__all__ = ["end_process_after", "enforce_stop"]

_NUMBERS: Final = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def enforce_stop(
    on_signal: Callable[[], None], *, limit: Callable[[], tuple[float, int]], margin: float
) -> Generator[None]:
    """Call `on_signal` in the running loop at each SIGINT and SIGTERM.

    On Windows there are no such signals, and this does nothing.

    :param limit: asked at the first signal: seconds until the process is ended, and the exit code
        in that case.
    :param margin: seconds after the second signal until the process is ended.
    """
    if sys.platform == "win32":
        yield
        return
    loop = asyncio.get_running_loop()
    receiver, sender = os.pipe()
    os.set_blocking(sender, False)  # a signal handler must not wait
    signals = 0
    seconds, code = 0.0, 0

    def on_number(_number: int, _frame: FrameType | None) -> None:
        nonlocal signals, seconds, code
        signals += 1
        if signals == 1:
            seconds, code = limit()
        if signals <= 2:
            os.write(sender, b"\0")
        loop.call_soon_threadsafe(on_signal)

    def count_down() -> None:
        if not os.read(receiver, 1):
            os.close(receiver)  # the block ended without a signal
            return
        if select.select((receiver,), (), (), seconds)[0]:
            os.read(receiver, 1)
            select.select((), (), (), margin)
        _end(code)

    before = {number: signal.signal(number, on_number) for number in _NUMBERS}
    threading.Thread(target=count_down, name="leveret stop", daemon=True).start()
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        if not signals:
            os.close(sender)


def end_process_after(seconds: float, code: int) -> None:
    """End this process after `seconds`, unless it has ended by itself."""
    timer = threading.Timer(seconds, _end, (code,))
    timer.daemon = True
    timer.start()


def _end(code: int) -> None:
    # Without logging: the code that hangs may hold its lock.
    os.write(2, b"leveret: something does not end (a thread?); leaving it behind\n")
    os._exit(code)
