"""The services that several files of tests serve and call."""

from __future__ import annotations

import asyncio
from typing import Annotated

from leveret import Meta, Service, method


class Echo(Service):
    """Gives back what it gets."""

    @method(idempotent=True)
    async def echo(self, text: str) -> str:
        return text


class Fibonacci(Service):
    """Fibonacci numbers."""

    @method(timeout=5, idempotent=True)
    async def fib(self, n: Annotated[int, Meta(ge=0, le=10_000)]) -> int:
        """Return the n-th Fibonacci number."""
        a, b = 0, 1
        for _ in range(n):
            a, b = b, a + b
        return a


class Gate(Service):
    """Handlers that wait until the test lets them go, and tell what became of them.

    `started` gets a number as its call starts. Once `opened` is set, calls end.
    """

    def __init__(self) -> None:
        self.started: asyncio.Queue[int] = asyncio.Queue()
        self.opened = asyncio.Event()
        self.ended: list[int] = []
        self.cancelled: list[int] = []

    @method(timeout=30)
    async def once(self, n: int) -> int:
        return await self._wait(n)

    @method(timeout=30, idempotent=True)
    async def again(self, n: int) -> int:
        return await self._wait(n)

    @method(timeout=30, concurrency=1)
    async def one_by_one(self, n: int) -> int:
        return await self._wait(n)

    async def _wait(self, n: int) -> int:
        self.started.put_nowait(n)
        try:
            await self.opened.wait()
        except asyncio.CancelledError:
            self.cancelled.append(n)
            raise
        self.ended.append(n)
        return n


class Stubborn(Service):
    """A handler that swallows its cancellation, until `opened` is set."""

    def __init__(self) -> None:
        self.started = asyncio.Event()
        self.opened = asyncio.Event()
        self.swallowed = asyncio.Event()
        self.ended = False

    @method(timeout=30)
    async def refuse(self) -> None:
        self.started.set()
        while not self.opened.is_set():
            try:
                await self.opened.wait()
            except asyncio.CancelledError:
                self.swallowed.set()
        self.ended = True
