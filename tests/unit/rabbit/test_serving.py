"""Serving from begin to end: as a block, held by hand, and until a signal."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from typing import Self

import pytest

import leveret
from leveret import Rabbit, Service, method


class Echo(Service):
    """Says what it hears."""

    def __init__(self) -> None:
        self.entered = asyncio.Event()

    async def __aenter__(self) -> Self:
        self.entered.set()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.entered.clear()

    @method(timeout=5)
    async def say(self, text: str) -> str:
        return text


class NeverReady(Echo):
    """One whose start does not end."""

    async def __aenter__(self) -> Self:
        self.entered.set()
        await asyncio.get_running_loop().create_future()
        return self


@pytest.fixture
async def rabbit() -> AsyncIterator[Rabbit]:
    async with leveret.connect("embedded://") as rabbit:
        yield rabbit


async def test_a_block_serves_to_its_end(rabbit: Rabbit) -> None:
    echo = Echo()
    async with rabbit.serving(echo):
        assert await rabbit.remote(Echo).say("hi") == "hi"
    assert not echo.entered.is_set()


async def test_a_server_that_is_held_serves_until_it_is_closed(rabbit: Rabbit) -> None:
    echo = Echo()
    server = await rabbit.serving(echo)
    assert await rabbit.remote(Echo).say("hi") == "hi"
    await server.close()
    assert not echo.entered.is_set()


async def test_it_serves_once(rabbit: Rabbit) -> None:
    serving = rabbit.serving(Echo())
    async with serving:
        with pytest.raises(RuntimeError, match="it already serves, or has served"):
            await serving


async def test_serving_that_never_begins_is_warned_of(rabbit: Rabbit) -> None:
    serving = rabbit.serving(Echo())
    with pytest.warns(RuntimeWarning, match="serves nothing until it is entered"):
        del serving


async def test_a_signal_ends_what_serves_until_one_comes(rabbit: Rabbit) -> None:
    echo = Echo()
    serving = asyncio.create_task(rabbit.serve(echo))
    await echo.entered.wait()
    assert await rabbit.remote(Echo).with_options(wait_for_server=True).say("hi") == "hi"
    os.kill(os.getpid(), signal.SIGTERM)
    await serving
    assert not echo.entered.is_set()


async def test_a_signal_ends_a_start_that_hangs(rabbit: Rabbit) -> None:
    hangs = NeverReady()
    serving = asyncio.create_task(rabbit.serve(hangs))
    await hangs.entered.wait()
    os.kill(os.getpid(), signal.SIGTERM)
    await serving


async def test_cancelling_ends_what_serves_without_signals(rabbit: Rabbit) -> None:
    echo = Echo()
    serving = asyncio.create_task(rabbit.serve(echo, signals=False))
    await echo.entered.wait()
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving
    assert not echo.entered.is_set()


async def test_what_ends_a_server_ends_serving_with_its_cause() -> None:
    lonely = leveret.connect("embedded://", reconnect=False)
    async with lonely:
        echo = Echo()
        serving = asyncio.create_task(lonely.serve(echo, signals=False))
        await echo.entered.wait()
        assert await lonely.remote(Echo).with_options(wait_for_server=True).say("hi") == "hi"
        lonely.calls.link.abort("the cable was cut")
        with pytest.raises(leveret.ConnectionLost, match="the cable was cut"):
            await serving
