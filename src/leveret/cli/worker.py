"""`python -m leveret.cli.worker FD`: one worker of `leveret serve --workers N`.

FD is its end of a socket pair whose other end only the supervisor holds. On it come the worker's
orders, one line of JSON; back go the line "ready" and, at the end, an `Ending`. When the supervisor
dies, `kill -9` included, the socket ends: the worker then drains and goes as after SIGTERM.
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
from leveret.cli.logs import configure_logging
from leveret.cli.serving import SPARE, ServeOptions, Serving
from leveret.cli.stopping import end_process_after

__all__ = ["READY", "Orders", "main"]

READY: Final = b"ready\n"


class Orders(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker is told."""

    worker: int
    """Its number, from 1; it shows in the log."""
    options: ServeOptions


def main() -> int:
    """Run the worker; returns its exit code."""
    supervisor = socket.socket(fileno=int(sys.argv[1]))
    supervisor.set_inheritable(False)  # not for the processes that handlers start
    orders = _orders(supervisor)
    options = orders.options
    configure_logging(options.log_level, f"worker {orders.worker}")
    threading.Thread(
        target=_outlive_by_little, args=(supervisor, options.grace), daemon=True
    ).start()
    ending = Serving(options, on_ready=lambda: _say(supervisor, READY)).run()
    _say(supervisor, msgspec.json.encode(ending) + b"\n")
    return ending.code


def _orders(supervisor: socket.socket) -> Orders:
    # Unbuffered: what comes after the line is for nobody, but its end is for the thread.
    with supervisor.makefile("rb", buffering=0) as lines:
        return msgspec.json.decode(lines.readline(), type=Orders)


def _say(supervisor: socket.socket, line: bytes) -> None:
    with suppress(OSError):  # nobody is left to hear it
        supervisor.sendall(line)


def _outlive_by_little(supervisor: socket.socket, grace: float) -> None:
    """In a thread, for the event loop may be blocked: wait for the supervisor to die."""
    with suppress(OSError):
        while supervisor.recv(1):
            pass
    end_process_after(grace + SPARE, CUT_SHORT)
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main())
