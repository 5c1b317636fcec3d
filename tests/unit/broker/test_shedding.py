"""What the embedded broker does about clients that go beyond its `Limits`, on sockets."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from pamqp.commands import Basic, Channel, Connection

from leveret.broker import EmbeddedBroker, Limits
from tests.behaviour.amqp.script import Client, Lane
from tests.behaviour.patience import until


@asynccontextmanager
async def clients(count: int = 1, **limits: Any) -> AsyncIterator[list[Lane]]:
    """A channel each, on connections of their own, on a broker with these limits."""
    async with EmbeddedBroker(limits=Limits(**limits)) as broker:
        opened = [await Client.connect(broker.url) for _ in range(count)]
        yield [await client.channel() for client in opened]
        for client in opened:
            await client.close()


async def test_publishers_are_blocked_by_full_memory_until_a_consumer_has_drained_it() -> None:
    async with clients(2, memory=100_000) as (publisher, consumer):
        await publisher.declare("q")
        await publisher.confirms()
        for _ in range(10):
            publisher.publish("", "q", bytes(10_000))
            assert isinstance(await publisher.next(), Basic.Ack)
        publisher.publish("", "q", b"one more")
        assert isinstance(await publisher.client.next(0), Connection.Blocked)
        assert await consumer.counts("q") == (10, 0)
        await consumer.consume("q")
        for _ in range(11):
            consumer.send(Basic.Ack((await consumer.delivery()).tag))
        assert isinstance(await publisher.client.next(0), Connection.Unblocked)


async def test_what_is_taken_and_not_acknowledged_fills_memory_too() -> None:
    async with clients(2, memory=100_000) as (publisher, consumer):
        await publisher.declare("q")
        await consumer.consume("q")
        for _ in range(11):
            publisher.publish("", "q", bytes(10_000))
        taken = [await consumer.delivery() for _ in range(10)]
        publisher.publish("", "q", b"one more")
        assert isinstance(await publisher.client.next(0), Connection.Blocked)
        consumer.send(Basic.Ack(taken[-1].tag, multiple=True))
        assert isinstance(await publisher.client.next(0), Connection.Unblocked)


async def test_a_consumer_that_never_reads_is_dropped_and_its_messages_go_to_another() -> None:
    async with clients(3, output=50_000, send_timeout=0.2) as (deaf, publisher, witness):
        await publisher.declare("q")
        await deaf.consume("q")
        deaf.client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await publisher.confirms()
        for _ in range(200):  # more than the sockets' buffers hold
            publisher.publish("", "q", bytes(100_000))
            await publisher.client.drain()
        await witness.until_consumers("q", 0)
        first = await witness.get("q")
        assert first is not None
        assert first.method.redelivered
        deaf.client.writer.transport.abort()


async def test_replies_to_a_client_that_never_reads_do_not_fill_the_memory() -> None:
    async with clients(2, output=50_000, send_timeout=60, memory=1_000_000) as (deaf, other):
        await deaf.declare("q")
        await deaf.consume("amq.rabbitmq.reply-to", no_ack=True)
        deaf.publish("", "q", b"question", reply_to="amq.rabbitmq.reply-to")
        await other.until_ready("q", 1)
        question = await other.get("q")
        assert question is not None
        deaf.client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await other.confirms()
        came: Any = Basic.Ack()
        sent = 0
        while isinstance(came, Basic.Ack):
            other.publish("", question.properties.reply_to or "", bytes(100_000))
            sent += 1
            came = await other.client.anything()
        assert isinstance(came, Connection.Blocked)
        assert sent < 1000
        deaf.client.writer.transport.resume_reading()  # type: ignore[attr-defined]
        for _ in range(sent):
            assert (await deaf.delivery()).body == bytes(100_000)
        assert isinstance(await other.client.next(0), Connection.Unblocked)


async def test_a_client_that_leaves_the_handshake_lying_is_dropped() -> None:
    async with EmbeddedBroker(limits=Limits(handshake_timeout=0.05)) as broker:
        client = await Client.dial(broker.url)
        client.write(b"AMQP")
        assert await client.ends()
        await client.hang_up()


async def test_the_heartbeat_that_the_broker_proposes_is_in_its_limits() -> None:
    async with clients(heartbeat=7) as (ch,):
        assert ch.client.tune.heartbeat == 7


@pytest.mark.parametrize("size", [100, 101])
async def test_the_largest_message_is_in_its_limits(size: int) -> None:
    async with clients(max_message_size=100) as (ch,):
        await ch.confirms()
        ch.publish("", "nowhere", bytes(size))
        came = await ch.next()
        if size == 100:
            assert isinstance(came, Basic.Ack)
        else:
            assert isinstance(came, Channel.Close)
            assert (came.reply_code, came.reply_text) == (
                406,
                "PRECONDITION_FAILED - message size 101 is larger than configured max size 100",
            )


async def test_the_number_of_channels_is_in_its_limits() -> None:
    async with clients(channel_max=2) as (ch,):
        await ch.client.channel()
        assert (await ch.client.refused(Channel.Open(), 3)).text == (
            "NOT_ALLOWED - number of channels opened (2) has reached the negotiated channel_max (2)"
        )


async def test_the_size_of_a_frame_is_in_its_limits() -> None:
    async with clients(frame_max=8192) as (ch,):
        assert ch.client.tune.frame_max == 8192
        ch.send(Basic.Publish(routing_key="q"))
        ch.client.write(b"\x03\0\1" + (8193).to_bytes(4) + bytes(8193) + b"\xce")
        assert (await ch.client.refusal()).text == (
            "FRAME_ERROR - type 3, all octets = <<>>: {frame_too_large,8193,8184}"
        )


async def test_messages_that_are_never_completed_cost_who_sends_them_the_connection() -> None:
    """All together: each on a channel or a connection of its own would fill the memory as well."""
    async with clients(3, memory=200_000) as (one, other, witness):
        part = b"\x03\0\1" + (120_000).to_bytes(4) + bytes(120_000) + b"\xce"
        for lane in (one, other):
            lane.send(Basic.Publish(routing_key="q"))
            lane.client.write(b"\x02\0\1\0\0\0\x0e\0\x3c\0\0" + (10**6).to_bytes(8) + b"\0\0")
            lane.client.write(b"\xce" + part)
            if lane is one:
                await (await one.client.channel()).close()  # by now it was read
        assert (await other.client.refusal()).code == 506
        assert await witness.client.alive()
        assert await one.client.alive()


async def test_all_memory_is_free_again_when_all_is_drained_and_gone() -> None:
    async with EmbeddedBroker() as broker:
        client = await Client.connect(broker.url)
        lane = await client.channel()
        for name in ("a", "b", "c"):
            await lane.declare(name, x_max_length=5)
            lane.publish("", name, b"one", headers={"CC": ["a", "b"]})
        await lane.consume("a")
        lane.publish("", "b", bytes(100_000))
        await lane.delivery()
        await lane.until_ready("b", 3)
        assert broker.node.memory.used > 100_000
        for name in ("b", "c"):
            lane.send(Basic.Get(queue=name, no_ack=True))
        await client.hang_up()
        await until(lambda: not broker.node.sessions, "the connection is gone")
        vhost = broker.node.vhosts["/"]
        for queue in list(vhost.queues.values()):
            vhost.delete_queue(queue)
        assert broker.node.memory.used == 0
