"""The commands of the pages in docs/moving/, run as a reader runs them: each a process.

A block of `sh` is a scene. A line whose comment is `serves` starts a server, which runs until the
scene ends; every other line is a client, and its comment is what it prints, line by line.
"""

from __future__ import annotations

import asyncio
import os
import shlex
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.behaviour.forked_programs import ForkedProgram
from tests.docs.fences import ROOT, blocks
from tests.interop.programs import Program

EXAMPLES: Final = ROOT / "examples" / "moving"

FOLDERS: Final[Mapping[str, tuple[str, ...]]] = {
    "tutorial": ("pika", "aio_pika"),
    "aio-pika-rpc": ("aio_pika_rpc",),
    "faststream": ("faststream",),
    "celery": ("celery",),
    "nameko": ("nameko",),
    "grpc": ("grpc",),
}
"""Of each page, the folders of examples that it shows."""

_PLAINLY: Final = {"PYTHONUNBUFFERED": "1"}
_SERVES: Final = "serves"
_READY: Final = ("serving", "ready.")  # the last is Celery's word


@dataclass(frozen=True, kw_only=True)
class Command:
    """One line of a scene."""

    words: tuple[str, ...]
    prints: tuple[str, ...]

    @property
    def serves(self) -> bool:
        """Whether it is a server."""
        return self.prints == (_SERVES,)


def scenes(page: str) -> list[list[Command]]:
    """The scenes of a page, in their order."""
    found = []
    for block in blocks(f"docs/moving/{page}.md", "sh"):
        lines = [line.partition("#") for line in block.text.splitlines() if line.strip()]
        found.append(
            [
                Command(
                    words=tuple(shlex.split(words)),
                    prints=tuple(part.strip() for part in prints.split(";")),
                )
                for words, _, prints in lines
            ]
        )
    return found


def environment_of(url: str, folder: Path) -> dict[str, str]:
    """Where the broker is, and the server of gRPC."""
    return {"LEVERET_URL": url, "RABBITMQ_URL": url, "SHOP_ADDRESS": f"unix:{folder}/shop"}


async def play(scene: list[Command], folder: str, environment: Mapping[str, str]) -> None:
    """Run a scene; each client must print what the page says."""
    async with AsyncExitStack() as servers:
        for command in scene:
            if command.serves:
                server = await servers.enter_async_context(
                    program(command.words, folder, environment)
                )
                await _ready(server)
                continue
            async with program(command.words, folder, environment) as client:
                code = await client.ends()
            assert code == 0, f"{command.words}:\n{client.output}"
            assert tuple(client.output.splitlines()) == command.prints


@asynccontextmanager
async def program(
    words: tuple[str, ...], folder: str, environment: Mapping[str, str]
) -> AsyncIterator[Program]:
    """A program of a folder, for the length of a block; killed at its end."""
    # A fork has what most programs import. nameko has its own packages, so it needs its own Python.
    start = _forked if words[0] == "python" and "PYTHONPATH" not in environment else _started
    process = await start(words, EXAMPLES / folder, {**os.environ, **_PLAINLY, **environment})
    try:
        yield Program(Path(folder, shlex.join(words)), process)
    finally:
        if process.returncode is None:
            process.kill()
        if isinstance(process, ForkedProgram):
            await process.wait()
        else:
            await process.communicate()


async def _started(
    words: tuple[str, ...], folder: Path, environment: Mapping[str, str]
) -> asyncio.subprocess.Process:
    python, *arguments = words
    command = [sys.executable, *(() if python == "python" else ("-m", python)), *arguments]
    return await asyncio.create_subprocess_exec(
        *command,
        cwd=folder,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=environment,
    )


async def _forked(
    words: tuple[str, ...], folder: Path, environment: Mapping[str, str]
) -> ForkedProgram:
    return await ForkedProgram.start(
        "tests.moving.run_script", words[1:], folder=folder, environment=environment
    )


async def _ready(server: Program) -> None:
    while (line := await server.line()) is not None:
        if any(word in line for word in _READY):
            return
    raise AssertionError(f"{server} did not begin to serve:\n{server.output}")
