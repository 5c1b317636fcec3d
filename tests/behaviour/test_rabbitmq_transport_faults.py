"""Connections to a real RabbitMQ whose cable is cut, or is frozen, at bad moments."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

import leveret
from leveret import ConnectionLost, LeveretError, MaybeExecuted
from leveret.amqp import methods
from leveret.amqp.events import Delivery
from leveret.amqp.properties import Properties
from leveret.testing import Cut, FaultProxy, after_bytes
from leveret.transport import connection as connection_module
from leveret.transport.channel import Channel
from leveret.transport.connection import Connection
from leveret.transport.opening import open_connection
from leveret.transport.url import parse_url
from leveret.transport.writer import WRITE_BUFFER
from tests.behaviour.patience import PATIENCE, at_once, until, until_found
from tests.behaviour.raw import RawPeer
from tests.behaviour.services import Gate

BODY = bytes(1_000_000)


@pytest.fixture
async def proxy(rabbitmq_url: str) -> AsyncIterator[FaultProxy]:
    async with FaultProxy(rabbitmq_url) as proxy:
        yield proxy


@pytest.fixture
async def connection(proxy: FaultProxy) -> AsyncIterator[Connection]:
    """A connection by way of the proxy."""
    connection = await open_connection(
        parse_url(proxy.url), name="by proxy", max_message_size=len(BODY)
    )
    yield connection
    await connection.close()


async def failures(calls: list[asyncio.Task[Any]]) -> list[object]:
    async with at_once():
        results: list[object] = await asyncio.gather(*calls, return_exceptions=True)
    return results


async def test_a_cut_fails_all_pending_calls_of_all_channels_at_once(
    connection: Connection, proxy: FaultProxy
) -> None:
    channels = [await connection.open_channel() for _ in range(10)]
    told: list[LeveretError] = []
    connection.on_close.append(told.append)
    for channel in channels:
        channel.on_close = told.append
    proxy.stall()  # so that no answer comes before the cut
    calls = [
        asyncio.create_task(channel.declare_queue("", exclusive=True))
        for channel in channels
        for _ in range(10)
    ]
    calls.append(asyncio.create_task(connection.open_channel()))  # type: ignore[arg-type]
    await asyncio.sleep(0)
    proxy.cut()
    for failure in await failures(calls):
        assert isinstance(failure, ConnectionLost)
        assert "connection lost: " in str(failure)
    assert told == [connection.closed] * 11
    with pytest.raises(ConnectionLost, match="not connected") as raised:
        await connection.open_channel()
    assert raised.value.executed == "no"


@pytest.mark.parametrize("step", [1, 7, 8, 9, 100, 300])
async def test_a_cut_in_the_handshake_is_a_lost_connection_or_a_whole_one(
    proxy: FaultProxy, step: int
) -> None:
    proxy.when(after_bytes(step, "to_broker"), Cut())
    async with at_once():
        with pytest.raises(ConnectionLost, match="cannot connect to .*connection lost") as raised:
            await open_connection(parse_url(proxy.url), name="by proxy", max_message_size=1)
    assert raised.value.executed == "no"


async def test_a_cut_in_the_middle_of_a_body_loses_that_message_only(
    connection: Connection, proxy: FaultProxy, raw: RawPeer
) -> None:
    await raw.declare("q")
    channel = await connection.open_channel()
    channel.publish("", "q", Properties(), b"whole")
    await until_found(lambda: raw.waiting("q"), 1, "the broker has it")
    proxy.when(after_bytes(len(BODY) // 2, "to_broker"), Cut())
    channel.publish("", "q", Properties(), BODY)
    await until(lambda: connection.closed is not None, "the cut is seen")
    assert isinstance(connection.closed, ConnectionLost)
    assert await raw.waiting("q") == 1
    await raw.delete("q")


async def test_a_cut_returns_what_a_consumer_had_not_acknowledged(
    connection: Connection, proxy: FaultProxy, raw: RawPeer
) -> None:
    await raw.declare("q")
    raw.channel.publish("", "q", Properties(), b"for the one, then the other")
    channel = await connection.open_channel()
    taken: list[Delivery] = []
    await channel.consume("q", taken.append)
    await until(lambda: len(taken) == 1, "it is delivered")
    proxy.cut()
    again = await (await raw.take("q")).get()
    assert again.redelivered
    await raw.delete("q")


async def publish_until_paused(connection: Connection, channel: Channel, queue: str) -> int:
    count = 0
    while not connection.paused:
        channel.publish("", queue, Properties(), BODY)
        count += 1
        await asyncio.sleep(0)
        assert count < 100, "the connection took 100 MB that nobody reads"
    return count


async def test_publishers_wait_for_a_broker_that_takes_nothing_and_lose_no_message(
    connection: Connection, proxy: FaultProxy, raw: RawPeer
) -> None:
    await raw.declare("q")
    channel = await connection.open_channel()
    proxy.stall()
    sent = await publish_until_paused(connection, channel, "q")
    assert connection._transport is not None
    assert connection._transport.get_write_buffer_size() < WRITE_BUFFER + 2 * len(BODY)
    proxy.resume()
    await until(lambda: not connection.paused, "the broker takes them")
    await until_found(lambda: raw.waiting("q"), sent, "all have arrived")
    await raw.delete("q")


async def test_a_broker_that_hangs_holds_no_goodbye(
    connection: Connection, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection_module, "CLOSE_TIMEOUT", 0.1)
    channel = await connection.open_channel()
    proxy.stall()
    await publish_until_paused(connection, channel, "nowhere")
    waiting = asyncio.create_task(channel.call(methods.Basic.Qos()))
    async with at_once():
        await asyncio.gather(connection.close(), connection.close())
    (failure,) = await failures([waiting])
    assert isinstance(failure, ConnectionLost)


@pytest.mark.slow
async def test_a_broker_that_falls_silent_is_given_up(proxy: FaultProxy) -> None:
    url = f"{proxy.url}?heartbeat=1"
    connection = await open_connection(parse_url(url), name="by proxy", max_message_size=1)
    channel = await connection.open_channel()
    proxy.stall()
    async with asyncio.timeout(PATIENCE):
        with pytest.raises(ConnectionLost, match="nothing heard from the broker for 2 s"):
            await channel.call(methods.Basic.Qos())
    await connection.close()


async def test_remote_calls_end_at_once_with_what_is_known_of_them(
    proxy: FaultProxy, rabbitmq_url: str
) -> None:
    gate = Gate()
    async with (
        leveret.connect(rabbitmq_url) as host,
        leveret.connect(proxy.url, reconnect=False) as client,
        host.serving(gate, grace=0),
    ):
        remote = client.remote(Gate)
        calls = [asyncio.create_task(remote.again(1)), asyncio.create_task(remote.once(2))]
        await until(lambda: gate.started.qsize() == 2, "both run")
        await until(lambda: not client.calls.unconfirmed, "both are confirmed")
        proxy.cut()
        again, once = await failures(calls)
        assert isinstance(again, ConnectionLost)
        assert isinstance(once, MaybeExecuted)
        gate.opened.set()
