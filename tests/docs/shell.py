"""Runs the commands of the documents as a reader would: in a folder, with LEVERET_URL set.

A `leveret` that runs to its end is a fork of a process that has imported it (`ForkedProgram`): that
costs a tenth. One that keeps running is started as readers do.
"""

from __future__ import annotations

import asyncio
import os
import shlex
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.behaviour.forked_programs import ForkedProgram

PATIENCE = 45.0
"""Seconds after which a command that neither ends nor says anything counts as stuck."""


@dataclass(frozen=True, kw_only=True)
class Ended:
    """A command that has ended."""

    code: int
    out: str
    errors: str


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line of a block of commands, and what its comment says of it."""

    words: tuple[str, ...]
    comment: str

    @property
    def program(self) -> str:
        return self.words[0]

    def __str__(self) -> str:
        return shlex.join(self.words)


def lines(block: str) -> list[Line]:
    """The commands of a block, one a line."""
    found = []
    for line in block.splitlines():
        command, _, comment = line.partition("   #")
        if command.strip():
            found.append(Line(words=tuple(shlex.split(command)), comment=comment.strip(" #")))
    return found


class Shell:
    """A folder, and a broker in LEVERET_URL; "" is as if that were not set."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        self._environment = os.environ | {
            "LEVERET_URL": url,
            "COLUMNS": "200",
            "PYTHONUNBUFFERED": "1",
        }

    async def run(self, *words: str) -> Ended:
        """Run a command to its end."""
        if words[0] == "leveret":
            return await self._run_leveret(*words[1:])
        async with self.running(*words) as process:
            async with asyncio.timeout(PATIENCE):
                out, errors = await process.communicate()
            assert process.returncode is not None
            return Ended(code=process.returncode, out=out.decode(), errors=errors.decode())

    async def _run_leveret(self, *arguments: str) -> Ended:
        program = await ForkedProgram.start(
            "leveret", arguments, folder=self.folder, environment=self._environment
        )
        assert program.stderr is not None
        try:
            async with asyncio.timeout(PATIENCE):
                out, errors = await asyncio.gather(program.stdout.read(), program.stderr.read())
                code = await program.wait()
        finally:
            program.kill()
        return Ended(code=code, out=out.decode(), errors=errors.decode())

    @asynccontextmanager
    async def running(self, *words: str) -> AsyncIterator[asyncio.subprocess.Process]:
        """Run a command for the length of a block; it is killed at the end, if it still runs."""
        process = await asyncio.create_subprocess_exec(
            *_as_installed(words),
            cwd=self.folder,
            env=self._environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
            await process.communicate()

    async def check(self, line: Line) -> None:
        """Run a line to its end, and compare with its comment: its output, or its exit code."""
        ended = await self.run(*line.words)
        story = f"{line}: exit code {ended.code}\n{ended.out}{ended.errors}"
        if line.comment.startswith("exit code "):
            assert ended.code == int(line.comment.rpartition(" ")[2]), story
            return
        assert ended.code == 0, story
        if line.comment:
            assert ended.out == f"{line.comment}\n", story


def _as_installed(words: tuple[str, ...]) -> list[str]:
    """The command in this interpreter, whose scripts need not be in PATH."""
    program, *rest = words
    if Path(program).name == "leveret":
        return [sys.executable, "-m", "leveret", *rest]
    return [sys.executable if program == "python" else program, *rest]
