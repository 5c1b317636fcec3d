"""The services that the tests of docs/protocol.md serve by Leveret."""

from __future__ import annotations

import asyncio
from typing import Annotated

from msgspec import Struct

from leveret import DeclaredError, Meta, Service, current_call, method


class TooLarge(DeclaredError):
    """That is too much."""

    limit: int


class Point(Struct):
    x: int
    y: int = 0


class Fibonacci(Service):
    """Fibonacci numbers."""

    @method(timeout=5, idempotent=True)
    async def fib(self, n: Annotated[int, Meta(ge=0, le=10_000)]) -> int:
        """Return the n-th Fibonacci number."""
        a, b = 0, 1
        for _ in range(n):
            a, b = b, a + b
        return a


class Desk(Service):
    """Says what the protocol is about to say."""

    def __init__(self) -> None:
        self.started = asyncio.Event()
        self.may_end = asyncio.Event()
        self.ran = 0

    @method(raises=[TooLarge])
    async def limit(self, n: int, step: int = 1) -> int:
        if n > 9:
            raise TooLarge(limit=9)
        return n + step

    @method(timeout=30, concurrency=1)
    async def wait(self) -> str:
        self.ran += 1
        self.started.set()
        await self.may_end.wait()
        return "waited"

    @method(timeout=30, max_length=1)
    async def short(self) -> None: ...

    @method(timeout=30, max_length=1, queue="quorum")
    async def short_quorum(self) -> None: ...

    @method
    async def fail(self) -> None:
        raise KeyError("carrot")

    @method
    async def swap(self, point: Point) -> Point:
        return Point(point.y, point.x)

    @method
    async def echo(self, data: bytes) -> bytes:
        return data

    @method
    async def who(self) -> dict[str, str]:
        call = current_call()
        call.reply_metadata["seen"] = call.metadata["tenant"]
        return {"caller": call.caller, "id": call.id}


class Lone(Service):
    """Has one method only."""

    def __init__(self) -> None:
        self.ran = 0

    @method(timeout=30)
    async def say(self) -> str:
        self.ran += 1
        return "said"
