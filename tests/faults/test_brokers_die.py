"""Brokers that stop, are killed and come back under load; and what operators do to them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final, Unpack

import pytest

import leveret
from leveret import Rabbit
from leveret.errors import ChannelClosed
from leveret.testing import Broker, RabbitMQ
from tests.behaviour.raw import RawPeer
from tests.faults.diary import Diary
from tests.faults.oracle import Details, Oracle
from tests.faults.scene import SOON, Load
from tests.faults.work import Work

_TIMEOUT: Final = 20.0
"""Seconds: a RabbitMQ takes some to come back."""


@asynccontextmanager
async def _load(
    url: str, diary: Diary, oracle: Oracle, *, timeout: float = 8.0, **how: Unpack[Details]
) -> AsyncIterator[tuple[Load, Rabbit, Rabbit]]:
    """Load on one server, and the connections of client and server."""
    async with (
        leveret.connect(url, reconnect=SOON) as host,
        host.serving(Work(diary), grace=2),
        leveret.connect(url, reconnect=SOON) as client,
        Load(oracle, client, callers=10, timeout=timeout, **how) as load,
    ):
        await load.some_more()
        yield load, client, host


async def test_rabbitmq_is_stopped_killed_and_restarted_under_load(
    own_rabbitmq: RabbitMQ, oracle: Oracle, diary: Diary
) -> None:
    async with _load(own_rabbitmq.url, diary, oracle, timeout=_TIMEOUT) as (load, _, _):
        for fault in (own_rabbitmq.stop, own_rabbitmq.kill):
            await asyncio.to_thread(fault)
            oracle.faults += 1
            await asyncio.to_thread(own_rabbitmq.start)
            await load.some_more()
    await oracle.fair()


async def test_calls_end_in_time_while_rabbitmq_is_away(
    own_rabbitmq: RabbitMQ, oracle: Oracle, diary: Diary
) -> None:
    async with _load(own_rabbitmq.url, diary, oracle, timeout=0.7, kept=False) as (load, _, _):
        await asyncio.to_thread(own_rabbitmq.kill)
        oracle.faults += 1
        await load.ended(30)
        await asyncio.to_thread(own_rabbitmq.start)
        await load.some_more()
    await oracle.fair()


async def test_the_embedded_broker_is_stopped_and_comes_back_empty_under_load(
    oracle: Oracle, diary: Diary
) -> None:
    with Broker() as first:
        url, port = first.url, first.port
        load_on = _load(url, diary, oracle)
        load, _, _ = await load_on.__aenter__()
        await asyncio.to_thread(first.close)
        oracle.faults += 1
    with Broker(port=port):
        await load.some_more()
        await load_on.__aexit__(None, None, None)
    await oracle.fair()


async def test_operators_delete_the_queues_under_load(
    broker_url: str, oracle: Oracle, diary: Diary
) -> None:
    peer = await RawPeer.open(broker_url)
    async with _load(broker_url, diary, oracle) as (load, client, _):
        for queue in (
            "leveret.work.again",
            "leveret.work.once",
            client.calls.reply_queue.name,
            "leveret.work.again",
        ):
            await peer.delete(queue)
            oracle.faults += 1
            await load.some_more()
    await peer.close()
    await oracle.fair()


async def test_operators_close_all_connections_under_load(
    broker_url: str, broker_kind: str, oracle: Oracle, diary: Diary, close_all: Callable[[], int]
) -> None:
    async with _load(broker_url, diary, oracle) as (load, _, _):
        for _ in range(3):
            closed = await asyncio.to_thread(close_all)
            assert closed >= 2
            oracle.faults += 1
            await load.some_more()
    await oracle.fair()


async def test_channels_end_with_errors_under_load(
    broker_url: str, oracle: Oracle, diary: Diary
) -> None:
    """Of each channel that there is: one that looks for what is not there ends."""
    async with _load(broker_url, diary, oracle) as (load, client, host):
        channels = [
            channel
            for rabbit in (client, host)
            for channel in rabbit.calls.link.connection._channels.values()
        ]
        for channel in channels:
            with pytest.raises(ChannelClosed):
                await channel.look_at_queue("no-such-queue")
            oracle.faults += 1
            await load.some_more(10)
    await oracle.fair()


async def test_the_broker_blocks_publishers_for_a_while(
    own_rabbitmq: RabbitMQ, oracle: Oracle, diary: Diary
) -> None:
    async with _load(own_rabbitmq.url, diary, oracle, timeout=4.0) as (load, _, _):
        for _ in range(2):
            await asyncio.to_thread(own_rabbitmq.block_publishers)
            oracle.faults += 1
            await asyncio.sleep(0.7)
            await asyncio.to_thread(own_rabbitmq.unblock_publishers)
            await load.some_more()
    await oracle.fair()
