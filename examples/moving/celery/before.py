"""A shop by Celery: `celery -A before worker`, and `python before.py` elsewhere."""

from __future__ import annotations

import os

from celery import Celery
from out_of_stock import OutOfStock

app = Celery(
    "before",
    broker=os.environ.get("RABBITMQ_URL", "amqp://guest:guest@localhost/"),
    backend="rpc://",
)
stock = {"carrot": 10}


@app.task(name="shop.reserve")
def reserve(sku: str, count: int) -> int:
    left = stock.get(sku, 0) - count
    if left < 0:
        raise OutOfStock(sku)
    stock[sku] = left
    return left


def call() -> None:
    print(f"{reserve.delay('carrot', 2).get(timeout=5)} carrots left")
    try:
        reserve.delay("turnip", 1).get(timeout=5)
    except OutOfStock as error:
        print(f"no {error} left")


if __name__ == "__main__":
    call()
