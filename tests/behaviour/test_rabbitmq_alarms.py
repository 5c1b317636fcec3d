"""A RabbitMQ that is short of memory takes no publishes (connection.blocked), until it is not."""

from __future__ import annotations

import asyncio

import pytest

import leveret
from leveret import Busy, DeadlineExceeded
from leveret.testing import RabbitMQ
from tests.behaviour.patience import at_once, until
from tests.behaviour.services import Echo


async def test_calls_are_busy_while_the_broker_takes_no_publishes(own_rabbitmq: RabbitMQ) -> None:
    async with (
        leveret.connect(own_rabbitmq.url) as host,
        leveret.connect(own_rabbitmq.url) as client,
        host.serving(Echo()),
    ):
        echo = client.remote(Echo)
        assert await echo.echo("before") == "before"
        await asyncio.to_thread(own_rabbitmq.block_publishers)
        # RabbitMQ tells a connection only when it publishes, and reads no further then.
        waiting = asyncio.create_task(echo.with_options(timeout=60).echo("waiting"))
        unlucky = asyncio.create_task(echo.with_options(timeout=0.3).echo("unlucky"))
        await until(lambda: client._calls.connection.blocked != "", "the client is told")
        with pytest.raises(Busy, match="takes no publishes now: low on memory") as caught:
            await echo.echo("refused")
        assert caught.value.executed == "no"
        with pytest.raises(DeadlineExceeded, match="not even confirmed"):
            await unlucky
        await asyncio.to_thread(own_rabbitmq.unblock_publishers)
        assert await waiting == "waiting"
        await until(lambda: client._calls.connection.blocked == "", "the client is told")
        assert await echo.echo("after") == "after"


async def test_closing_does_not_hang_while_the_broker_takes_no_publishes(
    own_rabbitmq: RabbitMQ,
) -> None:
    async with (
        leveret.connect(own_rabbitmq.url) as host,
        leveret.connect(own_rabbitmq.url) as client,
        host.serving(Echo(), grace=0),
    ):
        echo = client.remote(Echo)
        await echo.echo("before")
        await asyncio.to_thread(own_rabbitmq.block_publishers)
        call = asyncio.create_task(echo.echo("waiting"))
        await until(lambda: client._calls.connection.blocked != "", "the client is told")
        async with at_once():
            await client.close()
        with pytest.raises(leveret.CallError):
            await call
        await asyncio.to_thread(own_rabbitmq.unblock_publishers)
