"""A RabbitMQ that is short of memory takes no publishes (connection.blocked), until it is not."""

from __future__ import annotations

import asyncio

import pytest

import leveret
from leveret import Busy, Cancelled, ConnectionLost, DeadlineExceeded, MaybeExecuted
from leveret.testing import RabbitMQ
from tests.behaviour.patience import at_once, until
from tests.behaviour.services import Echo, Gate, Stubborn


async def test_calls_wait_or_are_busy_while_the_broker_takes_no_publishes(
    own_rabbitmq: RabbitMQ,
) -> None:
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
        await until(lambda: client.calls.connection.blocked != "", "the client is told")
        later = asyncio.create_task(echo.with_options(timeout=60).echo("later"))
        with pytest.raises(Busy, match="takes no publishes now: low on memory") as caught:
            await echo.with_options(wait_for_connection=False).echo("refused")
        assert caught.value.executed == "no"
        with pytest.raises(DeadlineExceeded, match="takes no publishes now") as late:
            await echo.with_options(timeout=0.1).echo("late")
        assert (late.value.executed, late.value.where) == ("no", "client")
        with pytest.raises(DeadlineExceeded, match="not even confirmed"):
            await unlucky
        await asyncio.to_thread(own_rabbitmq.unblock_publishers)
        assert (await waiting, await later) == ("waiting", "later")
        await until(lambda: client.calls.connection.blocked == "", "the client is told")
        assert await echo.echo("after") == "after"


async def test_nothing_hangs_at_its_end_while_the_broker_takes_no_publishes(
    own_rabbitmq: RabbitMQ,
) -> None:
    gate = Gate()
    client = await leveret.connect(own_rabbitmq.url)
    host = await leveret.connect(own_rabbitmq.url)
    async with host.serving(gate) as server:
        calls = [asyncio.create_task(client.remote(Gate).again(1))]
        await gate.started.get()
        await asyncio.to_thread(own_rabbitmq.block_publishers)
        calls.append(asyncio.create_task(client.remote(Gate).again(2)))
        await until(lambda: client.calls.connection.blocked != "", "the client is told")
        gate.opened.set()
        await until(lambda: host.calls.connection.blocked != "", "the server is told")
        async with at_once():
            await server.drain()
        async with at_once():
            await host.close()
        async with at_once():
            await client.close()
    for call in calls:
        with pytest.raises(ConnectionLost):
            await call


async def test_a_drain_that_brings_the_alarm_itself_ends_within_its_grace(
    own_rabbitmq: RabbitMQ, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RabbitMQ blocks who publishes: it is the drain's own word to the callers of what runs."""
    monkeypatch.setattr("leveret.server.announcer.ANNOUNCE_AFTER", 3600.0)  # not told before
    gate = Gate()
    async with (
        leveret.connect(own_rabbitmq.url) as client,
        leveret.connect(own_rabbitmq.url) as host,
        host.serving(gate) as server,
    ):
        calls = [asyncio.create_task(client.remote(Gate).again(n)) for n in range(2)]
        for _ in calls:
            await gate.started.get()
        await asyncio.to_thread(own_rabbitmq.block_publishers)
        async with at_once():
            await server.drain(0.5)
        await until(lambda: host.calls.connection.blocked != "", "the server is told")
        await asyncio.to_thread(own_rabbitmq.unblock_publishers)
        gate.opened.set()
        async with client.serving(gate):  # where the broker has handed them on
            assert await asyncio.gather(*calls) == [0, 1]


async def test_a_server_that_was_blocked_as_it_began_to_stop_begins_nothing_when_it_is_not(
    own_rabbitmq: RabbitMQ,
) -> None:
    """A broker that does not read cancels no consumer, so it may deliver requests to a drain."""
    gate, stubborn, next_gate = Gate(), Stubborn(), Gate()
    next_gate.opened.set()
    async with (
        leveret.connect(own_rabbitmq.url) as client,
        leveret.connect(own_rabbitmq.url) as host,
        leveret.connect(own_rabbitmq.url) as next_host,
        host.serving(gate, stubborn) as server,
    ):
        calls = [asyncio.create_task(client.remote(Gate).again(1))]
        await gate.started.get()
        refused = asyncio.create_task(client.remote(Stubborn).refuse())
        await stubborn.started.wait()
        async with next_host.serving(next_gate):
            try:
                await asyncio.to_thread(own_rabbitmq.block_publishers)
                gate.opened.set()
                await until(lambda: host.calls.connection.blocked != "", "the server is told")
                gate.opened.clear()
                drain = asyncio.create_task(server.drain())
                await stubborn.swallowed.wait()  # the drain waits for nothing else
                calls += [asyncio.create_task(client.remote(Gate).again(n)) for n in (2, 3)]
                await asyncio.to_thread(own_rabbitmq.unblock_publishers)
                await drain
            finally:
                stubborn.opened.set()
            assert await asyncio.gather(*calls) == [1, 2, 3]
        with pytest.raises((Cancelled, MaybeExecuted)):
            await refused
    assert (gate.ended, gate.cancelled) == ([1], [])
    assert gate.started.empty()
