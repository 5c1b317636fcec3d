"""FastStream's `broker.request()`, over direct reply-to.

FastStream makes one request at a time per broker object, so more calls in flight wait for its lock.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from faststream.rabbit import (
    RabbitBroker,
    RabbitQueue,
)

from ..load import Calls

INCREMENT = RabbitQueue("bench.faststream.increment", durable=False, auto_delete=True)
ECHO = RabbitQueue("bench.faststream.echo", durable=False, auto_delete=True)
TIMEOUT = 60.0  # seconds for one request; without it a lost reply would wait for ever


async def _increment(n: int) -> int:
    return n + 1


async def _echo(body: bytes) -> bytes:
    return body


@asynccontextmanager
async def serving(address: str) -> AsyncIterator[str]:
    """Two subscribers, whose results are the replies."""
    broker = RabbitBroker(address, logger=None)
    broker.subscriber(INCREMENT)(_increment)
    broker.subscriber(ECHO)(_echo)
    async with broker:
        await broker.start()
        yield address


class RequestClient:
    """Requests by queue name; a reply's body is decoded as FastStream does it."""

    def __init__(self, broker: RabbitBroker) -> None:
        self._broker = broker

    async def increment(self, n: int) -> int:
        """Return n + 1, counted by the server."""
        reply = await self._broker.request(n, INCREMENT.name, timeout=TIMEOUT)
        return int(str(await reply.decode()))

    async def echo(self, body: bytes) -> bytes:
        """Return what the server sent back."""
        reply = await self._broker.request(body, ECHO.name, timeout=TIMEOUT)
        return bytes(reply.body)


@asynccontextmanager
async def calling(address: str) -> AsyncIterator[Calls]:
    """A connected broker object."""
    async with RabbitBroker(address, logger=None) as broker:
        await broker.connect()
        yield RequestClient(broker)
