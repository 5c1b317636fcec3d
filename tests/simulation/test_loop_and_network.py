"""The simulated loop and network behave as real ones, on a clock that nobody waits for."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Coroutine
from typing import Any

import pytest

from tests.simulation.network import Network
from tests.simulation.stand_ins import in_place
from tests.simulation.trace import Trace
from tests.simulation.world import EPOCH, Pause, Process, Stuck, World


class Heard(asyncio.Protocol):
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.data = b""
        self.told: list[str] = []
        self.transport: asyncio.Transport

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.told.append("made")

    def data_received(self, data: bytes) -> None:
        self.data += data

    def connection_lost(self, exc: Exception | None) -> None:
        self.told.append("lost" if exc is None else type(exc).__name__)

    def pause_writing(self) -> None:
        self.told.append("paused")

    def resume_writing(self) -> None:
        self.told.append("resumed")


class Pair:
    """A client and a server with one connection between them."""

    def __init__(self) -> None:
        self.world = World(1, Trace())
        self.network = Network(self.world, 1)
        self.far = Process(self.world, "far", self.network.of)
        self.near = Process(self.world, "near", self.network.of)
        self.server, self.client = Heard(), Heard()

    async def _listen(self) -> None:
        await self.far.loop.create_server(lambda: self.server, "10.0.0.1", 1)

    async def _connect(self) -> None:
        with socket.socket() as sock:
            await self.near.loop.sock_connect(sock, ("10.0.0.1", 1))
            await self.near.loop.create_connection(lambda: self.client, sock=sock)

    def do(self, process: Process, what: Coroutine[Any, Any, Any]) -> None:
        task = process.start(what)
        self.world.run(task.done)
        task.result()

    def connect(self) -> None:
        self.do(self.far, self._listen())
        self.do(self.near, self._connect())
        self.world.run(lambda: "made" in self.server.told)


@pytest.fixture
def pair() -> Pair:
    made = Pair()
    made.connect()
    return made


def test_a_long_sleep_takes_no_time() -> None:
    world = World(1, Trace())
    process = Process(world, "one", Network(world, 1).of)
    began = time.perf_counter()
    task = process.start(asyncio.sleep(500.0, "slept"))
    world.run(task.done)
    assert task.result() == "slept"
    assert world.now >= 500.0
    assert time.perf_counter() - began < 100.0


def test_bytes_arrive_in_order_and_whole(pair: Pair) -> None:
    sent = b"".join(n.to_bytes(2) for n in range(20_000))
    for start in range(0, len(sent), 1000):
        pair.near.call(pair.client.transport.write, sent[start : start + 1000])
    pair.world.run(lambda: len(pair.server.data) >= len(sent))
    assert pair.server.data == sent


def test_a_peer_that_does_not_read_pauses_the_writer_and_resumes_it(pair: Pair) -> None:
    pair.far.call(pair.server.transport.pause_reading)
    pair.near.call(pair.client.transport.write, b"x" * 1_000_000)
    pair.world.run(lambda: "paused" in pair.client.told)
    pair.far.call(pair.server.transport.resume_reading)
    pair.world.run(lambda: "resumed" in pair.client.told)
    assert len(pair.server.data) > 500_000


def test_what_was_written_before_a_close_arrives_before_the_end(pair: Pair) -> None:
    pair.near.call(pair.client.transport.write, b"last words")
    pair.near.call(pair.client.transport.close)
    pair.world.run(lambda: "lost" in pair.server.told)
    assert pair.server.data == b"last words"
    assert pair.client.told == ["made", "lost"]


def test_a_cut_is_told_to_both_ends(pair: Pair) -> None:
    [wire] = pair.network.wires.values()
    wire.cut(clean=False)
    pair.world.run(lambda: len(pair.client.told) == len(pair.server.told) == 2)
    assert pair.client.told == pair.server.told == ["made", "ConnectionResetError"]
    assert not pair.network.wires


def test_what_a_half_open_connection_swallows_is_told_to_nobody(pair: Pair) -> None:
    [wire] = pair.network.wires.values()
    wire.swallow(wire.server)
    pair.near.call(pair.client.transport.write, b"lost")
    with pytest.raises(Stuck, match="nothing is left"):
        pair.world.run(lambda: bool(pair.server.data))
    assert pair.client.told == pair.server.told == ["made"]


def test_a_process_that_is_killed_runs_nothing_more_and_its_peer_hears_of_it(pair: Pair) -> None:
    ran: list[int] = []

    async def count() -> None:
        while True:
            ran.append(1)
            await asyncio.sleep(0)

    task = pair.near.start(count())
    pair.world.run(lambda: len(ran) > 10)
    pair.near.kill(handles=3)
    pair.world.run(lambda: not pair.near.alive)
    before = len(ran)
    pair.world.run(lambda: len(pair.server.told) == 2)
    assert len(ran) == before
    assert not task.done()


def test_a_suspended_process_has_lost_its_own_time_but_not_the_time_of_day() -> None:
    world = World(1, Trace())
    process = Process(world, "one", Network(world, 1).of)
    clocks: list[tuple[float, float]] = []

    async def look() -> None:
        for _ in range(2):
            clocks.append((time.monotonic(), time.time()))
            await asyncio.sleep(0.1)

    with in_place(world, 1):
        task = process.start(look())
        world.run(lambda: bool(clocks))
        process.pause(5.0, suspended=True)
        world.run(task.done)
    (before, at), (after, then) = clocks
    assert after - before < 0.2
    assert then - at > 5.0
    assert at >= EPOCH


def test_a_pause_makes_nothing_late_in_a_span_that_ended_before_it_started() -> None:
    """As from shortly before a deadline to the end of a call that ended long before."""
    pause = Pause(since=1.0, till=5.0, suspended=False)
    assert pause.within(4.0, 2.0) == 0.0
    assert pause.within(2.0, 4.0) == 2.0
    assert pause.within(4.0, 9.0) == 1.0


def test_a_refused_connection_is_refused() -> None:
    made = Pair()
    with pytest.raises(ConnectionRefusedError):
        made.do(made.near, made._connect())
