"""A server whose broker does not read: what it has to send is bounded, and the rest goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

import leveret
from leveret import DeadlineExceeded, Rabbit, Service, method
from leveret.testing import FaultProxy
from leveret.transport.connection import Connection
from tests.behaviour.patience import until
from tests.behaviour.raw import RawPeer
from tests.behaviour.services import Gate

MIB = 1024 * 1024
BOUND = 2 * MIB
"""Bytes that a connection may buffer besides the message that is being handed over."""
LONGEST_DRAIN = 45.0
"""Seconds. RabbitMQ sends heartbeats, so it counts as alive until an answer is due for too long."""


class Library(Service):
    """Has large books."""

    def __init__(self) -> None:
        self.lent = 0

    @method(timeout=60, concurrency=150)
    async def lend(self, _n: int) -> bytes:
        self.lent += 1
        return bytes(MIB)


@pytest.fixture
async def proxy(rabbitmq_url: str) -> AsyncIterator[FaultProxy]:
    async with FaultProxy(rabbitmq_url) as proxy:
        yield proxy


@pytest.fixture
async def far(proxy: FaultProxy) -> AsyncIterator[Rabbit]:
    """A connection whose line to the broker can stall."""
    async with leveret.connect(proxy.url) as rabbit:
        yield rabbit


def buffered(connection: Connection) -> int:
    """The bytes that wait in the transport, and in the batch before it."""
    transport = connection._transport
    assert transport is not None
    return transport.get_write_buffer_size() + connection.writer._out_size


async def watch(connection: Connection, most: list[int]) -> None:
    while True:
        most.append(buffered(connection))
        await asyncio.sleep(0)


async def test_large_replies_to_a_stalled_socket_are_not_all_buffered(
    proxy: FaultProxy, far: Rabbit, client: Rabbit
) -> None:
    library = Library()
    async with far.serving(library, grace=0) as server:
        connection = server.subscriptions[0].connection
        proxy.stall("to_broker")
        most = [0]
        watcher = asyncio.create_task(watch(connection, most))
        calls = [asyncio.create_task(client.remote(Library).lend(n)) for n in range(150)]
        await until(lambda: library.lent == 150, "all handlers have ended")
        await until(lambda: connection.paused, "the socket is full")
        assert len(server.calls()) == 0
        proxy.heal()
        results = await asyncio.gather(*calls)
        watcher.cancel()
    assert {len(result) for result in results} == {MIB}
    assert max(most) <= BOUND + MIB


async def test_deadlines_and_cancels_work_while_the_socket_is_stalled(
    proxy: FaultProxy, far: Rabbit, client: Rabbit
) -> None:
    library, gate = Library(), Gate()
    async with far.serving(library, gate, grace=0) as server:
        connection = server.subscriptions[0].connection
        short = client.remote(Gate).with_options(timeout=3)
        late = asyncio.create_task(short.once(1))
        left = asyncio.create_task(client.remote(Gate).once(2))
        await until(lambda: gate.started.qsize() == 2, "both run")
        proxy.stall("to_broker")
        books = [asyncio.create_task(client.remote(Library).lend(n)) for n in range(50)]
        await until(lambda: connection.paused, "the socket is full")
        left.cancel()
        await until(lambda: 2 in gate.cancelled, "the caller's cancel arrives")
        await until(lambda: 1 in gate.cancelled, "the deadline passes")
        with pytest.raises(DeadlineExceeded):
            await late
        assert connection.paused
        proxy.heal()
        assert len(await asyncio.gather(*books)) == 50


async def test_questions_to_a_server_with_a_stalled_socket_are_not_all_answered_into_its_buffer(
    proxy: FaultProxy, far: Rabbit, client: Rabbit, raw: RawPeer
) -> None:
    library = Library()
    await raw.listen()
    async with far.serving(library, grace=0) as server:
        connection = server.subscriptions[0].connection
        proxy.stall("to_broker")
        books = [asyncio.create_task(client.remote(Library).lend(n)) for n in range(50)]
        await until(lambda: connection.paused, "the socket is full")
        before = buffered(connection)
        for n in range(5_000):
            raw.control("all", "info", correlation_id=str(n))
        raw.control("library", "cancel", correlation_id="of no call", expiration="60000")
        await until(lambda: len(server.early_cancels) == 1, "the server has read them all")
        assert buffered(connection) <= before + MIB
        proxy.heal()
        assert len(await asyncio.gather(*books)) == 50
        assert (await raw.reply()).properties.type == "result"


@pytest.mark.slow
async def test_a_drain_into_a_stalled_socket_ends(
    proxy: FaultProxy, far: Rabbit, client: Rabbit
) -> None:
    library = Library()
    async with far.serving(library, grace=0) as server:
        proxy.stall("to_broker")
        calls = [asyncio.create_task(client.remote(Library).lend(n)) for n in range(50)]
        await until(lambda: server.subscriptions[0].connection.paused, "the socket is full")
        async with asyncio.timeout(LONGEST_DRAIN):
            await server.drain(grace=0)
    for call in calls:
        call.cancel()
    await asyncio.wait(calls)
