"""`rabbit.serve`: until a signal, or until it cannot go on; and the queues it finds and makes."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Self

import pytest

import leveret
from leveret import Cancelled, ConnectionLost, Rabbit, Service, TopologyError, method
from leveret.amqp.properties import Properties
from leveret.once import MemoryOnce
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


class Starting(Service, name="starting"):
    def __init__(self, log: list[str]) -> None:
        self.log = log

    async def __aenter__(self) -> Self:
        self.log.append("one entered")
        return self

    async def __aexit__(self, *error: object) -> None:
        self.log.append("one left")

    @method
    async def use(self) -> None:
        pass


class Starting2(Starting, name="starting2"):
    async def __aenter__(self) -> Self:
        self.log.append("two hangs")
        try:
            await asyncio.Event().wait()
        finally:
            self.log.append("two cancelled")
        return self


class HangingStore(MemoryOnce):
    def __init__(self, log: list[str]) -> None:
        super().__init__()
        self.log = log

    async def __aenter__(self) -> Self:
        self.log.append("the store hangs")
        await asyncio.Event().wait()
        return self


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


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_ends_a_start_that_hangs_and_leaves_what_was_entered(
    host: Rabbit, caplog: pytest.LogCaptureFixture, number: signal.Signals
) -> None:
    caplog.set_level(logging.INFO, "leveret.server")
    log: list[str] = []
    serve = asyncio.create_task(host.serve(Starting(log), once=HangingStore(log)))
    await until(lambda: log == ["the store hangs"], "it starts")
    signal.raise_signal(number)
    async with at_once():
        await serve
    assert "stopped before it served" in caplog.text
    serve = asyncio.create_task(host.serve(Starting(log), Starting2(log)))
    await until(lambda: log[1:] == ["one entered", "two hangs"], "it starts")
    signal.raise_signal(number)
    async with at_once():
        await serve
    assert log[3:] == ["two cancelled", "one left"]


async def test_a_host_program_hears_its_signals_while_a_server_runs_in_it(
    host: Rabbit, client: Rabbit
) -> None:
    heard: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: heard.append(number))
    try:
        ours = signal.getsignal(signal.SIGTERM)
        echo = client.remote(Echo).with_options(wait_for_server=True)
        for signals, wanted in ((False, [15]), (True, [15, 15])):
            serve = asyncio.create_task(host.serve(Echo(), signals=signals))
            assert await echo.echo("x") == "x"
            signal.raise_signal(signal.SIGTERM)
            if not signals:
                assert await echo.echo("y") == "y"
                serve.cancel()
            async with at_once():
                await asyncio.wait((serve,))
            assert (serve.cancelled(), heard) == (not signals, wanted)
            assert signal.getsignal(signal.SIGTERM) is ours
    finally:
        signal.signal(signal.SIGTERM, before)


async def test_a_server_that_is_held_serves_until_it_is_closed(
    host: Rabbit, client: Rabbit, raw: RawPeer
) -> None:
    gate = Gate()
    await host.serving(Echo())  # which nobody keeps
    server = await host.serving(gate, grace=600)
    gc.collect()
    assert await client.remote(Echo).echo("x") == "x"
    call = asyncio.create_task(client.remote(Gate).once(1))
    await gate.started.get()
    closing = asyncio.create_task(server.close())
    await until_found(lambda: raw.consumers("leveret.gate.once"), 0, "the server drains")
    gate.opened.set()
    assert await call == 1
    await closing
    await server.close()
    assert await client.remote(Echo).echo("y") == "y"


async def test_closing_a_connection_drains_the_servers_that_are_held(
    rabbitmq_url: str, client: Rabbit, raw: RawPeer
) -> None:
    gate = Gate()
    rabbit = await leveret.connect(rabbitmq_url)
    await rabbit.serving(gate)
    call = asyncio.create_task(client.remote(Gate).once(1))
    await gate.started.get()
    closing = asyncio.create_task(rabbit.close())
    await until_found(lambda: raw.consumers("leveret.gate.once"), 0, "the server drains")
    gate.opened.set()
    assert await call == 1
    await closing
    assert rabbit.state == "closed"


async def test_serving_that_is_never_begun_or_begun_twice_is_told(host: Rabbit) -> None:
    serving = host.serving(Echo())
    async with serving:
        with pytest.raises(RuntimeError, match=r"call rabbit\.serving\(...\) again"):
            await serving
    del serving
    with pytest.warns(RuntimeWarning, match="serves nothing until it is entered"):
        host.serving(Echo())


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


async def test_calls_that_came_before_a_start_failed_are_ended(host: Rabbit, raw: RawPeer) -> None:
    async with host.serving(Gate()):
        pass
    await raw.channel.consume("leveret.gate.one_by_one", lambda _delivery: None, exclusive=True)
    await raw.declare("early")
    raw.channel.publish("", "early", Properties(content_type="application/json"), b"1")
    gate = Gate()
    async with at_once():
        with pytest.raises(leveret.LeveretError, match="exclusive"):
            await host.serving(gate, plain={"early": "gate.once"})
    assert (gate.started.get_nowait(), gate.cancelled) == (1, [1])


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
