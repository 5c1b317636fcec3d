"""Scripted peers, on asyncio's loop and on uvloop, and nothing left behind on either."""

from __future__ import annotations

import asyncio
import gc
import warnings
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import pytest

from tests.unit.transport.scripted_peer import PeerServer, until

LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {"asyncio": asyncio.new_event_loop}
try:
    import uvloop
except ImportError:  # it has no build for Windows and PyPy
    pass
else:
    LOOPS["uvloop"] = uvloop.new_event_loop


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Users run on both loops, and their transports differ in just what is tested here."""
    return LOOPS


@pytest.fixture
async def complaints() -> AsyncIterator[list[dict[str, Any]]]:
    """What asyncio's exception handler was told; a test that expects some takes them out."""
    told: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: told.append(context))
    yield told
    assert not told, "callbacks failed, or exceptions were never looked at"


@pytest.fixture
async def server(complaints: list[dict[str, Any]]) -> AsyncIterator[PeerServer]:
    """Where the test's peers listen. After the test no task and no socket may be left."""
    before = asyncio.all_tasks()
    with warnings.catch_warnings():
        warnings.simplefilter("error", ResourceWarning)
        async with PeerServer() as server:
            yield server

        def left() -> set[asyncio.Task[Any]]:
            return asyncio.all_tasks() - before - {asyncio.current_task()}

        await until(lambda: not left(), f"all tasks end; these go on: {left()}")
        await until(
            lambda: all(connection._gone.done() for connection in server.connections),
            "all sockets are closed",
        )
        gc.collect()  # what holds an open socket warns as it goes
