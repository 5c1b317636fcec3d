"""`python -m leveret.cli.serving.worker FD`: one worker of `leveret serve --workers N`.

FD is the worker's end of a socket pair; only the supervisor holds the other end. The supervisor
sends the worker its orders, one line of JSON. The worker sends the line "ready" when it serves, and
an `Ending` at its end. Each further byte of the supervisor asks for a `Report`; a last one goes
before the `Ending`. When the supervisor dies, by `kill -9` for instance, the socket ends; then
the worker drains and exits, as after SIGTERM.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import msgspec

from leveret.cli.exits import CUT_SHORT
from leveret.cli.serving.process import STOP_MARGIN, ServerProcess
from leveret.cli.serving.request import Report, ServeRequest
from leveret.cli.serving.stopping import end_process_after
from leveret.observe import PROCESS

__all__ = ["ASK", "READY", "Orders", "main"]

READY: Final = b"ready\n"
ASK: Final = b"?"
"""Asks a worker for a `Report`."""


class Orders(msgspec.Struct, frozen=True, kw_only=True):
    """What the supervisor sends a worker."""

    worker: int
    """The worker's number, from 1, for the log."""
    request: ServeRequest
    """What to serve, and how."""


def main() -> int:
    """Run the worker; returns its exit code."""
    # The supervisor sends it to hurry a drain; none may be going on (yet, or any more).
    signal.signal(signal.SIGINT, lambda _number, _frame: None)
    supervisor = socket.socket(fileno=int(sys.argv[1]))
    supervisor.set_inheritable(False)  # processes that handlers start must not inherit it
    orders = _orders(supervisor)
    request = orders.request
    request.configure_logging(f"worker {orders.worker}")
    to_supervisor = _Lines(supervisor)
    process = ServerProcess(request, on_ready=lambda: to_supervisor.send(READY), supervised=True)
    threading.Thread(
        target=_listen,
        args=(supervisor, lambda: process.ask_unready(to_supervisor.report_soon), request.grace),
        daemon=True,
    ).start()
    ending = process.run()
    to_supervisor.report("stopping")
    to_supervisor.send(msgspec.json.encode(ending) + b"\n")
    return ending.code


def _orders(supervisor: socket.socket) -> Orders:
    # Unbuffered: the thread below must still see the end of the socket.
    with supervisor.makefile("rb", buffering=0) as lines:
        return msgspec.json.decode(lines.readline(), type=Orders)


class _Lines:
    """Sends lines to the supervisor, from any thread."""

    def __init__(self, supervisor: socket.socket) -> None:
        self._supervisor = supervisor
        self._lock = threading.Lock()

    def send(self, line: bytes) -> None:
        """Send a line, and wait until the system has it."""
        with self._lock:
            self._send(line)

    def report(self, unready: str) -> None:
        """Say how this process stands."""
        # Counted while nobody else sends: an older snapshot must not come after a newer one.
        with self._lock:
            report = Report(unready=unready, snapshot=PROCESS.snapshot())
            self._send(msgspec.json.encode(report) + b"\n")

    def _send(self, line: bytes) -> None:
        with suppress(OSError):  # the supervisor is dead
            self._supervisor.sendall(line)

    def report_soon(self, unready: str) -> None:
        """The same, without keeping the event loop waiting for a supervisor that reads slowly."""
        threading.Thread(target=self.report, args=(unready,), daemon=True).start()


def _listen(supervisor: socket.socket, asked: Callable[[], None], grace: float) -> None:
    """Answer the supervisor until it dies, then stop. Runs in a thread: the loop may be blocked."""
    with suppress(OSError):
        while supervisor.recv(1):
            asked()
    end_process_after(grace + STOP_MARGIN, CUT_SHORT)
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main())
