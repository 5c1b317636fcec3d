"""A process that has imported a program, and forks one at each request.

To start a Python and import what a program needs takes half a second of the processor, a fork takes
some milliseconds. `forked_programs.py` runs this file with the number of a socket and the name of
the program's module, and sends the requests over the socket.
"""

from __future__ import annotations

import gc
import json
import os
import runpy
import select
import signal
import socket
import sys
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Final

FDS: Final = 4
"""What comes with a request: standard input, output and error, and where to tell how it ended."""
_MODULES: Final = {
    # Newer versions of typer need the last two.
    "leveret": ("leveret.cli.app", "uvloop", "rich.markdown", "pydantic", "typer._adapters")
}
"""What a program imports, where its own module imports it only as it runs."""


def serve(requests: socket.socket) -> list[str] | None:
    """Fork at each request. Returns twice: in each program, its arguments; None at the end."""
    ended, end = os.pipe()
    os.set_blocking(end, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(end, warn_on_full_buffer=False)
    programs: dict[int, int] = {}
    while True:
        ready, _, _ = select.select([requests.fileno(), ended], [], [])
        if ended in ready:
            os.read(ended, 4096)
            _tell_ends(programs)
        if requests.fileno() not in ready:
            continue
        size, fds, _flags, _address = socket.recv_fds(requests, 4, FDS)
        if not size:
            return None
        request = json.loads(_read(requests.fileno(), int.from_bytes(size)))
        # What is sent to the program is not to meet the handlers of this process.
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
        pid = os.fork()
        if pid == 0:
            requests.close()
            signal.set_wakeup_fd(-1)
            for fd in (ended, end, *programs.values()):
                os.close(fd)
            return _become(request, fds)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
        *standard, told = fds
        for fd in standard:
            os.close(fd)
        programs[pid] = told
        _tell(told, pid)


def _read(fd: int, size: int) -> bytes:
    read = b""
    while len(read) < size:
        read += os.read(fd, size - len(read))
    return read


def _tell_ends(programs: dict[int, int]) -> None:
    """Tell how those ended that did."""
    while programs:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            return
        told = programs.pop(pid)
        _tell(told, os.waitstatus_to_exitcode(status))
        os.close(told)


def _tell(told: int, number: int) -> None:
    with suppress(BrokenPipeError):  # the test is over, however the program ended
        os.write(told, b"%d\n" % number)


def _become(request: dict[str, object], fds: list[int]) -> list[str]:
    """Take the files, the folder and the environment of a request; returns the arguments."""
    *standard, told = fds
    for number, fd in enumerate(standard):
        os.dup2(fd, number)
        os.close(fd)
    os.close(told)
    arguments, folder, environment = request["arguments"], request["folder"], request["environment"]
    assert isinstance(arguments, list)
    assert isinstance(folder, str)
    assert isinstance(environment, dict)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.path[0] = folder  # as with `python -m`
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the tests may be run by `nohup`
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
    return [str(argument) for argument in arguments]


def main() -> None:
    socket_number, program = sys.argv[1:]
    sys.path[0] = str(Path.cwd())  # it was the folder of this file
    for needed in _MODULES.get(program, (program,)):
        with suppress(ModuleNotFoundError):
            import_module(needed)
    if program not in _MODULES:
        del sys.modules[program]  # what it imports stays; as a program it runs once more
    # A program that collects garbage would look through all that is imported, and when it ends free
    # all of that. To write to memory that it shares with this process takes more than 0.1 s.
    gc.collect()
    gc.freeze()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the programs
    with socket.socket(fileno=int(socket_number)) as requests:
        arguments = serve(requests)
    if arguments is not None:
        sys.argv[1:] = arguments
        runpy.run_module(program, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
