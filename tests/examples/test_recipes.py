"""The recipes for web frameworks and pytest: their own tests, and an API in processes."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import signal
import sys
from pathlib import Path

import httpx
import pytest

from tests.behaviour.patience import until_found
from tests.docs.fences import ROOT, blocks
from tests.docs.shell import Shell, lines

EXAMPLES = ROOT / "examples"
TESTED = {"fastapi": 5, "litestar": 4, "pytest": 6, "starlette": 5}
"""The folders with tests of their own, and how many each has."""


async def test_the_recipes_own_tests_pass_in_a_folder_of_their_own(tmp_path: Path) -> None:
    for name in TESTED:
        shutil.copytree(EXAMPLES / name, tmp_path / name, ignore=shutil.ignore_patterns("__pyc*"))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", *TESTED),
        cwd=tmp_path,
        env={name: value for name, value in os.environ.items() if not name.startswith("PYTEST")},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said = (await process.communicate())[0].decode()
    assert process.returncode == 0, said
    assert re.search(rf"^{sum(TESTED.values())} passed in", said, re.MULTILINE), said


@pytest.mark.parametrize("name", TESTED)
def test_a_recipe_says_how_it_is_run_and_tested(name: str) -> None:
    text = (EXAMPLES / name / "README.md").read_text()
    for file in (EXAMPLES / name).glob("*.py"):
        assert f"`{file.name}`" in text, f"{name}/README.md does not name {file.name}"


async def heard(process: asyncio.subprocess.Process, pattern: str) -> str:
    """What a program says on standard error, once it does."""
    assert process.stderr is not None
    said = ""
    while True:
        line = (await process.stderr.readline()).decode()
        assert line, f"it has ended, and never said {pattern}:\n{said}"
        said += line
        if (found := re.search(pattern, line)) is not None:
            return found[1]


async def test_the_commands_of_the_fastapi_recipe_bring_up_an_api(
    rabbitmq_url: str, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(EXAMPLES / "fastapi", tmp_path / "fastapi"))
    shell = Shell(folder, rabbitmq_url)
    _, serve, api, order, ready = lines(blocks("examples/fastapi/README.md", "sh")[0].text)
    async with (
        shell.running("python", "-m", *api.words, "--port", "0") as web,
        shell.running(*serve.words) as server,
    ):
        assert await heard(server, r"serving (\w+)") == "shop"
        url = await heard(web, r"running on (http://\S+:\d+)")
        async with httpx.AsyncClient(base_url=url, timeout=30) as http:

            async def health() -> int:
                return (await http.get(path_in(ready.words))).status_code

            await until_found(health, 200, "it has a broker")
            body = json.loads(order.words[order.words.index("-d") + 1])
            answer = await http.post(path_in(order.words), json=body)
            assert (answer.status_code, answer.json()["left"]) == (201, 7)
        for process in (web, server):
            process.send_signal(signal.SIGTERM)
        assert await server.wait() == 0
        await web.wait()


def path_in(words: tuple[str, ...]) -> str:
    """The path that a command of curl asks for."""
    return words[-1].removeprefix("localhost:8000")
