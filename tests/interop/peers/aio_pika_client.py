"""The tutorial's client for aio-pika: `aio_pika_client.py QUEUE BODY...` prints the answers.

Written from the protocol: one exclusive reply queue, a future per `correlation_id`. All requests
are in flight at once.
"""

from __future__ import annotations

import asyncio
import os
import sys
import uuid
from typing import Self

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage, AbstractQueue


class FibonacciRpcClient:
    """Hands each answer to the call whose correlation id it has."""

    def __init__(self, queue: str, channel: AbstractChannel, replies: AbstractQueue) -> None:
        self.queue = queue
        self.channel = channel
        self.replies = replies
        self.futures: dict[str, asyncio.Future[bytes]] = {}

    @classmethod
    async def open(cls, queue: str, channel: AbstractChannel) -> Self:
        client = cls(queue, channel, await channel.declare_queue(exclusive=True))
        await client.replies.consume(client.on_reply, no_ack=True)
        return client

    async def on_reply(self, message: AbstractIncomingMessage) -> None:
        if message.correlation_id in self.futures:
            self.futures.pop(message.correlation_id).set_result(message.body)

    async def call(self, text: str) -> str:
        correlation_id = str(uuid.uuid4())
        self.futures[correlation_id] = asyncio.get_running_loop().create_future()
        request = aio_pika.Message(
            text.encode(),
            content_type="text/plain",
            correlation_id=correlation_id,
            reply_to=self.replies.name,
        )
        await self.channel.default_exchange.publish(request, routing_key=self.queue)
        return (await self.futures[correlation_id]).decode()


async def main(queue: str, *requests: str) -> None:
    async with await aio_pika.connect(os.environ["LEVERET_URL"]) as connection:
        client = await FibonacciRpcClient.open(queue, await connection.channel())
        for answer in await asyncio.gather(*map(client.call, requests)):
            print("answer:", answer, flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
