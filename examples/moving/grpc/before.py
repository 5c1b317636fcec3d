"""A shop by gRPC: `python before.py serve`, and `python before.py call` elsewhere."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any

import grpc
import grpc.aio

messages, services = grpc.protos_and_services("shop.proto")
ADDRESS = os.environ.get("SHOP_ADDRESS", "localhost:50051")


class Shop:
    def __init__(self) -> None:
        self.stock = {"carrot": 10}

    async def Reserve(self, request: Any, context: Any) -> Any:  # noqa: N802 - the contract's name
        left = self.stock.get(request.sku, 0) - request.count
        if left < 0:
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, request.sku)
        self.stock[request.sku] = left
        return messages.ReserveReply(left=left)


async def serve() -> None:
    server = grpc.aio.server()
    services.add_ShopServicer_to_server(Shop(), server)
    server.add_insecure_port(ADDRESS)
    await server.start()
    print("serving", flush=True)
    await server.wait_for_termination()


async def call() -> None:
    async with grpc.aio.insecure_channel(ADDRESS) as channel:
        shop = services.ShopStub(channel)
        reply = await shop.Reserve(messages.ReserveRequest(sku="carrot", count=2), timeout=5)
        print(f"{reply.left} carrots left")
        try:
            await shop.Reserve(messages.ReserveRequest(sku="turnip", count=1), timeout=5)
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.FAILED_PRECONDITION:
                raise
            print(f"no {error.details()} left")


if __name__ == "__main__":
    asyncio.run(serve() if sys.argv[1:] == ["serve"] else call())
