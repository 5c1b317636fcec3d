from __future__ import annotations

import asyncio
import gc
import logging
import weakref

import pytest

from leveret.amqp.codes import PROTOCOL_HEADER
from leveret.broker.shared import SharedBroker, share


class Client(asyncio.Protocol):
    """Says hello, and keeps what it hears."""

    def __init__(self) -> None:
        self.heard = b""
        self.lost = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(PROTOCOL_HEADER)

    def data_received(self, data: bytes) -> None:
        self.heard += data

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set_result(exc)


async def test_a_broker_goes_when_as_many_left_as_came() -> None:
    broker = share("a")
    assert share("a") is broker
    await broker.leave()
    assert share("a") is broker
    await broker.leave()
    await broker.leave()
    again = share("a")
    assert again is not broker
    await again.leave()


async def test_a_client_connects_in_memory_and_is_hung_up_on_at_the_end() -> None:
    broker = share("b")
    client = Client()
    await broker.connect(client)
    for _ in range(10):
        await asyncio.sleep(0)
    assert b"PLAIN" in client.heard
    await broker.leave()
    assert await client.lost is None
    with pytest.raises(ConnectionRefusedError, match="embedded://b has ended"):
        await broker.connect(Client())


async def test_it_says_what_it_is_for_when_it_starts(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "leveret.broker"):
        await share("c").leave()
    (line,) = [record.message for record in caplog.records if "embedded://c" in record.message]
    assert "in memory, for development and tests; production is RabbitMQ" in line


def test_a_loop_that_ends_without_leaving_takes_its_broker_along() -> None:
    async def begin() -> weakref.ref[SharedBroker]:
        broker = share()
        await broker.connect(Client())
        return weakref.ref(broker)

    broker = asyncio.run(begin())
    gc.collect()
    assert broker() is None
