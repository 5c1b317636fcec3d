"""Programs that tests run: one process each, whose output the test reads line by line."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.behaviour.forked_programs import ForkedProgram

ROOT = Path(__file__).parents[2]
PEERS = Path(__file__).with_name("peers")
TUTORIAL = ROOT / "examples" / "tutorial"

PATIENCE = 30.0
"""Seconds after which a program that says nothing is taken for stuck; busy machines are slow."""


class Program:
    """A Python program that runs, its standard output and error in one."""

    def __init__(self, script: Path, process: asyncio.subprocess.Process | ForkedProgram) -> None:
        self.process = process
        self._script = script
        self._said: list[str] = []

    async def says(self, words: str) -> str:
        """Read on until a line holds `words`; returns the line."""
        while (line := await self.line()) is not None:
            if words in line:
                return line
        raise AssertionError(f"{self} ended without a word of {words!r}; it said:\n{self.output}")

    async def order(self, line: str = "") -> None:
        """Write a line to its standard input."""
        assert isinstance(self.process, asyncio.subprocess.Process)
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n".encode())
        await self.process.stdin.drain()

    async def ends(self) -> int:
        """Read its output to the end; returns its exit code."""
        while await self.line() is not None:
            pass
        async with asyncio.timeout(PATIENCE):
            return await self.process.wait()

    @property
    def output(self) -> str:
        """All that it said so far."""
        return "\n".join(self._said)

    async def line(self) -> str | None:
        """The next line of its output; None at the end."""
        assert self.process.stdout is not None
        try:
            async with asyncio.timeout(PATIENCE):
                raw = await self.process.stdout.readline()
        except TimeoutError:
            raise AssertionError(
                f"{self} was silent for {PATIENCE:g} s; it had said:\n{self.output}"
            ) from None
        if not raw:
            return None
        self._said.append(raw.decode().rstrip("\n"))
        return self._said[-1]

    def __str__(self) -> str:
        return self._script.name


@asynccontextmanager
async def running(
    script: Path, *arguments: str, url: str, folder: Path | None = None
) -> AsyncIterator[Program]:
    """Run a program for the length of a block; killed at its end, if it still runs.

    :param folder: where it runs; by default where the tests do.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(script),
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "LEVERET_URL": url, "PYTHONUNBUFFERED": "1"},
        cwd=folder,
    )
    try:
        yield Program(script, process)
    finally:
        if process.returncode is None:
            process.kill()
        # Also lets asyncio close the pipes, which it would complain about later.
        await process.communicate()


async def run(script: Path, *arguments: str, url: str, folder: Path | None = None) -> str:
    """Run a program to its end, which must be a good one; returns what it said."""
    async with running(script, *arguments, url=url, folder=folder) as program:
        code = await program.ends()
        assert code == 0, f"{program} ended with exit code {code}:\n{program.output}"
        return program.output
