"""A service whose calls can fail in many ways; the demo makes them do so."""

from __future__ import annotations

import asyncio
from typing import Annotated

from leveret import DeclaredError, Meta, Service, method

Seconds = Annotated[float, Meta(ge=0, le=60)]


class OutOfStock(DeclaredError):
    """There are not enough of them."""

    sku: str
    left: int


class Warehouse(Service):
    """Carrots, mostly. What it prints tells the demo when a handler has begun."""

    def __init__(self) -> None:
        self._stock = {"carrot": 3}

    @method(raises=[OutOfStock])
    async def reserve(self, sku: str, count: int) -> int:
        """Take some out of stock; returns how many are left."""
        left = self._stock[sku]
        if count > left:
            raise OutOfStock(sku=sku, left=left)
        self._stock[sku] = left - count
        return left - count

    @method(timeout=60, concurrency=1)
    async def pack(self, seconds: Seconds) -> str:
        """Pack a parcel: each server packs one at a time."""
        print("packing", flush=True)
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            print("packing was cancelled", flush=True)
            raise
        return "packed"

    @method(idempotent=True)
    async def count(self, sku: str, seconds: Seconds) -> int:
        """Count what is in stock, slowly. Counting twice does no harm."""
        await asyncio.sleep(seconds)
        return self._stock[sku]

    @method
    async def ship(self, seconds: Seconds) -> None:
        """Send a parcel off. Nobody wants it sent twice: this method is not idempotent."""
        print("shipping", flush=True)
        await asyncio.sleep(seconds)
