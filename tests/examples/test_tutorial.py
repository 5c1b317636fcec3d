"""The tutorial's example as its README tells, and the demo: in processes, on either broker."""

from __future__ import annotations

import asyncio
import re
import secrets
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pika
import pytest
from pika.exceptions import ChannelClosedByBroker

import leveret
from leveret import Service, method, service_schema
from leveret.contract import spec_of
from leveret.demo.fibonacci import Fibonacci
from leveret.demo.warehouse import Warehouse
from tests.docs.shell import Shell
from tests.interop.programs import TUTORIAL, run, running

DEMO = TUTORIAL / "demo.py"
_PATIENCE = 150.0
"""Seconds for a whole demo: it takes three, and a busy machine many more."""


class Impostor(Service, name="fibonacci"):
    """Serves the demo's method, and does it wrong."""

    @method
    async def fib(self, n: int) -> int:
        return n


def commands_of_the_readme() -> list[tuple[Path, list[str], str]]:
    """The programs that README.md says to run, with their arguments and what each shall print."""
    readme = (TUTORIAL / "README.md").read_text()
    block = readme.partition("```sh\n")[2].partition("```")[0]
    commands = []
    for line in block.splitlines():
        command, _, comment = line.partition("#")
        python, script, *arguments = command.split()
        assert python == "python", f"README.md has a line that is no python command: {line}"
        commands.append((TUTORIAL / script, arguments, comment.strip()))
    return commands


async def test_the_readmes_commands_print_what_it_says(rabbitmq_url: str) -> None:
    (server, _, _), *clients = commands_of_the_readme()
    assert len(clients) == 2
    async with running(server, url=rabbitmq_url) as serving:
        await serving.says("serving fibonacci")
        for script, arguments, comment in clients:
            printed = await run(script, *arguments, url=rabbitmq_url)
            assert printed == comment.partition(", by")[0] == "fib(30) = 832040"
        serving.process.terminate()
        assert await serving.ends() == 0


async def test_two_servers_of_the_tutorial_answer_a_client_that_asks_for_another_number(
    rabbitmq_url: str,
) -> None:
    queue = f"rpc_queue.{secrets.token_hex(4)}"
    async with (
        running(TUTORIAL / "rpc_server.py", queue, url=rabbitmq_url) as one,
        running(TUTORIAL / "rpc_server.py", queue, url=rabbitmq_url) as other,
    ):
        await one.says("serving fibonacci")
        await other.says("serving fibonacci")
        client = TUTORIAL / "rpc_client.py"
        assert await run(client, "100", url=rabbitmq_url) == "fib(100) = 354224848179261915075"
        assert await run(client, "10", queue, url=rabbitmq_url) == "fib(10) = 55"


@pytest.mark.slow
async def test_the_demo_shows_how_calls_fail_and_leaves_the_queues_that_were_there_before(
    broker_url: str, broker_kind: str
) -> None:
    delete_queues(broker_url)
    if broker_kind == "embedded":  # and none on the other: a demo takes a while
        async with leveret.connect(broker_url) as rabbit, rabbit.serving(Fibonacci()):
            pass
    before = queues(broker_url)
    assert (before == set()) == (broker_kind == "rabbitmq")
    told_as_promised(await run(DEMO, url=broker_url))
    assert queues(broker_url) == before
    delete_queues(broker_url)


QUEUES = [
    "rpc_queue",
    *(
        spec.queue_name
        for kind in (Fibonacci, Warehouse)
        for spec in spec_of(kind).methods.values()
    ),
]
"""What the demo's servers declare."""


def queues(url: str) -> set[str]:
    """Those of the demo's queues that are there."""
    found = set()
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        for name in QUEUES:
            try:
                connection.channel().queue_declare(name, passive=True)
                found.add(name)
            except ChannelClosedByBroker:
                pass
    return found


def delete_queues(url: str) -> None:
    """Where all tests share one vhost, those of other tests are there."""
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        for name in QUEUES:
            connection.channel().queue_delete(name)


@pytest.mark.slow
async def test_the_command_of_the_demo_brings_a_broker_where_none_is_named(tmp_path: Path) -> None:
    async with Shell(tmp_path, "").running("leveret", "demo") as process:
        async with asyncio.timeout(_PATIENCE):
            out, errors = map(bytes.decode, await process.communicate())
        assert process.returncode == 0, errors
    assert out.startswith("Leveret on an embedded broker")
    assert "Traceback" not in errors
    told_as_promised(out)


def told_as_promised(said: str) -> None:
    shown = re.findall(r"^      (\w+): .*?\n      executed: (\w+)$", said, re.MULTILINE | re.DOTALL)
    assert shown == [
        ("Unimplemented", "no"),
        ("InvalidArgument", "no"),
        ("InvalidArgument", "no"),
        ("OutOfStock", "yes"),
        ("RemoteError", "yes"),
        ("DeadlineExceeded", "yes"),
        ("Busy", "no"),
        ("DeadlineExceeded", "no"),
        ("MaybeExecuted", "maybe"),
        ("NoServer", "no"),
    ]
    assert said.count("832040") == 3
    assert said.count("exit code 0") == 2
    assert "Traceback" not in said
    assert said.splitlines()[-1].startswith("All of it went as told")


def test_the_demo_has_the_tutorials_service() -> None:
    found = spec_from_file_location("tutorial_fibonacci", TUTORIAL / "fibonacci.py")
    assert found is not None
    assert found.loader is not None
    module = module_from_spec(found)
    found.loader.exec_module(module)
    assert service_schema(module.Fibonacci) == service_schema(Fibonacci)


@pytest.mark.slow
async def test_the_demo_fails_when_a_server_computes_something_else(rabbitmq_url: str) -> None:
    async with (
        leveret.connect(rabbitmq_url) as rabbit,
        rabbit.serving(Impostor()),
        running(DEMO, url=rabbitmq_url) as demo,
    ):
        await demo.says("This is not as it should be: fib(30) is 832040")
        assert await demo.ends() == 1


async def test_the_demo_fails_where_no_broker_answers() -> None:
    async with running(DEMO, url="amqp://guest:secret@127.0.0.1:1/") as demo:
        await demo.says("The demo broke off, on RabbitMQ at 127.0.0.1:1/")
        assert await demo.ends() == 1
    assert "secret" not in demo.output
    assert "Traceback" not in demo.output
