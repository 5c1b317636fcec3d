"""A server in a process of its own, which the demo starts, watches, stops and kills."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from signal import Signals

PATIENCE = 30.0
"""Seconds after which a silent server counts as stuck."""


class ServerEndedError(Exception):
    """A server ended, or got stuck, before it printed the line that the demo waits for."""


class ServerProcess:
    """A running `leveret.demo.server`, and the lines that it prints."""

    def __init__(self, name: str, process: asyncio.subprocess.Process) -> None:
        self.name = name
        self.pid = process.pid
        self._process = process
        self._said: list[str] = []

    async def says(self, words: str) -> None:
        """Wait until it prints a line that begins with `words`.

        :raises ServerEndedError: if it never does.
        """
        assert self._process.stdout is not None
        while not (self._said and self._said[-1].startswith(words)):
            try:
                async with asyncio.timeout(PATIENCE):
                    line = await self._process.stdout.readline()
            except TimeoutError:
                line = b""
            if not line:
                said = "\n  ".join(self._said) or "nothing"
                raise ServerEndedError(f"{self.name} never said {words!r}. It said:\n  {said}")
            self._said.append(line.decode().rstrip())
        self._said.append("")  # the next wait is for another line

    async def stop(self, signal: Signals) -> int:
        """Send a signal and wait for the end; returns the exit code, negative for a signal."""
        self._process.send_signal(signal)
        async with asyncio.timeout(PATIENCE):
            return await self._process.wait()


@asynccontextmanager
async def running_server(
    name: str, queue: str, url: str, *, once: str
) -> AsyncIterator[ServerProcess]:
    """Start a server, and wait until it takes calls. It is killed at the end if it still runs.

    :param once: the URL of its store of idempotency keys.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "leveret.demo.server",
        name,
        queue,
        once,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=os.environ | {"LEVERET_URL": url, "PYTHONUNBUFFERED": "1"},
    )
    try:
        server = ServerProcess(name, process)
        await server.says("serving")
        yield server
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()
