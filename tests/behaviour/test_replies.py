"""The reply queue, and replies that nobody waits for."""

from __future__ import annotations

import asyncio

import pytest

import leveret
from leveret import ChannelClosed, ConnectionLost, DeadlineExceeded, MaybeExecuted, Rabbit
from leveret.amqp import frames
from leveret.amqp.properties import Properties
from tests.behaviour.crashing import crash
from tests.behaviour.patience import at_once, until
from tests.behaviour.raw import RawPeer
from tests.behaviour.services import Echo, Gate


async def test_a_reply_that_comes_too_late_is_dropped_and_counted(
    client: Rabbit, host: Rabbit, raw: RawPeer
) -> None:
    async with host.serving(Gate()):
        pass
    taken = await raw.take("leveret.gate.once")
    call = asyncio.create_task(client.remote(Gate).with_options(timeout=1).once(1))
    request = await taken.get()
    with pytest.raises(DeadlineExceeded):
        await call
    raw.answer(request, b"1")
    await until(lambda: client.late_replies == 1, "the late reply is counted")
    assert client.in_flight == 0


async def test_a_second_reply_is_dropped_and_counted(
    client: Rabbit, host: Rabbit, raw: RawPeer
) -> None:
    async with host.serving(Gate()):
        pass
    taken = await raw.take("leveret.gate.once")
    call = asyncio.create_task(client.remote(Gate).once(1))
    request = await taken.get()
    raw.answer(request, b"1")
    raw.answer(request, b"2")
    assert await call == 1
    await until(lambda: client.late_replies == 1, "the second reply is counted")


async def test_replies_to_no_call_are_dropped_and_counted(client: Rabbit, raw: RawPeer) -> None:
    for correlation_id in ("deadbeef", "", None, "\udcff", "x" * 255):
        for kind in ("result", "error", "call", "strange", None):
            properties = Properties(correlation_id=correlation_id, type=kind)
            raw.channel.publish("", client.calls.reply_queue.name, properties, b"1")
    await until(lambda: client.late_replies == 25, "each reply is counted")
    async with client.serving(Echo()):
        assert await client.remote(Echo).echo("x") == "x"


async def test_the_reply_queue_is_deleted_at_a_clean_close(rabbitmq_url: str, raw: RawPeer) -> None:
    async with leveret.connect(rabbitmq_url) as rabbit:
        queue = rabbit.calls.reply_queue.name
        assert queue.startswith("leveret.reply.")
        assert len(queue) >= len("leveret.reply.") + 22  # 128 bits, in base 64
        assert await raw.exists(queue)
    assert not await raw.exists(queue)


async def test_the_reply_queue_outlives_its_connection_for_a_minute(
    rabbitmq_url: str, raw: RawPeer
) -> None:
    rabbit = await leveret.connect(rabbitmq_url, reconnect=False)
    queue = rabbit.calls.reply_queue.name
    crash(rabbit)
    await rabbit.close()
    await raw.declare(queue, x_expires=60_000)  # which only the same arguments may
    assert await raw.exists(queue)
    with pytest.raises(ChannelClosed, match="inequivalent arg 'x-expires'"):
        await raw.declare(queue, x_expires=60_001)


async def test_a_reply_queue_that_an_operator_deletes_is_declared_again(
    client: Rabbit, host: Rabbit, raw: RawPeer
) -> None:
    gate = Gate()
    async with host.serving(gate):
        call = asyncio.create_task(client.remote(Gate).once(1))
        await gate.started.get()
        before = client.calls.channel
        await raw.delete(client.calls.reply_queue.name)
        await until(lambda: client.calls.channel is not before, "the client restores it")
        gate.opened.set()
        assert await call == 1
        assert await client.remote(Gate).once(2) == 2


async def test_calls_go_on_when_the_broker_closes_their_channel(
    client: Rabbit, host: Rabbit
) -> None:
    gate = Gate()
    async with host.serving(gate):
        call = asyncio.create_task(client.remote(Gate).once(1))
        await gate.started.get()
        before = client.calls.channel
        client.calls.connection.send(frames.ack(before.number, 99))  # there is no such delivery
        await until(lambda: client.calls.channel is not before, "the client opens another channel")
        gate.opened.set()
        assert await call == 1
        assert await client.remote(Gate).once(2) == 2
        assert client.state == "connected"


async def test_closing_the_client_ends_its_pending_calls(rabbitmq_url: str, host: Rabbit) -> None:
    gate = Gate()
    async with host.serving(gate):
        rabbit = await leveret.connect(rabbitmq_url)
        once = asyncio.create_task(rabbit.remote(Gate).once(1))
        again = asyncio.create_task(rabbit.remote(Gate).again(2))
        for _ in range(2):
            await gate.started.get()
        await until(lambda: not rabbit.calls.unconfirmed, "the broker has confirmed them")
        async with at_once():
            await rabbit.close()
            with pytest.raises(MaybeExecuted, match="client was closed"):
                await once
            with pytest.raises(ConnectionLost, match="client was closed") as caught:
                await again
        assert caught.value.executed == "maybe"
        gate.opened.set()
