"""One server for the clients of before and of after, until the last one has moved."""

from __future__ import annotations

import asyncio
import logging
import os

from after import Shop
from faststream.rabbit import RabbitBroker

import leveret

broker = RabbitBroker(os.environ.get("RABBITMQ_URL", "amqp://guest:guest@localhost/"))
shop = Shop()


@broker.subscriber("shop.reserve")
async def reserve(sku: str, count: int) -> int:
    return int(await shop.reserve(sku=sku, count=count))


async def serve() -> None:
    async with broker, leveret.connect() as rabbit:
        await broker.start()
        await rabbit.serve(shop)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    asyncio.run(serve())
