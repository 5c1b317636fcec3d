"""The tutorial's server for aio-pika: `aio_pika_server.py QUEUE` computes fib until killed."""

from __future__ import annotations

import asyncio
import os
import sys

import aio_pika


def fib(n: int) -> int:
    return n if n < 2 else fib(n - 1) + fib(n - 2)


async def main(queue_name: str) -> None:
    async with await aio_pika.connect(os.environ["LEVERET_URL"]) as connection:
        channel = await connection.channel()
        await channel.set_qos(prefetch_count=1)
        queue = await channel.declare_queue(queue_name, durable=True)
        async with queue.iterator() as requests:
            print("awaiting requests", flush=True)
            async for request in requests:
                async with request.process(requeue=False):
                    assert request.reply_to is not None
                    answer = aio_pika.Message(
                        str(fib(int(request.body))).encode(),
                        correlation_id=request.correlation_id,
                    )
                    print("answered", request.body.decode(), flush=True)
                    await channel.default_exchange.publish(answer, routing_key=request.reply_to)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
