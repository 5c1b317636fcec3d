"""The same by Leveret: `python after.py serve`, and `python after.py call` elsewhere."""

from __future__ import annotations

import logging
import sys

import leveret
import leveret.blocking
from leveret import DeclaredError, Service, method


class OutOfStock(DeclaredError):
    sku: str


class Shop(Service):
    def __init__(self) -> None:
        self.stock = {"carrot": 10}

    @method(timeout=5, raises=[OutOfStock], concurrency=1)
    def reserve(self, sku: str, count: int) -> int:
        left = self.stock.get(sku, 0) - count
        if left < 0:
            raise OutOfStock(sku=sku)
        self.stock[sku] = left
        return left


async def serve() -> None:
    async with leveret.connect() as rabbit:
        await rabbit.serve(Shop())


def call() -> None:
    with leveret.blocking.connect() as rabbit:
        shop = rabbit.remote(Shop)
        print(f"{rabbit.run(shop.reserve('carrot', 2))} carrots left")
        try:
            rabbit.run(shop.reserve("turnip", 1))
        except OutOfStock as error:
            print(f"no {error.sku} left")


if __name__ == "__main__":
    if sys.argv[1:] == ["serve"]:
        logging.basicConfig(level=logging.INFO, format="%(message)s")
        leveret.run(serve())
    else:
        call()
