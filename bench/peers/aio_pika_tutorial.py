"""RabbitMQ's tutorial "Remote procedure call", as it is written for aio-pika.

One callback queue per client, `reply_to` and `correlation_id`, a future per call; the server takes
one request after the other from its queue's iterator. Bodies are text, or the echoed bytes.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aio_pika import Message, connect
from aio_pika.abc import (
    AbstractChannel,
    AbstractExchange,
    AbstractIncomingMessage,
    AbstractQueue,
)

from ..load import Calls

INCREMENT = "bench.aio_pika.increment"
ECHO = "bench.aio_pika.echo"


@asynccontextmanager
async def serving(address: str) -> AsyncIterator[str]:
    """Answer both queues, each in its own loop."""
    async with await connect(address) as connection:
        channel = await connection.channel()
        loops = [
            asyncio.create_task(_serve(channel.default_exchange, queue, handler))
            for queue, handler in (
                (await channel.declare_queue(INCREMENT, auto_delete=True), _increment),
                (await channel.declare_queue(ECHO, auto_delete=True), _echo),
            )
        ]
        yield address
        for loop in loops:
            loop.cancel()
        await asyncio.gather(*loops, return_exceptions=True)


def _increment(body: bytes) -> bytes:
    return str(int(body.decode()) + 1).encode()


def _echo(body: bytes) -> bytes:
    return body


async def _serve(
    exchange: AbstractExchange, queue: AbstractQueue, handler: Callable[[bytes], bytes]
) -> None:
    async with queue.iterator() as requests:
        async for request in requests:
            async with request.process(requeue=False):
                assert request.reply_to is not None
                await exchange.publish(
                    Message(body=handler(request.body), correlation_id=request.correlation_id),
                    routing_key=request.reply_to,
                )


class TutorialClient:
    """The tutorial's client, for both methods."""

    def __init__(self, channel: AbstractChannel, replies: AbstractQueue) -> None:
        self._channel = channel
        self._replies = replies
        self._futures: dict[str, asyncio.Future[bytes]] = {}

    async def on_reply(self, message: AbstractIncomingMessage) -> None:
        """Hand a reply to the call that waits for it."""
        if message.correlation_id in self._futures:
            self._futures.pop(message.correlation_id).set_result(message.body)

    async def increment(self, n: int) -> int:
        """Return n + 1, counted by the server."""
        return int(await self._call(INCREMENT, str(n).encode()))

    async def echo(self, body: bytes) -> bytes:
        """Return what the server sent back."""
        return await self._call(ECHO, body)

    async def _call(self, queue: str, body: bytes) -> bytes:
        correlation_id = str(uuid.uuid4())
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._futures[correlation_id] = future
        await self._channel.default_exchange.publish(
            Message(
                body,
                content_type="text/plain",
                correlation_id=correlation_id,
                reply_to=self._replies.name,
            ),
            routing_key=queue,
        )
        return await future


@asynccontextmanager
async def calling(address: str) -> AsyncIterator[Calls]:
    """A connection, a callback queue and its consumer."""
    async with await connect(address) as connection:
        channel = await connection.channel()
        client = TutorialClient(channel, replies := await channel.declare_queue(exclusive=True))
        await replies.consume(client.on_reply, no_ack=True)
        yield client
