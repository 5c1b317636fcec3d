"""Leveret as its users write it: a service class, `serving`, and a typed remote."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import leveret
from leveret import Service, method

from ..load import Calls


class Bench(Service):
    """The two methods of the benchmark, with the full semantics: deadline, confirms, validation."""

    @method(timeout=30, idempotent=True, concurrency=1000, expires=60)
    async def increment(self, n: int) -> int:
        """Return n + 1."""
        return n + 1

    @method(
        timeout=30,
        idempotent=True,
        concurrency=1000,
        expires=60,
        content_type="application/octet-stream",
    )
    async def echo(self, body: bytes) -> bytes:
        """Return the body."""
        return body


@asynccontextmanager
async def serving(address: str) -> AsyncIterator[str]:
    """Serve `Bench` inside the block."""
    async with leveret.connect(address) as rabbit, rabbit.serving(Bench()):
        yield address


@asynccontextmanager
async def calling(address: str) -> AsyncIterator[Calls]:
    """A typed remote: the contract itself is the client."""
    async with leveret.connect(address) as rabbit:
        yield rabbit.remote(Bench)
