"""The log of `leveret serve` for machines: JSON, with the ids of calls, and the access log."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

import leveret
from leveret import InvalidArgument, RemoteError
from tests.behaviour.cli_commands import Command, Commands

SERVED = "cli_service:Desk"


@pytest.fixture
async def commands(tmp_path: Path, rabbitmq_url: str) -> AsyncIterator[Commands]:
    async with Commands(tmp_path, rabbitmq_url) as commands:
        yield commands


def objects(command: Command) -> list[dict[str, Any]]:
    """What a command that has ended said: each line is an object."""
    return [msgspec.json.decode(line, type=dict[str, Any]) for line in command.lines]


async def test_supervisor_and_workers_log_json_with_the_ids_of_calls(
    commands: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    (commands.folder / "layers.py").write_text(
        "import logging\n"
        "async def say(call, call_next):\n"
        "    logging.getLogger('shop').warning('a call\\nof its own')\n"
        "    return await call_next(call)\n"
    )
    monkeypatch.setenv("LEVERET_SERVE_ACCESS_LOG", "1")
    monkeypatch.setenv("LEVERET_SERVE_LOG_FORMAT", "json")
    server, _ = await commands.serve_with_workers(SERVED, "--middleware", "layers:say")
    async with leveret.connect(commands.url, name="till 7") as rabbit:
        with pytest.raises(RemoteError) as failed:
            await rabbit.call("desk.fail", how="raise")
        with pytest.raises(InvalidArgument) as refused:
            await rabbit.call("desk.fib", n=-1)
    server.terminate()
    assert await server.ends() == 0
    said = objects(server)
    assert {line.get("process") for line in said} == {"supervisor", "worker 1", "worker 2"}
    about = [line for line in said if line.get("call_id") == failed.value.call_id]
    (own,) = (line for line in about if line["logger"] == "shop")
    (error,) = (line for line in about if line["level"] == "ERROR")
    (access,) = (line for line in about if line["logger"] == "leveret.access")
    assert (own["message"], own["method"]) == ("a call\nof its own", "desk.fail")
    assert (error["level"], error["exception"]["type"]) == ("ERROR", "ZeroDivisionError")
    assert (access["outcome"], access["executed"], access["caller"]) == (
        "INTERNAL",
        "yes",
        "till 7",
    )
    (access,) = (line for line in said if line.get("call_id") == refused.value.call_id)
    assert (access["logger"], access["outcome"], access["ran"]) == (
        "leveret.access",
        "INVALID_ARGUMENT",
        0,
    )


@pytest.mark.embedded_only
@pytest.mark.parametrize("workers", ["1", "2"])
async def test_why_it_cannot_start_is_json_as_well(commands: Commands, workers: str) -> None:
    server = await commands.run(
        "serve", "cli_service:Nothing", "--log-format", "json", "--workers", workers
    )
    assert server.process.returncode == 11
    (why,) = (line["message"] for line in objects(server) if line["level"] == "CRITICAL")
    assert "Nothing" in why


@pytest.mark.embedded_only
async def test_the_access_log_is_written_whatever_the_level_of_the_others(
    commands: Commands,
) -> None:
    args = ("serve", SERVED, "--access-log", "--log-level", "warning")
    server = await commands.start(*args)
    async with leveret.connect(commands.url) as rabbit:
        fib = rabbit.with_options(wait_for_server=True, timeout=60)
        assert await fib.call("desk.fib", n=30) == 832040
    (line,) = await server.says(r" INFO +leveret\.access: call=\S+ method=desk\.fib ")
    assert line.string.count(" outcome=OK executed=yes ") == 1
    server.terminate()
    assert await server.ends() == 0
    assert [line for line in server.lines if " INFO " in line] == [line.string]
