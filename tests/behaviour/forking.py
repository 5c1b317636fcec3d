"""A process that has imported the command `leveret`, and forks one at each request.

To start a Python and import what the command needs takes half a second of the processor, a fork
takes some milliseconds. `forked_commands.py` runs this file, and sends the requests over a socket.
"""

from __future__ import annotations

import json
import os
import runpy
import signal
import socket
import sys
from contextlib import suppress
from importlib import import_module

FDS = 4
"""What comes with a request: standard input, output and error, and where to tell how it ended."""


def serve(requests: socket.socket) -> list[str] | None:
    """Fork at each request. Returns twice: in each command, its arguments; None at the end."""
    while True:
        size, fds, _flags, _address = socket.recv_fds(requests, 4, FDS)
        if not size:
            return None
        request = json.loads(_read(requests.fileno(), int.from_bytes(size)))
        if os.fork() == 0:
            requests.close()
            if _wait_for_command(fds):
                return _become(request)
            os._exit(0)
        for fd in fds:
            os.close(fd)


def _read(fd: int, size: int) -> bytes:
    read = b""
    while len(read) < size:
        read += os.read(fd, size - len(read))
    return read


def _wait_for_command(fds: list[int]) -> bool:
    """Fork the command, and tell its process id and how it ended. True in the command itself."""
    *standard, told = fds
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    pid = os.fork()
    if pid == 0:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for number, fd in enumerate(standard):
            os.dup2(fd, number)
            os.close(fd)
        os.close(told)
        return True
    # Who reads what the command prints is to hear of its end.
    for fd in (*standard, *range(3)):
        os.close(fd)
    os.write(told, b"%d\n" % pid)
    _, status = os.waitpid(pid, 0)
    with suppress(BrokenPipeError):  # the test is over, however it ended
        os.write(told, b"%d\n" % os.waitstatus_to_exitcode(status))
    return False


def _become(request: dict[str, object]) -> list[str]:
    """Take the folder and the environment of the request; returns the command's arguments."""
    arguments, folder, environment = request["arguments"], request["folder"], request["environment"]
    assert isinstance(arguments, list)
    assert isinstance(folder, str)
    assert isinstance(environment, dict)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.path[0] = folder  # as with `python -m`; it was the folder of this file
    return [str(argument) for argument in arguments]


def main() -> None:
    for needed in ("leveret.cli.app", "uvloop", "rich.markdown", "pydantic", "typer._adapters"):
        with suppress(ModuleNotFoundError):  # newer versions of typer need the last two
            import_module(needed)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those that wait
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the commands
    with socket.socket(fileno=int(sys.argv[1])) as requests:
        arguments = serve(requests)
    if arguments is not None:
        sys.argv[1:] = arguments
        runpy.run_module("leveret", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
