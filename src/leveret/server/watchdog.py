"""Notices a handler that blocks the event loop, and names it in the log.

While a handler blocks, nothing else runs: no other call, no deadline, no heartbeat. The loop cannot
notice that itself, so a thread does. It starts with the first call, sleeps while no call runs, and
costs calls nothing: four times a second it has the loop answer a ping.

It blames a handler only where the user's code blocks, which the stack of the loop's thread tells:
the innermost frame of Leveret is one that called the handler, a hook or a model of pydantic, and
their frames are inside of it. Where Leveret's own code is innermost, the fault is not the user's.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Final, Protocol

from leveret.wire.log_fields import NamedCall, fields_of, shown, shown_all

log = logging.getLogger("leveret.server")

BLOCKED_AFTER: Final = 1.0
"""Seconds without an answer after which the loop counts as blocked."""
_EVERY: Final = 0.25
"""Seconds between two pings."""
_LINGER: Final = 4
"""How many times in a row no call may run before the thread sleeps: a server under load announces
only now and then that a call begins."""
_FRAMES: Final = 25
"""How many of a stack's innermost frames are shown."""

_ADVICE: Final = (
    "; let it await, or make the method a plain `def`, which runs in a thread,"
    " or executor='process'"
)
_PACKAGE: Final = str(Path(__file__).parents[1]) + os.sep
_CALLERS: Final = frozenset(
    _PACKAGE + file
    for file in (
        "annotations/hooks.py",
        "codec/pydantic_values.py",
        "server/access.py",
        "server/calls/endings.py",
        "server/calls/run.py",
        "server/handlers/execution.py",
    )
)
"""The files of Leveret whose frames call the user's code."""


class RunningCall(NamedCall, Protocol):
    """What this file needs of a call."""

    @property
    def task(self) -> asyncio.Task[None] | None:
        """The task that runs it."""


class Watchdog:
    """Watches the loop of one server while calls run.

    It logs a warning with the stack of the loop's thread once the loop has been blocked for
    `blocked_after` seconds, and another one, which tells for how long, when that is over. None: it
    does not watch, and has no thread.

    :param running: the calls that run now; called in the watchdog's thread.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        running: Callable[[], Sequence[RunningCall]],
        *,
        blocked_after: float | None = BLOCKED_AFTER,
    ) -> None:
        self._loop = loop
        self._running = running
        self._watches = blocked_after is not None
        self._blocked_after = BLOCKED_AFTER if blocked_after is None else blocked_after
        self._every = min(_EVERY, self._blocked_after / 4)
        self._thread: threading.Thread | None = None
        self._loop_thread = 0
        self._begun = threading.Event()
        self._answered = threading.Event()
        self._stopped = threading.Event()

    def watch(self) -> None:
        """A call begins: watch the loop until none runs. Must be called in the loop's thread."""
        if not self._watches:
            return
        if self._thread is None and not self._stopped.is_set():
            self._loop_thread = threading.get_ident()
            self._thread = threading.Thread(target=self._work, name="leveret watchdog", daemon=True)
            self._thread.start()
        self._begun.set()

    def stop(self) -> None:
        """End the thread for good."""
        self._stopped.set()
        self._begun.set()
        self._answered.set()
        if self._thread is not None:
            self._thread.join(1.0)  # at once, unless it waits for a lock of the log

    # -- in the thread ------------------------------------------------------------------------

    def _work(self) -> None:
        while not self._over():
            self._begun.wait()
            self._begun.clear()
            idle = 0
            try:
                while idle < _LINGER and not self._over():
                    if self._calls():
                        idle = 0
                        self._ping()
                    else:
                        idle += 1
                    self._stopped.wait(self._every)
            except RuntimeError:  # the loop was closed at this very moment
                return

    def _over(self) -> bool:
        return self._stopped.is_set() or self._loop.is_closed()

    def _ping(self) -> None:
        """Have the loop answer, however long that takes; log if it takes too long."""
        self._answered.clear()
        asked, used = time.monotonic(), time.process_time()
        self._loop.call_soon_threadsafe(self._answered.set)
        if not self._answered.wait(self._blocked_after):
            if self._stopped.is_set() or not self._loop.is_running():
                self._await_answer()  # a loop that does not run is not blocked
                return
            # Looked at once: a moment later the loop may be elsewhere.
            frame = sys._current_frames().get(self._loop_thread)  # noqa: SLF001 - the one way
            who, culprit = self._who(frame)
            log.warning(
                "the event loop has been blocked for %.1f s %s: no other call, deadline or"
                " heartbeat is looked after%s\n%s",
                *(self._blocked_after, who, _ADVICE if culprit else "", _stack(frame)),
                extra=fields_of(culprit) if culprit else None,
            )
            if self._await_answer():
                log.warning(
                    "the event loop was blocked for %.1f s %s",
                    *(time.monotonic() - asked, who),
                    extra=fields_of(culprit) if culprit else None,
                )
        elif time.process_time() - used > self._blocked_after:
            # No thread ran, not even this one: C code that keeps the GIL, as some regexes do. A
            # process that was only suspended has used no processor time.
            log.warning(
                "the event loop and all threads were blocked for %.1f s %s",
                *(time.monotonic() - asked, self._who(None)[0]),
            )

    def _await_answer(self) -> bool:
        """Wait for the answer; return whether it came. A loop that is closed never answers."""
        while not self._answered.wait(self._every) and not self._over():
            pass
        return not self._over()

    def _who(self, frame: FrameType | None) -> tuple[str, RunningCall | None]:
        """Who blocks the loop, and which call's handler, as far as another thread can see.

        :param frame: the innermost frame of the loop's thread.
        """
        calls = self._calls()
        meanwhile = "while no call runs any more"
        if calls:
            meanwhile = f"while {shown_all(calls)} {'runs' if len(calls) == 1 else 'run'}"
        if frame is not None and not _runs_users_code(frame):
            return f"in Leveret's own code, {meanwhile}", None
        task = asyncio.current_task(self._loop)
        for call in calls:
            if task is not None and call.task is task:
                return f"by {shown(call)}", call
        return meanwhile, None

    def _calls(self) -> Sequence[RunningCall]:
        try:
            return self._running()
        except RuntimeError:  # a table changed while it was read: so the loop is not blocked
            return ()


def _runs_users_code(frame: FrameType) -> bool:
    """Whether code runs that is not Leveret's, nor what Leveret's code has called in a library."""
    inner: FrameType | None = frame
    while inner is not None and not inner.f_code.co_filename.startswith(_PACKAGE):
        inner = inner.f_back
    return inner is None or (inner is not frame and inner.f_code.co_filename in _CALLERS)


def _stack(frame: FrameType | None) -> str:
    return "".join(traceback.format_stack(frame, limit=_FRAMES)).rstrip() if frame else ""
