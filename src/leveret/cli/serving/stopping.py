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

from leveret.server.signals import Echoes

__all__ = ["end_process_after", "enforce_stop", "stop_numbers"]


def stop_numbers() -> tuple[signal.Signals, ...]:
    """The signals that stop this process.

    SIGHUP is one, which comes when the terminal closes, unless the process was started to outlive
    that, as `nohup` does.
    """
    numbers = (signal.SIGINT, signal.SIGTERM)
    if sys.platform != "win32" and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        return (*numbers, signal.SIGHUP)
    return numbers


@contextmanager
def enforce_stop(
    on_signal: Callable[[], None],
    *,
    limit: Callable[[], tuple[float, int]],
    margin: float,
    supervised: bool,
) -> Generator[None]:
    """Call `on_signal` in the running loop at each signal that stops the process, save for echoes.

    On Windows there are no such signals, and this does nothing.

    :param limit: asked at the first signal: seconds until the process is ended, and the exit code
        in that case.
    :param margin: seconds after the second signal until the process is ended.
    :param supervised: whether a supervisor tells it, by SIGTERM to stop, and by SIGINT to hurry.
        systemd may tell it to stop as well, so a second SIGTERM does not count.
    """
    if sys.platform == "win32":
        yield
        return
    loop = asyncio.get_running_loop()
    receiver, sender = os.pipe()
    os.set_blocking(sender, False)  # a signal handler must not wait
    signals = 0
    seconds, code = 0.0, 0
    echoes = Echoes()

    def on_number(number: int, _frame: FrameType | None) -> None:
        nonlocal signals, seconds, code
        is_told_again = signals > 0 and supervised and number != signal.SIGINT
        if is_told_again or echoes.is_echo(number):
            return
        signals += 1
        if signals == 1:
            seconds, code = limit()
            loop.call_soon_threadsafe(echoes.end, loop)
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

    threading.Thread(target=count_down, name="leveret stop", daemon=True).start()
    try:
        with _handled_by(on_number):
            yield
    finally:
        if not signals:
            os.close(sender)


@contextmanager
def _handled_by(handler: Callable[[int, FrameType | None], None]) -> Generator[None]:
    before = {number: signal.signal(number, handler) for number in stop_numbers()}
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, signal.SIG_DFL if earlier is None else earlier)


def end_process_after(seconds: float, code: int) -> None:
    """End this process after `seconds`, unless it has ended by itself."""
    timer = threading.Timer(seconds, _end, (code,))
    timer.daemon = True
    timer.start()


def _end(code: int) -> None:
    # Without logging: the code that hangs may hold its lock.
    os.write(2, b"leveret: something does not end (a thread?); leaving it behind\n")
    os._exit(code)
