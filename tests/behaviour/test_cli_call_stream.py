"""`leveret call --stream`: a line for each item, the end, errors, and Ctrl-C."""

from __future__ import annotations

import json
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from tests.behaviour.cli_commands import Command, Commands
from tests.behaviour.scripted_streams import ScriptedServer, scripted_server

CALL = ("call", "--stream", "feed.watch", "a=1")


@pytest.fixture
async def commands(tmp_path: Path, rabbitmq_url: str) -> AsyncIterator[Commands]:
    async with Commands(tmp_path, rabbitmq_url) as commands:
        yield commands


@pytest.fixture
async def server(rabbitmq_url: str) -> AsyncIterator[ScriptedServer]:
    async with scripted_server(rabbitmq_url) as scripted:
        yield scripted


async def test_each_item_is_a_line_of_json(commands: Commands, server: ScriptedServer) -> None:
    call = await commands.start(*CALL)
    request = await server.request()
    assert request.body == b'{"a":1}'
    server.items(request, 1, 2)
    server.send(request, "item", 3, b'"text"')
    server.end(request, 3)
    assert (await call.ends(), call.text, call.lines) == (0, '10\n20\n"text"\n', [])


async def test_an_error_comes_after_the_items(commands: Commands, server: ScriptedServer) -> None:
    call = await commands.start(*CALL, "--json")
    request = await server.request()
    server.items(request, 1)
    server.end(request, 1, moved=True)
    assert (await call.ends(), call.text) == (8, "10\n")
    error = json.loads(call.error)["error"]
    assert (error["type"], error["received"], error["executed"]) == ("StreamBroken", 1, "maybe")


@pytest.mark.parametrize(("stop", "code"), [(Command.interrupt, 130), (Command.terminate, 143)])
async def test_a_signal_cancels_the_handler(
    commands: Commands, server: ScriptedServer, stop: Callable[[Command], None], code: int
) -> None:
    call = await commands.start(*CALL)
    request = await server.request()
    server.items(request, 1)
    await server.credit()  # it has taken the item, and listens
    stop(call)
    cancel = await server.control("cancel")
    assert cancel.properties.correlation_id == request.properties.correlation_id
    assert await call.ends() == code
    assert "Cancelled" in call.error


async def test_sigterm_cancels_the_handler_where_ctrl_c_is_ignored(
    commands: Commands, server: ScriptedServer
) -> None:
    """As for a job that a script has put into the background."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        call = await commands.start_anew(*CALL)
    finally:
        signal.signal(signal.SIGINT, before)
    request = await server.request()
    server.items(request, 1)
    await server.credit()
    call.terminate()
    await server.control("cancel")
    assert await call.ends() == 143
