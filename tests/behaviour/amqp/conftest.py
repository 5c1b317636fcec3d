"""Scripted clients, each on a connection of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.behaviour.amqp.script import PROTOCOL_HEADER, Client, Connect, Lane, Wire


@pytest.fixture
async def connect(broker_url: str) -> AsyncIterator[Connect]:
    """Opens connections, and closes what the test left open."""
    opened: list[Client] = []

    async def connect(url: str = broker_url, **options: object) -> Client:
        opened.append(await Client.connect(url, **options))  # type: ignore[arg-type]
        return opened[-1]

    yield connect
    for one in opened:
        await one.close()


@pytest.fixture
async def since_4(broker_url: str) -> bool:
    """Whether it says of itself that it is RabbitMQ 4 or later; the embedded one says 3.10."""
    wire = await Wire.dial(broker_url)
    wire.write(PROTOCOL_HEADER)
    start = await wire.method()
    await wire.hang_up()
    return int(start.server_properties["version"].split(".")[0]) >= 4


@pytest.fixture
async def amqp(connect: Connect) -> Client:
    """A connection."""
    return await connect()


@pytest.fixture
async def other(connect: Connect) -> Client:
    """Another connection."""
    return await connect()


@pytest.fixture
async def ch(amqp: Client) -> Lane:
    """A channel."""
    return await amqp.channel()


@pytest.fixture
async def ch2(amqp: Client) -> Lane:
    """Another channel of the same connection."""
    return await amqp.channel()


@pytest.fixture
async def far(other: Client) -> Lane:
    """A channel of another connection."""
    return await other.channel()


@pytest.fixture
def vhost(amqp: Client) -> str:
    """The vhost's name, as reply texts have it."""
    return amqp.vhost
