"""The process between a test and its private RabbitMQ: when the test dies, the broker does too.

Run by its path, with the broker's folder, epmd's port, and the commands of epmd and of the server
as JSON lists. On standard input, a pipe that only the test process holds, it takes one byte per
order: `T` stops the server in good order, `K` kills it. However the test process ends, `kill -9`
included, the pipe ends with it; then the server is killed and its folder removed. This process runs
in a session of its own, so Ctrl-C in a terminal does not reach the broker.

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


def supervise(
    folder: str, epmd_port: int, epmd_command: list[str], server_command: list[str]
) -> None:
    """Run both until the server ends, or standard input does."""
    # In the foreground, and ours: a daemonized epmd would outlive every broker.
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
    supervise(sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3]), json.loads(sys.argv[4]))
