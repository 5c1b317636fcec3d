"""One server for the clients of before and of after, until the last one has moved."""

from __future__ import annotations

import asyncio
import logging
import os

import aio_pika
import out_of_stock
from after import OutOfStock, Shop
from aio_pika.patterns import RPC

import leveret

URL = os.environ.get("RABBITMQ_URL", "amqp://guest:guest@localhost/")


class OldShop:
    """What clients of before see: the same shop, with the errors that they know."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop

    async def reserve(self, *, sku: str, count: int) -> int:
        try:
            left: int = await self.shop.reserve(sku=sku, count=count)
        except OutOfStock as error:
            raise out_of_stock.OutOfStock(error.sku) from None
        return left


async def serve() -> None:
    shop = Shop()
    async with await aio_pika.connect_robust(URL) as connection, leveret.connect() as rabbit:
        rpc = await RPC.create(await connection.channel())
        await rpc.register("shop.reserve", OldShop(shop).reserve)
        await rabbit.serve(shop)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    asyncio.run(serve())
