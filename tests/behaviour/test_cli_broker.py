"""`leveret broker`: it says where it listens, serves any client, and ends in good order."""

from __future__ import annotations

import re
import signal
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import leveret
from leveret.errors import PermissionDenied, Unauthenticated
from tests.behaviour.cli_commands import Command, Commands
from tests.behaviour.cli_service import Desk

IN_USE = (
    "leveret: cannot listen on localhost:{port}: the port is in use, maybe by another broker."
    " Choose one with --port, or any free one with --port 0"
)


@pytest.fixture
async def commands(tmp_path: Path) -> AsyncIterator[Commands]:
    async with Commands(tmp_path, "") as commands:
        yield commands


async def start(commands: Commands, *args: str) -> tuple[Command, str]:
    """A broker on a free port, and host and port where it listens."""
    broker = await commands.start("broker", "--port", "0", *args)
    (said,) = await broker.says(r"embedded AMQP broker on (\S+:\d+): in memory, for development")
    return broker, said[1]


async def test_it_says_that_it_is_in_memory_and_prints_its_url(commands: Commands) -> None:
    broker, place = await start(commands)
    broker.terminate()
    assert await broker.ends() == 0
    assert broker.text == f"amqp://guest:guest@{place}/\n"
    assert "production is RabbitMQ" in broker.error


async def test_calls_go_through_it_between_processes(commands: Commands) -> None:
    _, place = await start(commands)
    url = f"amqp://guest:guest@{place}/"
    async with leveret.connect(url) as rabbit, rabbit.serving(Desk()):
        call = await commands.run("call", "desk.fib", "n=30", url=url)
    assert (call.text, call.process.returncode) == ("832040\n", 0)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_ends_it_with_exit_code_0_and_clients_are_told_why(
    commands: Commands, number: signal.Signals
) -> None:
    broker, place = await start(commands)
    async with leveret.connect(f"amqp://{place}/", reconnect=False) as rabbit:
        broker.process.send_signal(number)
        assert await broker.ends() == 0
        with pytest.raises(leveret.ConnectionLost, match="shutdown"):
            await rabbit.call("desk.fib", n=30)
    assert not any("Traceback" in line for line in broker.lines)


async def test_a_port_in_use_is_one_line_that_says_what_to_do(commands: Commands) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        broker = await commands.run("broker", "--port", str(port))
    assert broker.process.returncode == 14
    assert broker.error == IN_USE.format(port=port)
    assert broker.text == ""


@pytest.mark.parametrize("host", ["192.0.2.1", "host.invalid"])
async def test_a_host_that_is_not_this_machine_is_one_line(commands: Commands, host: str) -> None:
    broker = await commands.run("broker", "--port", "0", "--host", host)
    assert broker.process.returncode == 14
    assert re.match(rf"leveret: cannot listen on {host}:0: .", broker.error)


async def test_users_and_vhosts_are_those_that_it_was_given(commands: Commands) -> None:
    broker, place = await start(commands, "--users", "ann:a:b,bob:c", "--vhosts", "shop,a/b")
    for user in ("ann:a%3Ab", "bob:c"):
        for vhost in ("shop", "a%2Fb"):
            async with leveret.connect(f"amqp://{user}@{place}/{vhost}"):
                pass
    with pytest.raises(Unauthenticated):
        await leveret.connect(f"amqp://guest:guest@{place}/shop")
    with pytest.raises(PermissionDenied):
        await leveret.connect(f"amqp://ann:a%3Ab@{place}/")
    broker.terminate()
    await broker.ends()
    assert broker.text == f"amqp://ann:a%3Ab@{place}/shop\n"


@pytest.mark.parametrize(
    ("option", "value", "complaint"),
    [
        ("--users", "ann", "users have the form name:password,name:password"),
        ("--users", "ann:a,,bob:b", "users have the form name:password,name:password"),
        ("--users", "ann:a,ann:b", "the user 'ann' is given twice"),
        ("--vhosts", "a,,b", "'a,,b' is not in the form name,name"),
        ("--vhosts", "a,a", "'a,a' is not in the form name,name"),
    ],
)
async def test_users_and_vhosts_that_cannot_be_read_are_wrong_usage(
    commands: Commands, option: str, value: str, complaint: str
) -> None:
    broker = await commands.run("broker", "--port", "0", option, value)
    assert broker.process.returncode == 2
    assert complaint in "\n".join(broker.lines)


async def test_guest_on_a_network_is_warned_of(commands: Commands) -> None:
    broker = await commands.start("broker", "--port", "0", "--host", "0.0.0.0")
    await broker.says("WARNING .* others on the network can log in as guest: give it --users")
