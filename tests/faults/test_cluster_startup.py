"""Nodes that listen and are not ready, and queues that the broker holds for somebody else."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import pytest

import leveret
from leveret import Rabbit, Reconnect
from leveret.testing import FaultProxy
from tests.behaviour.patience import until
from tests.behaviour.raw import RawPeer
from tests.faults.diary import Diary
from tests.faults.oracle import Oracle
from tests.faults.scene import SOON
from tests.faults.work import Work

_TIMEOUT = 8.0


def _hosts(url: str, *ports: int, query: str = "") -> str:
    """The URL with other hosts."""
    hosts = ",".join(f"127.0.0.1:{port}" for port in ports)
    parts = urlsplit(url)
    return parts._replace(netloc=f"guest:guest@{hosts}", query=query).geturl()


def _port(url: str) -> int:
    return urlsplit(url).port or 5672


@asynccontextmanager
async def _who_hangs_up() -> AsyncIterator[tuple[int, list[int]]]:
    """Somebody who takes connections and ends them, as a node may that starts or stops."""
    calls: list[int] = []

    def hang_up(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        calls.append(1)
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1], calls


async def test_a_node_that_takes_connections_and_is_not_ready_is_passed_over(
    rabbitmq_url: str, oracle: Oracle, diary: Diary
) -> None:
    async with (
        FaultProxy(rabbitmq_url) as silent,
        FaultProxy(rabbitmq_url) as refusing,
        _who_hangs_up() as (hangs_up, taken),
    ):
        silent.stall()
        refusing.refuse()
        oracle.faults += 3
        ports = (silent.port, refusing.port, hangs_up, _port(rabbitmq_url))
        url = _hosts(rabbitmq_url, *ports, query="connection_timeout=1500")
        async with (
            leveret.connect(url) as host,
            host.serving(Work(diary)),
            leveret.connect(url) as client,
        ):
            for idempotent in (True, False):
                call = await oracle.call(client, idempotent=idempotent, timeout=_TIMEOUT)
                assert call.error is None, call
        assert (silent.accepted, len(taken)) == (2, 2)
        silent.heal()
    print(await oracle.fair())


async def test_nodes_none_of_which_is_ready_are_waited_for(
    rabbitmq_url: str, oracle: Oracle, diary: Diary
) -> None:
    async with FaultProxy(rabbitmq_url) as node, _who_hangs_up() as (hangs_up, taken):
        url = _hosts(rabbitmq_url, node.port, hangs_up, query="connection_timeout=1500")
        async with (
            leveret.connect(url, reconnect=SOON) as host,
            host.serving(Work(diary), grace=2),
            leveret.connect(url, reconnect=SOON) as client,
        ):
            calls = [
                oracle.begin(client, idempotent=True, timeout=_TIMEOUT, seconds=0.2)
                for _ in range(3)
            ]
            await oracle.handlers_began()
            node.stall()
            node.cut()
            oracle.faults += 1
            await until(lambda: len(taken) >= 2, "both have tried each node")
            calls.append(oracle.begin(client, idempotent=False, timeout=_TIMEOUT))
            node.heal()
            for call in calls:
                assert (await call).error is None, await call
        node.refuse()
        before = len(taken)
        starting = asyncio.create_task(_opened(url))
        await until(lambda: len(taken) >= before + 2, "it has tried each node twice")
        node.accept()
        await (await starting).close()
    print(await oracle.fair())


async def _opened(url: str) -> Rabbit:
    return await leveret.connect(url, wait_for_broker=_TIMEOUT)


async def test_a_queue_that_the_broker_holds_for_another_connection_is_waited_for(
    rabbitmq_url: str, oracle: Oracle, diary: Diary, caplog: pytest.LogCaptureFixture
) -> None:
    """RESOURCE_LOCKED: the queue is exclusive to a connection that the broker thinks alive."""
    queue = "leveret.work.again"
    caplog.set_level(logging.WARNING, "leveret.transport")
    async with (
        FaultProxy(rabbitmq_url) as proxy,
        leveret.connect(proxy.url, reconnect=Reconnect(first=0.01, most=0.1)) as host,
        host.serving(Work(diary), grace=2),
        leveret.connect(rabbitmq_url) as client,
    ):
        holder = await RawPeer.open(rabbitmq_url)
        proxy.refuse()
        proxy.cut()
        await holder.delete(queue)
        await holder.channel.declare_queue(queue, exclusive=True)
        oracle.faults += 1
        call = oracle.begin(client, idempotent=True, timeout=_TIMEOUT)
        proxy.accept()
        await until(lambda: "RESOURCE_LOCKED" in caplog.text, "the server meets the locked queue")
        other = await oracle.call(client, idempotent=False, timeout=_TIMEOUT)
        assert other.error is None, other
        await holder.close()
        assert (await call).error is None, await call
    print(await oracle.fair())
