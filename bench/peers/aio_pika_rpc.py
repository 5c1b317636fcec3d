"""`aio_pika.patterns.RPC` as its documentation shows it: robust connections, bodies pickled.

Pickle is its default; `JsonRPC`, from the same module, cannot carry the bytes of the echo.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aio_pika import connect_robust
from aio_pika.patterns import RPC

from ..load import Calls

INCREMENT = "bench.aio_pika_rpc.increment"
ECHO = "bench.aio_pika_rpc.echo"


async def _increment(*, n: int) -> int:
    return n + 1


async def _echo(*, body: bytes) -> bytes:
    return body


@asynccontextmanager
async def serving(address: str) -> AsyncIterator[str]:
    """Register both methods."""
    async with await connect_robust(address) as connection:
        rpc = await RPC.create(await connection.channel())
        await rpc.register(INCREMENT, _increment, auto_delete=True)
        await rpc.register(ECHO, _echo, auto_delete=True)
        yield address
        await rpc.close()


class RPCClient:
    """Calls by name, with keyword arguments."""

    def __init__(self, rpc: RPC) -> None:
        self._rpc = rpc

    async def increment(self, n: int) -> int:
        """Return n + 1, counted by the server."""
        result: int = await self._rpc.call(INCREMENT, kwargs={"n": n})
        return result

    async def echo(self, body: bytes) -> bytes:
        """Return what the server sent back."""
        result: bytes = await self._rpc.call(ECHO, kwargs={"body": body})
        return result


@asynccontextmanager
async def calling(address: str) -> AsyncIterator[Calls]:
    """An `RPC` on a channel of its own."""
    async with await connect_robust(address) as connection:
        rpc = await RPC.create(await connection.channel())
        yield RPCClient(rpc)
        await rpc.close()
