"""`python -m leveret.cli.serving.worker FD`: one worker of `leveret serve --workers N`.

FD is the worker's end of a socket pair; only the supervisor holds the other end. The supervisor
sends the worker its orders, one line of JSON. The worker sends the line "ready" when it serves, and
an `Ending` at its end. When the supervisor dies, by `kill -9` for instance, the socket ends; then
the worker drains and exits, as after SIGTERM.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from contextlib import suppress
from typing import Final

import msgspec

from leveret.cli.exits import CUT_SHORT
from leveret.cli.serving.process import STOP_MARGIN, ServerProcess
from leveret.cli.serving.request import ServeRequest
from leveret.cli.serving.stopping import end_process_after

__all__ = ["READY", "Orders", "main"]

READY: Final = b"ready\n"


class Orders(msgspec.Struct, frozen=True, kw_only=True):
    """What the supervisor sends a worker."""

    worker: int
    """The worker's number, from 1, for the log."""
    request: ServeRequest
    """What to serve, and how."""


def main() -> int:
    """Run the worker; returns its exit code."""
    supervisor = socket.socket(fileno=int(sys.argv[1]))
    supervisor.set_inheritable(False)  # processes that handlers start must not inherit it
    orders = _orders(supervisor)
    request = orders.request
    request.configure_logging(f"worker {orders.worker}")
    threading.Thread(target=_stop_after, args=(supervisor, request.grace), daemon=True).start()
    ending = ServerProcess(request, on_ready=lambda: _send(supervisor, READY)).run()
    _send(supervisor, msgspec.json.encode(ending) + b"\n")
    return ending.code


def _orders(supervisor: socket.socket) -> Orders:
    # Unbuffered: the thread below must still see the end of the socket.
    with supervisor.makefile("rb", buffering=0) as lines:
        return msgspec.json.decode(lines.readline(), type=Orders)


def _send(supervisor: socket.socket, line: bytes) -> None:
    with suppress(OSError):  # the supervisor is dead
        supervisor.sendall(line)


def _stop_after(supervisor: socket.socket, grace: float) -> None:
    """Wait for the supervisor to die, then stop. Runs in a thread: the loop may be blocked."""
    with suppress(OSError):
        while supervisor.recv(1):
            pass
    end_process_after(grace + STOP_MARGIN, CUT_SHORT)
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main())
