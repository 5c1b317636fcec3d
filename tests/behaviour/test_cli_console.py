"""`leveret console`: it says where it is, shows what is there, and ends in good order."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from leveret import Rabbit
from tests.behaviour.cli_commands import Commands
from tests.behaviour.cli_service import Desk
from tests.behaviour.patience import until_found


@pytest.fixture
async def commands(tmp_path: Path, rabbitmq_url: str) -> AsyncIterator[Commands]:
    async with Commands(tmp_path, rabbitmq_url) as commands:
        yield commands


@pytest.mark.embedded_only
async def test_it_shows_what_is_there_and_ends_at_a_signal(
    commands: Commands, host: Rabbit
) -> None:
    async with host.serving(Desk()):
        console = await commands.start(
            *("console", "--port", "0", "--root-path", "ops", "--log-level", "info")
        )
        (said,) = await console.says(r"the console listens at (http://127\.0\.0\.1:\d+[^\s,]*)")
        async with httpx.AsyncClient(base_url=said[1], timeout=60) as visitor:

            async def shows_the_service() -> bool:
                return 'href="/ops/service/desk"' in (await visitor.get(said[1])).text

            await until_found(shows_the_service, True, "the service is shown")
            assert (await visitor.get("/", headers={"host": "evil.example"})).status_code == 421
            assert (await visitor.post("/call/desk.fib")).status_code == 403
            # A page that is open ends with it, at once and without a word.
            async with visitor.stream("GET", "/events") as feed:
                assert (await anext(feed.aiter_lines())).startswith("event: ")
                console.terminate()
                assert await console.ends() == 0
    assert not any("Traceback" in line or "ERROR" in line for line in console.lines)
    assert f"the console is at {said[1]}, for a proxy that has it at /ops/" in console.text


@pytest.mark.embedded_only
async def test_a_url_that_is_none_is_one_line_and_nothing_listens(commands: Commands) -> None:
    refused = await commands.run("console", "--port", "0", "--url", "notaurl://x")
    assert refused.process.returncode == 2
    assert len(refused.lines) == 1
    assert "notaurl" in refused.lines[0]


@pytest.mark.embedded_only
async def test_nobody_is_let_in_from_outside_without_log_in(commands: Commands) -> None:
    refused = await commands.run("console", "--host", "0.0.0.0", "--port", "0")
    assert refused.process.returncode == 2
    assert any("--token" in line for line in refused.lines)
