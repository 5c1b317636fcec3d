"""Items of a stream beside calls, and beside a stream of grpc.aio: small ones, and 64 KB.

    python -m bench.streams [URL]

Client and server are one process with two connections; with `embedded://`, the default, the broker
is in it as well, while grpc.aio has none. Each figure is the best of some rounds, in which all take
turns: items or calls per second of time, and per second of processor time of that process. Compare
ratios within one run.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import grpc
import grpc.aio

import leveret
from leveret import Service, method

ROUNDS: Final = 3
SMALL: Final = 10_000
"""How many small items or calls a round has."""
LARGE: Final = 1_000
"""How many of 64 KB."""
BODY: Final = b"x" * 65_536
IN_FLIGHT: Final = 100

Work = Callable[[int], Awaitable[None]]
"""Moves so many items."""


class Feed(Service, name="bench_feed"):
    """Streams numbers and bytes, and gives one number."""

    @method(timeout=60)
    async def numbers(self, count: int) -> AsyncIterator[int]:
        for number in range(count):
            yield number

    @method(timeout=60, content_type="application/octet-stream")
    async def blobs(self) -> AsyncIterator[bytes]:
        for _ in range(LARGE):
            yield BODY

    @method(timeout=60)
    async def total(self, numbers: AsyncIterator[int]) -> int:
        return sum([number async for number in numbers])

    @method(timeout=60)
    async def increment(self, number: int) -> int:
        return number + 1


def of_leveret(feed: Feed) -> dict[str, tuple[Work, int]]:
    """What Leveret does, by name, and how many items of it a round has."""

    async def numbers(count: int) -> None:
        got = 0
        async for _ in feed.numbers(count):
            got += 1
        assert got == count

    async def blobs(count: int) -> None:
        got = 0
        async for blob in feed.blobs():
            got += len(blob) == len(BODY)
        assert got == count

    return {
        "leveret, numbers": (numbers, SMALL),
        "leveret, 64 KB": (blobs, LARGE),
    }


def uploads_and_calls(feed: Feed) -> dict[str, tuple[Work, int]]:
    """The other direction, and calls."""

    async def upload(count: int) -> None:
        async def source() -> AsyncIterator[int]:
            for number in range(count):
                yield number

        assert await feed.total(source()) == count * (count - 1) // 2

    async def calls(count: int) -> None:
        async def caller() -> None:
            for number in range(count // IN_FLIGHT):
                await feed.increment(number)

        await asyncio.gather(*(caller() for _ in range(IN_FLIGHT)))

    return {"leveret, numbers uploaded": (upload, SMALL), "leveret, calls": (calls, SMALL)}


@asynccontextmanager
async def of_grpc() -> AsyncIterator[dict[str, tuple[Work, int]]]:
    """The same of grpc.aio; its bodies are plain bytes, what protobuf would cost is left out."""

    async def numbers(count: int, _: Any) -> AsyncIterator[int]:
        for number in range(count):
            yield number

    async def blobs(count: int, _: Any) -> AsyncIterator[bytes]:
        for _number in range(count):
            yield BODY

    server = grpc.aio.server()
    stream = grpc.unary_stream_rpc_method_handler
    methods = {
        "Numbers": stream(
            numbers, request_deserializer=int, response_serializer=lambda n: b"%d" % n
        ),
        "Blobs": stream(blobs, request_deserializer=int),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("bench.Feed", methods),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        await channel.channel_ready()

        def taking(name: str, deserializer: Any) -> Work:
            call = channel.unary_stream(
                f"/bench.Feed/{name}",
                request_serializer=lambda n: b"%d" % n,
                response_deserializer=deserializer,
            )

            async def take(count: int) -> None:
                got = 0
                async for _ in call(count):
                    got += 1
                assert got == count

            return take

        yield {
            "grpc.aio, numbers": (taking("Numbers", int), SMALL),
            "grpc.aio, 64 KB": (taking("Blobs", None), LARGE),
        }
    await server.stop(grace=None)


async def main(url: str) -> None:
    """Measure, and print a line for each."""
    async with (
        leveret.connect(url) as host,
        host.serving(Feed(), concurrency=2 * IN_FLIGHT),
        leveret.connect(url) as client,
        of_grpc() as peers,
    ):
        feed = client.remote(Feed)
        ways = {**of_leveret(feed), **uploads_and_calls(feed), **peers}
        best = dict.fromkeys(ways, (0.0, 0.0))
        for number in range(ROUNDS + 1):
            for name, (work, count) in ways.items():
                wall, cpu = time.perf_counter(), time.process_time()
                await work(count)
                wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
                if number:  # the first round warms up
                    best[name] = (max(best[name][0], count / wall), max(best[name][1], count / cpu))
    for name, (by_time, by_cpu) in best.items():
        print(f"{name:28}{by_time:>10,.0f} /s {by_cpu:>10,.0f} per second of processor time")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "embedded://"))
