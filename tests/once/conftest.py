"""The four stores, each test on all of them: with data that no other test sees."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final, Protocol

import pytest

from leveret.once import MemoryOnce, OnceStore, PostgresOnce, RedisOnce, SqliteOnce
from tests.once.servers import PostgresServer, RedisServer

SHARED: Final = ("redis", "postgres")
KINDS: Final = ("memory", "sqlite", *SHARED)

Make = Callable[..., OnceStore]
"""Makes a store with these options, not entered yet."""


class Another(Protocol):
    """Opens another store that sees the same data; a memory store only where it has options."""

    async def __call__(self, **options: Any) -> OnceStore:
        """With these options."""


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    with PostgresServer() as server:
        yield server


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def scope() -> str:
    """What data of this test alone is named by."""
    return f"once_{secrets.token_hex(6)}"


@pytest.fixture
def make(kind: str, scope: str, tmp_path: Path, request: pytest.FixtureRequest) -> Make:
    """Only the server that the test needs is started."""
    if kind == "memory":
        only = MemoryOnce()
        return lambda **options: MemoryOnce(**options) if options else only
    if kind == "sqlite":
        return lambda **options: SqliteOnce(tmp_path / scope, **options)
    if kind == "redis":
        redis: RedisServer = request.getfixturevalue("redis_server")
        return lambda **options: RedisOnce(redis.url, prefix=f"{scope}:", **options)
    postgres: PostgresServer = request.getfixturevalue("postgres_server")
    return lambda **options: PostgresOnce(postgres.url, table=scope, **options)


@pytest.fixture
async def another(make: Make) -> AsyncIterator[Another]:
    async with AsyncExitStack() as stack:

        async def open_one(**options: Any) -> OnceStore:
            return await stack.enter_async_context(make(**options))

        yield open_one


@pytest.fixture
async def store(another: Another) -> OnceStore:
    return await another()
