"""The tutorial by aio-pika: `python before.py serve`, and `python before.py call 30` elsewhere."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import uuid

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage

log = logging.getLogger(__name__)
URL = os.environ.get("RABBITMQ_URL", "amqp://guest:guest@localhost/")


def fib(n: int) -> int:
    a, b = 0, 1
    for _ in range(n):
        a, b = b, a + b
    return a


async def serve() -> None:
    async with await aio_pika.connect(URL) as connection:
        channel = await connection.channel()
        await channel.set_qos(prefetch_count=1)
        queue = await channel.declare_queue("rpc_queue", durable=True)
        async with queue.iterator() as requests:
            print("serving", flush=True)
            async for request in requests:
                try:
                    async with request.process(requeue=False):
                        answer = aio_pika.Message(
                            str(fib(int(request.body))).encode(),
                            correlation_id=request.correlation_id,
                        )
                        await channel.default_exchange.publish(answer, str(request.reply_to))
                except Exception:
                    log.exception("a request failed")


class FibonacciClient:
    def __init__(self, channel: AbstractChannel) -> None:
        self.channel = channel
        self.replies = ""
        self.futures: dict[str | None, asyncio.Future[bytes]] = {}

    async def listen(self) -> None:
        queue = await self.channel.declare_queue(exclusive=True)
        await queue.consume(self.on_reply, no_ack=True)
        self.replies = queue.name

    async def on_reply(self, message: AbstractIncomingMessage) -> None:
        future = self.futures.pop(message.correlation_id, None)
        if future is not None:
            future.set_result(message.body)

    async def fib(self, n: int) -> int:
        call_id = str(uuid.uuid4())
        future = self.futures[call_id] = asyncio.get_running_loop().create_future()
        request = aio_pika.Message(str(n).encode(), correlation_id=call_id, reply_to=self.replies)
        await self.channel.default_exchange.publish(request, "rpc_queue")
        return int(await future)


async def call(n: int) -> None:
    async with await aio_pika.connect(URL) as connection:
        client = FibonacciClient(await connection.channel())
        await client.listen()
        print(f"fib({n}) = {await client.fib(n)}")


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["serve"]:
            asyncio.run(serve())
        case ["call", n]:
            asyncio.run(call(int(n)))
