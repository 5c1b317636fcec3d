"""The services whose calls fail as docs/errors.md tells."""

from __future__ import annotations

import asyncio
import os
from typing import Annotated

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, Field

from leveret import DeclaredError, Hook, Meta, PermissionDenied, Service, method


class OutOfStock(DeclaredError):
    """There are not enough of them."""

    sku: str
    left: int


class Fibonacci(Service):
    @method(timeout=5, idempotent=True)
    async def fib(self, n: Annotated[int, Meta(ge=0, le=10_000)]) -> int:
        a, b = 0, 1
        for _ in range(n):
            a, b = b, a + b
        return a


class Shop(Service):
    """Sells carrots."""

    def __init__(self) -> None:
        self.packing = asyncio.Semaphore(0)
        """Counts the parcels that were begun."""
        self.packed = asyncio.Event()
        """Once it is set, every parcel is ready."""

    @method(raises=[OutOfStock])
    async def buy(self, sku: str, count: int) -> int:
        stock = {"carrot": 3}
        if stock[sku] < count:
            raise OutOfStock(sku, stock[sku])
        return stock[sku] - count

    @method(raises=[OutOfStock])
    async def weigh(self, sku: str) -> float:
        raise OutOfStock(sku.encode(), 3)  # type: ignore[arg-type]  # that is the mistake

    @method(timeout=30, concurrency=1)
    async def pack(self, parcel: int) -> int:
        self.packing.release()
        await self.packed.wait()
        return parcel

    @method(timeout=30, idempotent=True)
    async def count(self, sku: str) -> int:
        self.packing.release()
        await self.packed.wait()
        return 3

    @method(max_length=1, queue="quorum")
    async def order(self, sku: str) -> int:
        return len(sku)

    @method
    async def price(self, sku: str) -> float:
        return "1.50"  # type: ignore[return-value]  # that is the mistake

    @method
    async def empty_the_till(self) -> int:
        raise PermissionDenied("only the owner may do this")


class Depot(Service):
    """Gives its work to several tasks."""

    @method
    async def restock(self) -> int:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._fetch("turnip"))
            tasks.create_task(self._fetch("carrot"))
        return 2

    async def _fetch(self, sku: str) -> None:
        if {"carrot": -1}[sku] < 0:
            raise ValueError("-1 pieces")


class Line(BaseModel):
    """One line of an order."""

    sku: str
    count: int = Field(ge=1)


class Money:
    """An amount with its currency, as one text."""

    def __init__(self, text: str) -> None:
        if text.endswith("XXX"):
            raise ValueError("XXX is no currency")
        self.text = text


class Stock(Service, types=[Hook(Money, str, encode=lambda money: money.text, decode=Money)]):
    """Knows its lines by pydantic, and its prices by a hook."""

    @method
    async def add(self, line: Line) -> int:
        return line.count

    @method
    async def sell(self, price: Money) -> Money:
        return price


class Lab(Service):
    """Takes arrays."""

    @method
    async def scale(self, values: npt.NDArray[np.float64], by: float) -> npt.NDArray[np.float64]:
        return values * by


class Forge(Service):
    """Its worker process dies under each call."""

    @method(timeout=30, executor="process", concurrency=1)
    def hammer(self, weight: int) -> int:
        os._exit(weight)


class NewShop(Service, name="shop"):
    """The same shop, changed without a word to those who know the old one."""

    @method(max_length=1000, queue="quorum")
    async def order(self, sku: str) -> int:
        return len(sku)

    @method
    async def buy(self, sku: str, count: int) -> str:
        return "three"
