"""A shop by nameko: `python before.py serve`, and `python before.py call` elsewhere."""

from __future__ import annotations

import os
import sys

import eventlet

eventlet.monkey_patch()

from nameko.exceptions import RemoteError  # noqa: E402 - after the patch, as nameko wants it
from nameko.rpc import rpc  # noqa: E402
from nameko.runners import ServiceRunner  # noqa: E402
from nameko.standalone.rpc import ClusterRpcProxy  # noqa: E402

URL = os.environ.get("RABBITMQ_URL", "amqp://guest:guest@localhost/")


class OutOfStock(Exception):
    pass


class Shop:
    name = "shop"
    stock = {"carrot": 10}

    @rpc
    def reserve(self, sku: str, count: int) -> int:
        left = self.stock.get(sku, 0) - count
        if left < 0:
            raise OutOfStock(sku)
        self.stock[sku] = left
        return left


def serve() -> None:
    runner = ServiceRunner({"AMQP_URI": URL})
    runner.add_service(Shop)
    runner.start()
    print("serving", flush=True)
    runner.wait()


def call() -> None:
    with ClusterRpcProxy({"AMQP_URI": URL}, timeout=5) as services:
        print(f"{services.shop.reserve('carrot', 2)} carrots left")
        try:
            services.shop.reserve("turnip", 1)
        except RemoteError as error:
            print(f"no {error.value} left")


if __name__ == "__main__":
    if sys.argv[1:] == ["serve"]:
        serve()
    else:
        call()
