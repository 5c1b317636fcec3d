"""A worker process's end of the pipe to its server: sends progress reports and outcomes.

The handler may report from any of its threads and as often as it likes. Only the newest report
counts, and at most one is sent every `REPORTED_EVERY` seconds; a timer sends the last one of a
burst. A report is sent only before the outcome of its call: after that the server would take it for
a report of the next call.
"""

from __future__ import annotations

import pickle
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from math import inf
from typing import Any, Protocol

from leveret.contract import Progress
from leveret.wire.timing import REPORTED_EVERY


class Pipe(Protocol):
    """What this file needs of a `multiprocessing.connection.Connection`."""

    def recv(self) -> Any:
        """Wait for one message.

        :raises EOFError: if nobody is at the other end.
        """

    def send_bytes(self, buf: bytes, /) -> None:
        """Send one message.

        :raises OSError: if nobody is at the other end.
        """


class WorkerPipe:
    """Sends the messages of a worker, one at a time."""

    def __init__(self, pipe: Pipe) -> None:
        self._pipe = pipe
        self._lock = threading.Lock()
        self._number = 0
        """How many calls have ended."""
        self._newest: Progress | None = None
        self._sent_at = -inf
        self._timer: threading.Timer | None = None

    def begin(self) -> Callable[[Progress], None]:
        """A call begins; return the function that takes its reports."""
        return partial(self._report, self._number)

    def _report(self, number: int, progress: Progress) -> None:
        """Send a report of a call, now or when it is time, unless the call is over."""
        with self._lock:
            if number != self._number:
                return
            self._newest = progress
            rest = self._sent_at + REPORTED_EVERY - time.monotonic()
            if rest <= 0:
                self._send_newest()
            elif self._timer is None:
                self._timer = threading.Timer(rest, self._send_later)
                self._timer.daemon = True
                self._timer.start()

    def send(self, said: bytes) -> None:
        """Send a message that is not the outcome of a call.

        :raises OSError: if nobody is at the other end.
        """
        with self._lock:
            self._pipe.send_bytes(said)

    def hear(self) -> Any:
        """The server's answer.

        :raises EOFError: if nobody is at the other end.
        """
        return self._pipe.recv()

    def answer(self, answer: bytes) -> None:
        """Send the outcome of the call; no report of it follows.

        :raises OSError: if nobody is at the other end.
        """
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
            self._newest = self._timer = None
            self._number += 1
            self._sent_at = -inf
            self._pipe.send_bytes(answer)

    def _send_later(self) -> None:
        with self._lock:
            if threading.current_thread() is self._timer:  # else its call is over
                self._timer = None
                self._send_newest()

    def _send_newest(self) -> None:
        progress, self._newest = self._newest, None
        self._sent_at = time.monotonic()
        if progress is not None:
            with suppress(OSError):  # the server is gone, and this process ends with it
                self._pipe.send_bytes(pickle.dumps(progress))
