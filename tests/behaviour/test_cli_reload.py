"""`leveret serve --reload`: new code takes over, and no call is lost by it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import leveret
from leveret import Rabbit
from tests.behaviour.cli_commands import Command, Commands, is_alive
from tests.behaviour.patience import until

CODE = """
import asyncio, os, pathlib
from leveret import Service, method

class Desk(Service):
    @method(timeout=30)
    async def version(self) -> int:
        return {version}

    @method(timeout=30)
    async def meet(self, folder: str) -> str:
        pathlib.Path(folder, "runs").touch()
        while not pathlib.Path(folder, "may-end").exists():
            await asyncio.sleep(0.005)
        return "met by {version}"
"""


@pytest.fixture
async def commands(tmp_path: Path, rabbitmq_url: str) -> AsyncIterator[Commands]:
    async with Commands(tmp_path, rabbitmq_url) as commands:
        write(commands, 1)
        yield commands


def write(commands: Commands, version: int | str) -> None:
    (commands.folder / "desk.py").write_text(CODE.format(version=version))


async def serve(commands: Commands, *args: str, workers: int = 1) -> Command:
    """Serve, with all workers ready."""
    server = await commands.start(
        *("serve", "desk:Desk", "--reload", "--workers", str(workers)), *args
    )
    await server.says("is ready", workers)
    return server


async def until_version(rabbit: Rabbit, version: int, server: Command) -> None:
    """Call until the new code answers; each call must get an answer."""
    try:
        async with asyncio.timeout(45):
            while await rabbit.call("desk.version") != version:  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.01)
    except leveret.CallError as error:
        error.add_note("\n".join(("the server said:", *server.lines)))
        raise


async def test_changed_code_takes_over_without_a_lost_call(commands: Commands) -> None:
    server = await serve(commands, workers=2)
    async with leveret.connect(commands.url) as rabbit:
        meeting = await commands.meeting()
        for version in (2, 3):  # files of one size, the second written soon after the first
            write(commands, version)
            await until_version(rabbit, version, server)
            # Both new workers: one that is not ready would be drained without a word by a change.
            ready = await server.says(r"\(pid (\d+)\) is ready", 2 * version)
        await server.says(r"desk\.py changed; starting anew", 2)
        meeting.may_end()
        assert await meeting.call.ends() == 0
        assert meeting.call.text == "met by 1\n"
        old = [int(match[1]) for match in ready[:4]]
        await until(lambda: not any(map(is_alive, old)), "the old workers end")
        assert await rabbit.call("desk.version") == 3
        await server.says("the workers with the old code have ended", 2)
        assert not [line for line in server.lines if "all workers have ended" in line]
    server.terminate()
    assert await server.ends() == 0
    assert "all workers have ended" in server.lines[-1]


@pytest.mark.embedded_only
async def test_broken_code_is_told_and_the_old_serves_until_it_is_mended(
    commands: Commands,
) -> None:
    server = await serve(commands)
    async with leveret.connect(commands.url) as rabbit:
        write(commands, "2 +")
        await server.says(r"SyntaxError: invalid syntax \(desk\.py, line 8\)")
        await server.says("waiting for the next change; until then the old code serves on")
        assert await rabbit.call("desk.version") == 1
        write(commands, 2)
        await until_version(rabbit, 2, server)
    server.interrupt()
    assert await server.ends() == 0


@pytest.mark.embedded_only
async def test_code_that_is_broken_from_the_start_is_waited_for(commands: Commands) -> None:
    write(commands, "1 / 0 +")
    server = await commands.start("serve", "desk:Desk", "--reload")
    await server.says("SyntaxError")
    await server.says("waiting for the next change$")
    write(commands, 1)
    await server.says("is ready")
    server.terminate()
    assert await server.ends() == 0


@pytest.mark.embedded_only
async def test_a_change_while_new_workers_start_starts_newer_ones(commands: Commands) -> None:
    (commands.folder / "desk.py").write_text(
        "import pathlib, time\npathlib.Path('starts').touch()\ntime.sleep(60)\n"
    )
    server = await commands.start("serve", "desk:Desk", "--reload")
    await until((commands.folder / "starts").exists, "the first workers start")
    write(commands, 2)
    async with leveret.connect(commands.url) as rabbit:
        await server.says("is ready")
        await until_version(rabbit, 2, server)
    server.terminate()
    assert await server.ends() == 0


@pytest.mark.embedded_only
async def test_a_change_while_one_of_the_first_workers_starts_costs_no_call(
    commands: Commands,
) -> None:
    (commands.folder / "desk.py").write_text(
        CODE.format(version=1)
        + """
    async def __aenter__(self):
        try:
            os.close(os.open("one-is-here", os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            pathlib.Path("other-starts").touch()
            await asyncio.sleep(3600)

    async def __aexit__(self, *error):
        pass
"""
    )
    server = await commands.start("serve", "desk:Desk", "--reload", "--workers", "2")
    await server.says("is ready")
    await until((commands.folder / "other-starts").exists, "the other worker starts")
    async with leveret.connect(commands.url) as rabbit:
        assert await rabbit.call("desk.version") == 1
        write(commands, 2)
        await until_version(rabbit, 2, server)
    await server.says("the workers with the old code have ended")
    server.terminate()
    assert await server.ends() == 0


@pytest.mark.embedded_only
async def test_a_module_that_the_service_imports_is_watched_too(commands: Commands) -> None:
    package = commands.folder / "inner"
    package.mkdir()
    (package / "__init__.py").write_text("NUMBER = 7\n")
    (commands.folder / "desk.py").write_text(
        CODE.format(version="NUMBER").replace(
            "import asyncio", "from inner import NUMBER\nimport asyncio"
        )
    )
    server = await serve(commands)
    async with leveret.connect(commands.url) as rabbit:
        assert await rabbit.call("desk.version") == 7
        (package / "__init__.py").write_text("NUMBER = 8\n")
        await until_version(rabbit, 8, server)
    await server.says(r"inner/__init__\.py changed")


@pytest.mark.embedded_only
@pytest.mark.parametrize(
    ("url", "code", "told"),
    [
        ("amqp://host:port/", 2, "InvalidURL"),
        ("amqp://127.0.0.1:1/", 9, "ConnectionLost: cannot connect"),
    ],
)
async def test_what_no_change_of_the_code_can_mend_ends_it(
    commands: Commands, url: str, code: int, told: str
) -> None:
    server = await commands.run(
        *("serve", "desk:Desk", "--reload", "--url", url, "--log-level", "error")
    )
    assert server.process.returncode == code
    assert told in server.error  # one line, which does not say that it waits for a change


async def test_a_second_signal_hurries_it(commands: Commands) -> None:
    server = await serve(commands)
    meeting = await commands.meeting()
    server.terminate()
    await server.says("draining: 1 calls?")
    server.terminate()
    assert await meeting.call.ends() == 8
    assert await server.ends() == 8
