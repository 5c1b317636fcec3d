"""A service whose calls can fail in many ways, and do so in the demo."""

from __future__ import annotations

import asyncio
from typing import Annotated

from leveret import DeclaredError, Meta, Service, method

Seconds = Annotated[float, Meta(ge=0, le=60)]


class OutOfStock(DeclaredError):
    """Fewer are in stock than were asked for."""

    sku: str
    left: int


class Warehouse(Service):
    """A stock of carrots. It prints a line when a handler begins, for the demo to wait for."""

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
        """Count the stock, slowly. To count twice does no harm."""
        await asyncio.sleep(seconds)
        return self._stock[sku]

    @method
    async def ship(self, seconds: Seconds) -> None:
        """Send a parcel. It must not be sent twice, so this method is not idempotent."""
        print("shipping", flush=True)
        await asyncio.sleep(seconds)
