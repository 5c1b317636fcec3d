"""A shop by FastStream: `python before.py serve`, and `python before.py call` elsewhere."""

from __future__ import annotations

import asyncio
import os
import sys

from faststream import FastStream
from faststream.rabbit import RabbitBroker

URL = os.environ.get("RABBITMQ_URL", "amqp://guest:guest@localhost/")

broker = RabbitBroker(URL)
app = FastStream(broker)
stock = {"carrot": 10}


class OutOfStock(Exception):
    pass


@broker.subscriber("shop.reserve")
async def reserve(sku: str, count: int) -> int:
    left = stock.get(sku, 0) - count
    if left < 0:
        raise OutOfStock(sku)
    stock[sku] = left
    return left


@app.after_startup
async def tell() -> None:
    print("serving", flush=True)


async def call() -> None:
    async with RabbitBroker(URL, logger=None) as client:
        reply = await client.request({"sku": "carrot", "count": 2}, "shop.reserve", timeout=5)
        print(f"{await reply.decode()} carrots left")
        try:
            await client.request({"sku": "turnip", "count": 1}, "shop.reserve", timeout=1)
        except TimeoutError:
            print("no answer for a turnip")


if __name__ == "__main__":
    asyncio.run(app.run() if sys.argv[1:] == ["serve"] else call())
