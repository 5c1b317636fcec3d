"""The task of before asks the server of after: `celery -A both worker`, beside `after.py serve`.

So programs that still send tasks and programs that call see one stock.
"""

from __future__ import annotations

import os

import out_of_stock
from after import OutOfStock, Shop
from celery import Celery

import leveret.blocking

app = Celery(
    "both",
    broker=os.environ.get("RABBITMQ_URL", "amqp://guest:guest@localhost/"),
    backend="rpc://",
)
rabbit = leveret.blocking.connect()
shop = rabbit.remote(Shop)


@app.task(name="shop.reserve")
def reserve(sku: str, count: int) -> int:
    try:
        left: int = rabbit.run(shop.reserve(sku, count))
    except OutOfStock as error:
        raise out_of_stock.OutOfStock(error.sku) from None
    return left
