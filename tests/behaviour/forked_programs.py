"""Runs a program as a fork of a process that has imported it; see `forking.py`.

What the program does from its first line on is the same, in a process of its own.
"""

from __future__ import annotations

import asyncio
import atexit
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Final, Self

_FORKING: Final = Path(__file__).with_name("forking.py")
_ROOT: Final = Path(__file__).parents[2]


class ForkedProgram:
    """A program that runs or ended: what `asyncio.subprocess.Process` has and tests need."""

    def __init__(
        self,
        pid: int,
        story: asyncio.StreamReader,
        stdout: asyncio.StreamReader,
        stderr: asyncio.StreamReader | None,
    ) -> None:
        self.pid = pid
        self.stdout = stdout
        self.stderr = stderr
        self.returncode: int | None = None
        self._ending = asyncio.create_task(self._read_ending(story))

    @classmethod
    async def start(
        cls,
        module: str,
        arguments: Sequence[str],
        *,
        folder: Path,
        environment: Mapping[str, str],
        stdin: bytes = b"",
        stderr: int | None = None,
    ) -> Self:
        """Start `python -m module *arguments`.

        :param stdin: what it may read; it must fit into a pipe.
        :param stderr: the file for its standard error, instead of a pipe that this process reads.
        """
        told, in_, out = (os.pipe() for _ in range(3))
        read_errors, errors = os.pipe() if stderr is None else (None, os.dup(stderr))
        request = {
            "arguments": list(arguments),
            "folder": str(folder),
            "environment": dict(environment),
        }
        theirs = [in_[0], out[1], errors, told[1]]
        try:
            os.write(in_[1], stdin)
            _ask(module, json.dumps(request).encode(), theirs)
        finally:
            for fd in (*theirs, in_[1]):
                os.close(fd)
        story, stdout = await _reader(told[0]), await _reader(out[0])
        stderr_read = None if read_errors is None else await _reader(read_errors)
        return cls(int(await story.readline()), story, stdout, stderr_read)

    async def wait(self) -> int:
        """Wait for its end; returns the exit code, negative for a signal."""
        return await asyncio.shield(self._ending)

    def send_signal(self, number: int) -> None:
        """Send it a signal; nothing happens where it ended."""
        if self.returncode is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    async def _read_ending(self, story: asyncio.StreamReader) -> int:
        self.returncode = int(await story.read())  # to its end: so the pipe is closed as well
        return self.returncode


async def _reader(fd: int) -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(fd, "rb", buffering=0)
    )
    return reader


def _ask(module: str, request: bytes, fds: Sequence[int]) -> None:
    """Have a program forked, with its three standard files, and where to tell how it ended."""
    requests = _requests(module)
    socket.send_fds(requests, [len(request).to_bytes(4)], fds)
    requests.sendall(request)


@cache
def _requests(module: str) -> socket.socket:
    """The socket to the process that forks this program; it ends with this one."""
    ours, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen(
            [sys.executable, str(_FORKING), str(theirs.fileno()), module],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            cwd=_ROOT,
            pass_fds=[theirs.fileno()],
        )

    def end() -> None:
        ours.close()
        process.wait()

    atexit.register(end)
    return ours
