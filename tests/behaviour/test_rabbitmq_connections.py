"""Connections that RabbitMQ ends: closed by an operator, by its stop, by its crash.

Where they come back, the calls on them go on; with `reconnect=False` they end at once.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Final

import pytest

import leveret
from leveret import ConnectionClosed, ConnectionLost, MaybeExecuted, Rabbit
from leveret.testing import RabbitMQ
from tests.behaviour.patience import at_once, until
from tests.behaviour.services import Echo, Gate

_TIMEOUT: Final = 100.0
"""Seconds for calls that outlive a broker: on a busy machine it takes half a minute to start."""


@pytest.fixture
def steerable(rabbitmq: RabbitMQ, request: pytest.FixtureRequest) -> RabbitMQ:
    """The broker of this run where it is ours to steer, else one of this test's own."""
    if rabbitmq.owned:
        return rabbitmq
    own: RabbitMQ = request.getfixturevalue("own_rabbitmq")
    return own


@pytest.fixture
def rabbitmq_url(steerable: RabbitMQ) -> Iterator[str]:
    name = secrets.token_hex(8)
    yield steerable.add_vhost(name)
    steerable.delete_vhost(name)


@pytest.fixture
def close_connections(steerable: RabbitMQ, rabbitmq_url: str) -> Callable[[], int]:
    """Has the broker close all connections of this test."""
    vhost = rabbitmq_url.rpartition("/")[2]
    return lambda: steerable.close_connections("maintenance", vhost=vhost)


@pytest.fixture
async def pending(
    mortal_client: Rabbit, mortal_host: Rabbit
) -> AsyncIterator[list[asyncio.Task[int]]]:
    """A call that may be run twice, and one that may not; both run."""
    gate = Gate()
    remote = mortal_client.remote(Gate)
    async with mortal_host.serving(gate, grace=0):
        calls = [asyncio.create_task(remote.again(1)), asyncio.create_task(remote.once(2))]
        await until(lambda: gate.started.qsize() == 2, "both run")
        await until(lambda: not mortal_client.calls.unconfirmed, "both are confirmed")
        yield calls


async def test_pending_calls_end_at_once_when_the_broker_closes_the_connection(
    pending: list[asyncio.Task[int]], mortal_client: Rabbit, close_connections: Callable[[], int]
) -> None:
    again, once = pending
    async with at_once():
        assert await asyncio.to_thread(close_connections) == 2
        with pytest.raises(ConnectionLost, match="CONNECTION_FORCED - maintenance") as lost:
            await again
        with pytest.raises(MaybeExecuted, match="CONNECTION_FORCED - maintenance") as maybe:
            await once
    assert (lost.value.executed, maybe.value.executed) == ("maybe", "maybe")
    assert isinstance(lost.value.__cause__, ConnectionClosed)
    assert lost.value.__cause__.reply_code == 320
    assert mortal_client.in_flight == 0


async def test_calls_after_the_broker_closed_the_connection_were_not_executed(
    mortal_client: Rabbit, close_connections: Callable[[], int]
) -> None:
    assert await asyncio.to_thread(close_connections) == 1
    echo = mortal_client.remote(Echo).echo
    await until(lambda: mortal_client.calls.connection.closed is not None, "the client hears")
    with pytest.raises(ConnectionLost, match="CONNECTION_FORCED") as caught:
        await echo("x")
    assert caught.value.executed == "no"


async def test_serve_ends_with_connection_lost_when_the_broker_closes_the_connection(
    client: Rabbit, mortal_host: Rabbit, close_connections: Callable[[], int]
) -> None:
    serve = asyncio.create_task(mortal_host.serve(Echo()))
    await client.remote(Echo).with_options(wait_for_server=True).echo("x")
    await asyncio.to_thread(close_connections)
    async with at_once():
        with pytest.raises(ConnectionLost, match="CONNECTION_FORCED - maintenance"):
            await serve


async def test_calls_and_servers_go_on_when_an_operator_closes_their_connections(
    client: Rabbit, host: Rabbit, close_connections: Callable[[], int]
) -> None:
    gate = Gate()
    remote = client.remote(Gate)
    async with host.serving(gate):
        calls = [asyncio.create_task(remote.again(1)), asyncio.create_task(remote.once(2))]
        await until(lambda: gate.started.qsize() == 2, "both run")
        await until(lambda: not client.calls.unconfirmed, "both are confirmed")
        assert await asyncio.to_thread(close_connections) == 2
        gate.opened.set()
        assert await asyncio.gather(*calls) == [1, 2]
    assert sorted(gate.ended) == [1, 2]


async def _two_calls(client: Rabbit, gate: Gate) -> list[asyncio.Task[int]]:
    """Begin a call that may be run twice, and one that may not; both run."""
    remote = client.remote(Gate).with_options(timeout=_TIMEOUT)
    calls = [asyncio.create_task(remote.again(1)), asyncio.create_task(remote.once(2))]
    await until(lambda: gate.started.qsize() == 2, "both run")
    await until(lambda: not client.calls.unconfirmed, "both are confirmed")
    return calls


async def test_a_broker_that_stops_or_crashes_is_outlived_unless_connections_stay_broken(
    own_rabbitmq: RabbitMQ,
) -> None:
    # A write that meets the broker's end can bring a reset before its goodbye has been read.
    stopped = "CONNECTION_FORCED|connection lost"
    for_mortals = own_rabbitmq.add_vhost("for mortals")
    async with (
        leveret.connect(own_rabbitmq.url) as client,
        leveret.connect(own_rabbitmq.url) as host,
    ):
        for end, reason in ((own_rabbitmq.stop, stopped), (own_rabbitmq.kill, "lost")):
            gate, mortal_gate = Gate(), Gate()
            async with (
                host.serving(gate),
                leveret.connect(for_mortals, reconnect=False) as mortal_client,
                leveret.connect(for_mortals, reconnect=False) as mortal_host,
                mortal_host.serving(mortal_gate, grace=0) as mortal_server,
            ):
                calls = await _two_calls(client, gate)
                again, once = await _two_calls(mortal_client, mortal_gate)
                await asyncio.to_thread(end)
                async with at_once():
                    with pytest.raises(ConnectionLost, match=reason) as lost:
                        await again
                    with pytest.raises(MaybeExecuted, match=reason):
                        await once
                assert lost.value.executed == "maybe"
                with pytest.raises(ConnectionLost) as refused:
                    await mortal_client.remote(Gate).once(3)
                assert refused.value.executed == "no"
                await until(mortal_server.failed.done, "the server knows")
                await until(lambda: client.state == "reconnecting", "the client is told")
                remote = client.remote(Gate).with_options(timeout=_TIMEOUT)
                waiting = asyncio.create_task(remote.again(3))
                gate.opened.set()
                with pytest.raises(ConnectionLost, match="Is RabbitMQ running there"):
                    await leveret.connect(own_rabbitmq.url)
                await asyncio.to_thread(own_rabbitmq.restart)
                assert await asyncio.gather(*calls, waiting) == [1, 2, 3]
            assert sorted(gate.ended) == [1, 2, 3]
