"""A shop by aio_pika.patterns.RPC: `python before.py serve`, then `python before.py call`."""

from __future__ import annotations

import asyncio
import os
import sys

import aio_pika
from aio_pika.patterns import RPC
from out_of_stock import OutOfStock

URL = os.environ.get("RABBITMQ_URL", "amqp://guest:guest@localhost/")


class Shop:
    def __init__(self) -> None:
        self.stock = {"carrot": 10}

    async def reserve(self, *, sku: str, count: int) -> int:
        left = self.stock.get(sku, 0) - count
        if left < 0:
            raise OutOfStock(sku)
        self.stock[sku] = left
        return left


async def serve() -> None:
    async with await aio_pika.connect_robust(URL) as connection:
        rpc = await RPC.create(await connection.channel())
        await rpc.register("shop.reserve", Shop().reserve)
        print("serving", flush=True)
        await asyncio.Event().wait()


async def call() -> None:
    async with await aio_pika.connect_robust(URL) as connection:
        rpc = await RPC.create(await connection.channel())
        carrots = await rpc.call("shop.reserve", {"sku": "carrot", "count": 2}, expiration=5)
        print(f"{carrots} carrots left")
        try:
            await rpc.call("shop.reserve", {"sku": "turnip", "count": 1}, expiration=5)
        except OutOfStock as error:
            print(f"no {error} left")


if __name__ == "__main__":
    asyncio.run(serve() if sys.argv[1:] == ["serve"] else call())
