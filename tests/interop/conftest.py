"""A queue of the tutorial's kind that is this test's alone, also on a shared broker."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator

import aio_pika
import pytest
from aio_pika.abc import AbstractChannel


@pytest.fixture
def queue() -> str:
    return f"rpc_queue.{secrets.token_hex(4)}"


@pytest.fixture
async def channel(rabbitmq_url: str, queue: str) -> AsyncIterator[AbstractChannel]:
    """A channel of aio-pika's, to speak the protocol message by message."""
    async with await aio_pika.connect(rabbitmq_url) as connection:
        yield await connection.channel()
        async with await connection.channel() as last:
            await last.queue_delete(queue)
