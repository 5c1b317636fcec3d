"""One server for the clients of before and of after, until the last one has moved."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import grpc
import grpc.aio
from after import OutOfStock, Shop
from before import ADDRESS, messages, services

import leveret


class OldShop:
    """What clients of before see: the same shop, with the status that they know."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop

    async def Reserve(self, request: Any, context: Any) -> Any:  # noqa: N802 - the contract's name
        try:
            left = await self.shop.reserve(sku=request.sku, count=request.count)
        except OutOfStock as error:
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, error.sku)
        return messages.ReserveReply(left=left)


async def serve() -> None:
    shop = Shop()
    server = grpc.aio.server()
    services.add_ShopServicer_to_server(OldShop(shop), server)
    server.add_insecure_port(ADDRESS)
    await server.start()
    async with leveret.connect() as rabbit:
        await rabbit.serve(shop)
    await server.stop(grace=5)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    asyncio.run(serve())
