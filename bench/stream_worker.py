"""The processes that `bench.streams` measures: each peer's server, and its client.

Run as `python -m bench.stream_worker leveret|nats|grpc server|client`. A client obeys
`{"items": N, "size": S}`, which has a stream of N items of S bytes sent to it, and `{"calls": N}`,
which only Leveret's knows; it answers how many seconds that took (the protocol: `bench/peer.py`).
`peers/librabbitmq.c` knows the first of these, too.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from time import perf_counter
from typing import Any, Final

import leveret
from leveret import Service, method

from .load import SMALLEST, pattern
from .worker import answer_commands, run, serve

IN_FLIGHT: Final = 100
"""Calls at once."""
STREAM: Final = "bench.stream"

Take = Callable[[int, int], Awaitable[int]]
"""Takes a stream of so many items of so many bytes; gives how many came."""


class Feed(Service, name="bench_feed"):
    """Streams numbers and bytes, and gives one number."""

    @method(timeout=60, expires=60)
    async def numbers(self, count: int) -> AsyncIterator[int]:
        """Small items."""
        for number in range(count):
            yield number

    @method(timeout=60, expires=60, content_type="application/octet-stream")
    async def blobs(self, order: bytes) -> AsyncIterator[bytes]:
        """As "items size" says."""
        count, size = map(int, order.split())
        body = pattern(size)
        for _ in range(count):
            yield body

    @method(timeout=60, expires=60)
    async def increment(self, number: int) -> int:
        """One call."""
        return number + 1


class LeveretClient:
    """Takes streams, and makes calls."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed

    async def take(self, items: int, size: int) -> int:
        """A stream of numbers, where items are the smallest."""
        got = 0
        if size == SMALLEST:
            async for number in self._feed.numbers(items):
                got += number == got
        else:
            async for blob in self._feed.blobs(b"%d %d" % (items, size)):
                got += len(blob) == size
        return got

    async def call(self, calls: int) -> None:
        """So many calls."""
        numbers = iter(range(calls))

        async def caller() -> None:
            for number in numbers:
                assert await self._feed.increment(number) == number + 1

        await asyncio.gather(*(caller() for _ in range(IN_FLIGHT)))


@asynccontextmanager
async def leveret_serving(url: str) -> AsyncIterator[str]:
    """Serve `Feed`."""
    async with leveret.connect(url) as rabbit, rabbit.serving(Feed(), concurrency=2 * IN_FLIGHT):
        yield url


@asynccontextmanager
async def leveret_calling(url: str) -> AsyncIterator[LeveretClient]:
    """A client of `Feed`."""
    async with leveret.connect(url) as rabbit:
        yield LeveretClient(rabbit.remote(Feed))


@asynccontextmanager
async def nats_serving(_: str) -> AsyncIterator[str]:
    """Publish to whoever asks; there is no credit, so what nobody takes yet is in memory."""
    import nats
    from nats.aio.msg import Msg

    from .peers.nats_request import nats_server

    async with nats_server() as url:
        connection = await nats.connect(url)

        async def send(order: Msg) -> None:
            items, size = map(int, order.data.split())
            body = pattern(size)
            for _ in range(items):
                await connection.publish(order.reply, body)

        await connection.subscribe(STREAM, cb=send)
        await connection.flush()
        yield url
        await connection.close()


class NatsClient:
    """Takes streams from an inbox each."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def take(self, items: int, size: int) -> int:
        """One stream."""
        inbox = self._connection.new_inbox()
        subscription = await self._connection.subscribe(
            inbox, pending_msgs_limit=-1, pending_bytes_limit=-1
        )
        await self._connection.publish(STREAM, b"%d %d" % (items, size), reply=inbox)
        got = 0
        async for message in subscription.messages:
            got += len(message.data) == size
            if got == items:
                break
        await subscription.unsubscribe()
        return got


@asynccontextmanager
async def nats_calling(address: str) -> AsyncIterator[NatsClient]:
    """A connection to the nats-server."""
    import nats

    connection = await nats.connect(address)
    yield NatsClient(connection)
    await connection.close()


@asynccontextmanager
async def grpc_serving(_: str) -> AsyncIterator[str]:
    """Bodies are plain bytes: what protobuf would cost is left out."""
    import grpc

    async def send(order: bytes, _: Any) -> AsyncIterator[bytes]:
        items, size = map(int, order.split())
        body = pattern(size)
        for _number in range(items):
            yield body

    server = grpc.aio.server()
    methods = {"Take": grpc.unary_stream_rpc_method_handler(send)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("bench.Feed", methods),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield f"127.0.0.1:{port}"
    await server.stop(grace=None)


class GrpcClient:
    """Takes streams."""

    def __init__(self, channel: Any) -> None:
        self._take = channel.unary_stream("/bench.Feed/Take")

    async def take(self, items: int, size: int) -> int:
        """One stream."""
        got = 0
        async for body in self._take(b"%d %d" % (items, size)):
            got += len(body) == size
        return got


@asynccontextmanager
async def grpc_calling(address: str) -> AsyncIterator[GrpcClient]:
    """A channel."""
    import grpc

    async with grpc.aio.insecure_channel(address) as channel:
        await channel.channel_ready()
        yield GrpcClient(channel)


SERVING: Final[dict[str, Callable[[str], AbstractAsyncContextManager[str]]]] = {
    "leveret": leveret_serving,
    "nats": nats_serving,
    "grpc": grpc_serving,
}
CALLING: Final[dict[str, Callable[[str], AbstractAsyncContextManager[Any]]]] = {
    "leveret": leveret_calling,
    "nats": nats_calling,
    "grpc": grpc_calling,
}


async def _obey(calling: AbstractAsyncContextManager[Any]) -> None:
    async with calling as client:

        async def answer(command: dict[str, int]) -> dict[str, Any]:
            start = perf_counter()
            if "calls" in command:
                await client.call(command["calls"])
            else:
                got = await client.take(command["items"], command["size"])
                if got != command["items"]:
                    raise ValueError(f"{got} items came of {command['items']}")
            return {"seconds": perf_counter() - start}

        await answer_commands(answer)


if __name__ == "__main__":
    _, peer, role = sys.argv
    address = os.environ["BENCH_ADDRESS"]
    loop = "asyncio" if peer == "grpc" else "uvloop"
    if role == "server":
        run(lambda: serve(SERVING[peer](address)), loop)
    else:
        run(lambda: _obey(CALLING[peer](address)), loop)
