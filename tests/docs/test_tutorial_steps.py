"""The eight steps of the tutorial work, one after the other, in one folder."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import pairwise
from pathlib import Path

import pytest

from leveret.testing import Broker
from tests.behaviour.forked_programs import ForkedProgram
from tests.docs.fences import ROOT, Block, blocks
from tests.docs.shell import Line, Shell, lines

STEPS = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs/tutorial").glob("*.md"))
ELSEWHERE = {"pip", "leveret broker"}
"""What other tests run, or nobody needs to run in a folder that has all of it."""


async def _read(stream: asyncio.StreamReader | None) -> str:
    assert stream is not None
    return (await stream.read()).decode()


class Reader:
    """Does what a step says: writes its files, starts its servers, runs its commands."""

    def __init__(self, folder: Path, url: str) -> None:
        self._folder = folder
        self._url = url
        self._server = AsyncExitStack()

    async def do(self, step: str) -> None:
        """A step, from its first block to its last."""
        shown = blocks(step)
        for block, following in zip(shown, [*shown[1:], None], strict=True):
            if block.language in {"python", "toml"}:
                name = re.match(r"# (\w+\.(?:py|toml))\b", block.text)
                assert name is not None, f"{block.name}: a block of a step is a file with its name"
                (self._folder / name[1]).write_text(block.text)
            elif block.language == "sh":
                for line in lines(block.text):
                    await self._run(line, following)

    async def _run(self, line: Line, following: Block | None) -> None:
        told = str(line)
        if line.program in ELSEWHERE or told in ELSEWHERE:
            return
        if told == "'#' Ctrl-C":
            await self._server.aclose()
            return
        if line.words[:2] == ("leveret", "serve"):
            await self._server.aclose()
            await self._server.enter_async_context(self._serving(line))
            return
        async with self._running(line) as process:
            out, errors = await asyncio.gather(_read(process.stdout), _read(process.stderr))
            code = await process.wait()
        story = f"{line}: exit code {code}\n{out}{errors}"
        if line.comment.startswith("exit code "):
            assert code == int(line.comment.rpartition(" ")[2]), story
            return
        assert code == 0, story
        shows = following is not None and following.language == "text" and following.text
        if shows or line.comment:
            assert out == (shows or f"{line.comment}\n"), story

    @asynccontextmanager
    async def _serving(self, line: Line) -> AsyncIterator[None]:
        """A server, until Ctrl-C."""
        async with self._running(line) as server:
            assert server.stderr is not None
            while b"serving " not in (told := await server.stderr.readline()):
                assert told, f"{line}: it has ended"
            yield
            server.send_signal(signal.SIGINT)
            assert await server.wait() == 0

    @asynccontextmanager
    async def _running(
        self, line: Line
    ) -> AsyncIterator[asyncio.subprocess.Process | ForkedProgram]:
        """A command; `leveret` is forked from a process that has imported it, which is quicker."""
        if line.program != "leveret":
            async with Shell(self._folder, self._url).running(*line.words) as process:
                yield process
            return
        environment = os.environ | {"LEVERET_URL": self._url, "COLUMNS": "200"}
        forked = await ForkedProgram.start(
            "leveret", line.words[1:], folder=self._folder, environment=environment
        )
        try:
            yield forked
        finally:
            if forked.returncode is None:
                forked.kill()
            await asyncio.gather(_read(forked.stdout), _read(forked.stderr), forked.wait())

    async def close(self) -> None:
        """End the server that runs."""
        await self._server.aclose()


def test_there_are_eight_steps_and_each_leads_to_the_next() -> None:
    assert [int(Path(step).name[0]) for step in STEPS] == list(range(1, 9))
    for step, after in pairwise(STEPS):
        last = (ROOT / step).read_text().rstrip().splitlines()[-1]
        title = (ROOT / after).read_text().partition("\n")[0].removeprefix("# ")
        assert last == f"Next: [{title}]({Path(after).name})."


@pytest.mark.slow
@pytest.mark.parametrize("half", [STEPS[:4], STEPS[4:7]], ids=["1 to 4", "5 to 7"])
async def test_the_steps_work_one_after_the_other(half: list[str], tmp_path: Path) -> None:
    async with Broker() as broker, AsyncExitStack() as stack:
        reader = Reader(tmp_path, broker.url)
        stack.push_async_callback(reader.close)
        for step in half:
            await reader.do(step)


@pytest.mark.slow
async def test_the_last_step_works_on_rabbitmq(rabbitmq_url: str, tmp_path: Path) -> None:
    (stock,) = [b.text for b in blocks(STEPS[4], "python") if b.text.startswith("# stock.py")]
    (tmp_path / "stock.py").write_text(stock.replace("('carrot', 7)", "('carrot', 4)"))
    async with AsyncExitStack() as stack:
        reader = Reader(tmp_path, rabbitmq_url)
        stack.push_async_callback(reader.close)
        await reader.do(STEPS[7])
