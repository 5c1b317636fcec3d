"""A worker process's end of the pipe to its server: what its handler reports, and its outcome.

The handler may report from any of its threads and as often as it likes. The newest report counts,
and at most one is sent every `REPORTED_EVERY` seconds; what is left of a burst is sent by a timer.
A report is sent only before the answer to its own call: what follows that would be taken for news
of the next one.
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
    """As much of a `multiprocessing.connection.Connection` as is needed here."""

    def recv(self) -> Any:
        """Wait for one message.

        :raises EOFError: if nobody is at the other end.
        """

    def send_bytes(self, buf: bytes, /) -> None:
        """Send one message.

        :raises OSError: if nobody is at the other end.
        """


class WorkerPipe:
    """Sends what a worker has to say, one message at a time."""

    def __init__(self, pipe: Pipe) -> None:
        self._pipe = pipe
        self._lock = threading.Lock()
        self._number = 0
        """How many calls have ended."""
        self._newest: Progress | None = None
        self._sent_at = -inf
        self._timer: threading.Timer | None = None

    def begin(self) -> Callable[[Progress], None]:
        """A call begins; returns what takes its reports."""
        return partial(self._report, self._number)

    def _report(self, number: int, progress: Progress) -> None:
        """Send a report of a call, now or when it is time; nothing if it is over."""
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
        """Say something that is not the end of a call.

        :raises OSError: if nobody is at the other end.
        """
        with self._lock:
            self._pipe.send_bytes(said)

    def hear(self) -> Any:
        """What the server says, in answer.

        :raises EOFError: if nobody is at the other end.
        """
        return self._pipe.recv()

    def answer(self, answer: bytes) -> None:
        """Send what the call ended with; no report of it follows.

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
