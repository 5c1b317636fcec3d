"""The process between a test and its private RabbitMQ: when the test dies, the broker dies too.

It is run by its path. Its arguments are the broker's folder, the server's command as a JSON list
and, if the broker needs an epmd of its own, epmd's port and command. Its standard input is a pipe
that only the test process holds, with one byte per order: `T` shuts the server down, `K` kills it.
However the test process ends, even by `kill -9`, the pipe ends with it. Then this process kills the
server and removes its folder. It runs in a session of its own, so Ctrl-C in a terminal does not
reach the broker.

`PR_SET_PDEATHSIG` would be shorter, but it fires when the *thread* that started the broker ends.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

_SIGNALS = {b"T": signal.SIGTERM, b"K": signal.SIGKILL}


def take_care(
    folder: str,
    server_command: list[str],
    epmd_port: int = 0,
    epmd_command: list[str] | None = None,
) -> None:
    """Run both until the server ends, or standard input does."""
    epmd = None
    if epmd_command is not None:
        # In the foreground, as our child: a daemonized epmd would outlive every broker.
        epmd = subprocess.Popen(epmd_command, stdin=subprocess.DEVNULL)
        _wait_for_listener(epmd_port, epmd)
    server = subprocess.Popen(server_command, stdin=subprocess.DEVNULL)
    orphaned = threading.Event()

    def obey() -> None:
        while order := os.read(0, 1):
            server.send_signal(_SIGNALS[order])
        orphaned.set()
        server.kill()

    threading.Thread(target=obey, daemon=True).start()
    server.wait()
    if epmd is not None:
        epmd.kill()
        epmd.wait()
    if orphaned.is_set():
        shutil.rmtree(folder, ignore_errors=True)


def _wait_for_listener(port: int, process: subprocess.Popen[bytes]) -> None:
    """Return once the process listens: a node that finds no epmd at its start gives up."""
    while process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except ConnectionRefusedError:
            time.sleep(0.005)


if __name__ == "__main__":
    _, *_arguments = sys.argv
    take_care(
        _arguments[0],
        json.loads(_arguments[1]),
        *(json.loads(argument) for argument in _arguments[2:]),
    )
