"""A terminal that shows a frame again and again, and tells which keys are pressed."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

__all__ = [
    "is_terminal",
    "keys_of_terminal",
    "show_live",
    "stop_until_continued",
    "terminal_size",
]

_ENTER: Final = "\x1b[?1049h\x1b[?25l"
"""The terminal's second screen, without a cursor."""
_LEAVE: Final = "\x1b[?25h\x1b[?1049l"
_USUAL: Final = os.terminal_size((80, 24))
_HOME: Final = "\x1b[H"
_END_OF_LINE: Final = "\x1b[K\r\n"
_END_OF_SCREEN: Final = "\x1b[J"

Frame = Sequence[str]


def is_terminal() -> bool:
    """Whether standard output is one."""
    return sys.stdout.isatty()


def terminal_size() -> os.terminal_size:
    """Columns and rows of standard output; the usual ones where it does not know them."""
    columns, rows = os.get_terminal_size(sys.stdout.fileno())
    return os.terminal_size((columns or _USUAL.columns, rows or _USUAL.lines))


async def show_live(
    look: Callable[[], Awaitable[object]],
    draw: Callable[[], Frame],
    on_key: Callable[[str], None],
    *,
    write: Callable[[str], None],
    keys: asyncio.Queue[str],
    interval: float,
) -> None:
    """Look and draw every so many seconds, and draw after each key, until "q" is pressed.

    A key is obeyed at once, however long a look takes.

    :param look: finds out what is to be drawn.
    :param keys: the keys that are pressed.
    """

    async def look_again_and_again() -> None:
        while True:
            await look()
            _write_frame(write, draw())
            await asyncio.sleep(interval)

    async def obey() -> None:
        while (key := await keys.get()) != "q":
            on_key(key)
            _write_frame(write, draw())

    write(_ENTER)
    tasks = (asyncio.create_task(look_again_and_again()), asyncio.create_task(obey()))
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        write(_LEAVE)


def stop_until_continued(write: Callable[[str], None], keys: asyncio.Queue[str]) -> None:
    """Stop this process, as Ctrl-Z does, and leave its screen until it goes on."""
    write(_LEAVE)
    os.kill(os.getpid(), signal.SIGSTOP)
    write(_ENTER)
    if not keys.full():
        keys.put_nowait("")  # so that it is drawn


def _write_frame(write: Callable[[str], None], frame: Frame) -> None:
    write(_HOME + _END_OF_LINE.join(frame) + "\x1b[K" + _END_OF_SCREEN)


@contextmanager
def keys_of_terminal() -> Iterator[asyncio.Queue[str]]:
    """The keys that are pressed within the block, each at once and not shown.

    None come where standard input is no terminal, or on Windows.
    """
    keys: asyncio.Queue[str] = asyncio.Queue(100)
    try:
        import termios  # noqa: PLC0415 - Windows has none
        import tty  # noqa: PLC0415
    except ImportError:
        yield keys
        return
    if not sys.stdin.isatty():
        yield keys
        return
    file = sys.stdin.fileno()
    loop = asyncio.get_running_loop()

    def read() -> None:
        for key in os.read(file, 100).decode(errors="replace") or "q":  # "q": it was closed
            if not keys.full():
                keys.put_nowait(key)

    before = termios.tcgetattr(file)
    tty.setcbreak(file)
    loop.add_reader(file, read)
    try:
        yield keys
    finally:
        loop.remove_reader(file)
        termios.tcsetattr(file, termios.TCSADRAIN, before)
