"""`rabbit.serve`: until a signal, or until it cannot go on; and the queues it finds and makes."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from leveret import Cancelled, ConnectionLost, Rabbit, Service, TopologyError, method
from tests.behaviour import serving_program
from tests.behaviour.crashing import crash
from tests.behaviour.patience import PATIENCE, at_once, until, until_found
from tests.behaviour.raw import RawPeer
from tests.behaviour.services import Echo, Gate
from tests.behaviour.serving_program import Program

QUEUE = "leveret.program.hold"

Start = Callable[[float], "subprocess.Popen[str]"]


class Bounded(Service):
    @method(max_length=5, priority_levels=3, expires=3600)
    async def work(self) -> None:
        pass


@pytest.fixture
def start(rabbitmq_url: str) -> Iterator[Start]:
    """Runs the program with some seconds of grace; kills what still runs at the end."""
    running: list[subprocess.Popen[str]] = []

    def start(grace: float) -> subprocess.Popen[str]:
        command = [sys.executable, serving_program.__file__, rabbitmq_url, str(grace)]
        pipe = subprocess.PIPE
        running.append(subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True))
        return running[-1]

    yield start
    for program in running:
        program.kill()
        program.communicate()


async def ended(program: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = await asyncio.to_thread(program.communicate, timeout=PATIENCE)
    return program.returncode, out, err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_ends_serve_with_exit_code_0(
    client: Rabbit, start: Start, number: signal.Signals
) -> None:
    program = start(30)
    remote = client.remote(Program).with_options(wait_for_server=True)
    assert await remote.pid() == program.pid
    program.send_signal(number)
    assert await ended(program) == (0, "left\ndone\n", "")


async def test_a_signal_lets_running_calls_end(
    client: Rabbit, start: Start, raw: RawPeer, tmp_path: Path
) -> None:
    program = start(30)
    remote = client.remote(Program).with_options(wait_for_server=True)
    call = asyncio.create_task(remote.hold(str(tmp_path)))
    await until((tmp_path / "began").exists, "the call runs")
    program.send_signal(signal.SIGTERM)
    await until_found(lambda: raw.consumers(QUEUE), 0, "the server drains")
    (tmp_path / "go").touch()
    assert await call == "held"
    assert await ended(program) == (0, "left\ndone\n", "")


async def test_a_second_signal_cuts_the_drain_short(
    client: Rabbit, start: Start, raw: RawPeer, tmp_path: Path
) -> None:
    program = start(600)
    remote = client.remote(Program).with_options(wait_for_server=True)
    call = asyncio.create_task(remote.hold(str(tmp_path)))
    await until((tmp_path / "began").exists, "the call runs")
    program.send_signal(signal.SIGTERM)
    await until_found(lambda: raw.consumers(QUEUE), 0, "the server drains")
    program.send_signal(signal.SIGTERM)
    with pytest.raises(Cancelled):
        await call
    assert (tmp_path / "cancelled").exists()
    code, out, _ = await ended(program)
    assert (code, out) == (0, "left\ndone\n")


async def test_serve_ends_when_it_is_cancelled(host: Rabbit, client: Rabbit) -> None:
    serve = asyncio.create_task(host.serve(Echo()))
    assert await client.remote(Echo).with_options(wait_for_server=True).echo("x") == "x"
    serve.cancel()
    with suppress(asyncio.CancelledError):
        await serve
    assert serve.cancelled()


async def test_serve_raises_when_the_connection_breaks(
    mortal_host: Rabbit, client: Rabbit, raw: RawPeer
) -> None:
    serve = asyncio.create_task(mortal_host.serve(Echo()))
    await client.remote(Echo).with_options(wait_for_server=True).echo("x")
    crash(mortal_host)
    async with at_once():
        with pytest.raises(ConnectionLost, match="the test let it crash"):
            await serve


async def test_a_server_goes_on_when_the_broker_closes_one_of_its_channels(
    host: Rabbit, client: Rabbit
) -> None:
    echo = client.remote(Echo).with_options(wait_for_server=True)
    async with host.serving(Echo()) as server:
        before = server.subscriptions[0].channel
        before.ack(99)  # there is no such delivery
        await until(lambda: before.closed is not None, "the broker closes the channel")
        assert await echo.echo("x") == "x"
        assert server.subscriptions[0].channel is not before
        assert host.state == "connected"


async def test_a_queue_with_other_options_is_a_topology_error_that_says_what_to_do(
    host: Rabbit, raw: RawPeer
) -> None:
    await raw.declare("leveret.bounded.work", x_max_length=6)
    with pytest.raises(TopologyError, match=r"'leveret\.bounded\.work'.*other options.*Delete it"):
        await host.serve(Bounded())
    await raw.delete("leveret.bounded.work")
    async with host.serving(Bounded()):
        pass


async def test_a_queue_has_the_arguments_that_its_method_asks_for(
    host: Rabbit, raw: RawPeer
) -> None:
    async with host.serving(Bounded(), Echo()):
        # Declaring it once more succeeds with the same arguments only.
        await raw.declare("leveret.echo.echo", x_dead_letter_exchange="")
        await raw.declare(
            "leveret.bounded.work",
            x_dead_letter_exchange="",
            x_max_length=5,
            x_overflow="reject-publish-dlx",
            x_max_priority=3,
            x_expires=3_600_000,
        )


async def test_a_queue_that_an_operator_deletes_is_declared_again(
    host: Rabbit, client: Rabbit, raw: RawPeer
) -> None:
    async with host.serving(Echo()):
        for text in ("a", "b"):
            await raw.delete("leveret.echo.echo")
            await until_found(lambda: raw.exists("leveret.echo.echo"), True, "it is back")
            await until_found(lambda: raw.consumers("leveret.echo.echo"), 1, "it is served")
            assert await client.remote(Echo).echo(text) == text


async def test_calls_go_on_that_run_while_their_queue_is_deleted(
    host: Rabbit, client: Rabbit, raw: RawPeer
) -> None:
    gate = Gate()
    async with host.serving(gate):
        call = asyncio.create_task(client.remote(Gate).once(1))
        await gate.started.get()
        await raw.delete("leveret.gate.once")
        await until_found(lambda: raw.exists("leveret.gate.once"), True, "it is back")
        gate.opened.set()
        assert await call == 1


async def test_a_queue_that_is_deleted_during_a_drain_stays_away(
    host: Rabbit, client: Rabbit, raw: RawPeer
) -> None:
    gate = Gate()
    async with host.serving(gate) as server:
        call = asyncio.create_task(client.remote(Gate).once(1))
        await gate.started.get()
        drain = asyncio.create_task(server.drain())
        await until_found(lambda: raw.consumers("leveret.gate.once"), 0, "the server drains")
        await raw.delete("leveret.gate.once")
        gate.opened.set()
        assert await call == 1
        await drain
    assert not await raw.exists("leveret.gate.once")
