"""Scripted clients, each on a connection of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.behaviour.amqp.script import Client, Connect, Lane


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
