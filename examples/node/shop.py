"""The service that the client in TypeScript calls: `leveret serve shop:Shop`."""

from __future__ import annotations

import asyncio
from typing import Annotated

from msgspec import Struct

from leveret import DeclaredError, Meta, Service, method


class Line(Struct):
    """One line of an order."""

    sku: str
    count: Annotated[int, Meta(ge=1, le=1000, description="How many of it.")]


class OutOfStock(DeclaredError):
    """There are not as many."""

    sku: str
    left: int


class Shop(Service):
    """A very small shop."""

    def __init__(self) -> None:
        self.stock = {"carrot": 10}

    @method(timeout=2, raises=[OutOfStock])
    async def reserve(self, lines: list[Line]) -> dict[str, int]:
        """Take articles out of stock; returns what is left of each."""
        for line in lines:
            left = self.stock.get(line.sku, 0)
            if left < line.count:
                raise OutOfStock(sku=line.sku, left=left)
        for line in lines:
            self.stock[line.sku] -= line.count
        return {line.sku: self.stock[line.sku] for line in lines}

    @method(timeout=2, idempotent=True)
    async def count(self, sku: str, after: float = 0.0) -> int | None:
        """Return how many there are, None of what the shop never had; after some seconds."""
        await asyncio.sleep(after)
        return self.stock.get(sku)
