"""RabbitMQ's tutorials by aio-pika."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import aio_pika
import pytest
from aio_pika import DeliveryMode, ExchangeType, Message
from aio_pika.abc import (
    AbstractChannel,
    AbstractConnection,
    AbstractIncomingMessage,
    AbstractQueue,
)
from aio_pika.exceptions import DeliveryError, PublishError

Inbox = asyncio.Queue[AbstractIncomingMessage]

PATIENCE = 15


@pytest.fixture
async def connection(broker_url: str) -> AsyncIterator[AbstractConnection]:
    async with await aio_pika.connect(broker_url) as connection:
        yield connection


@pytest.fixture
async def channel(connection: AbstractConnection) -> AbstractChannel:
    return await connection.channel()


async def listening(queue: AbstractQueue, *, no_ack: bool = True) -> Inbox:
    """Where the messages of a queue come."""
    inbox: Inbox = asyncio.Queue()
    await queue.consume(inbox.put, no_ack=no_ack)
    return inbox


async def next_of(inbox: Inbox) -> AbstractIncomingMessage:
    async with asyncio.timeout(PATIENCE):
        return await inbox.get()


async def bodies(inbox: Inbox, count: int) -> list[bytes]:
    return [(await next_of(inbox)).body for _ in range(count)]


async def test_aio_pika_shares_a_work_queue(connection: AbstractConnection) -> None:
    workers = [await connection.channel() for _ in range(2)]
    inboxes = []
    for worker in workers:
        await worker.set_qos(prefetch_count=1)
        queue = await worker.declare_queue("tasks", durable=True)
        inboxes.append(await listening(queue, no_ack=False))
    for task in (b"1", b"2", b"3"):
        await workers[0].default_exchange.publish(
            Message(task, delivery_mode=DeliveryMode.PERSISTENT), "tasks"
        )
    first, second = [await next_of(inbox) for inbox in inboxes]
    assert {first.body, second.body} == {b"1", b"2"}
    await first.nack(requeue=True)
    again = await next_of(inboxes[0])
    assert (again.body, again.redelivered) == (first.body, True)
    await again.ack()
    assert (await next_of(inboxes[0])).body == b"3"
    await second.ack()


async def test_aio_pika_publishes_to_all_subscribers(channel: AbstractChannel) -> None:
    logs = await channel.declare_exchange("logs", ExchangeType.FANOUT)
    inboxes = []
    for _ in range(2):
        queue = await channel.declare_queue(exclusive=True)
        await queue.bind(logs)
        inboxes.append(await listening(queue))
    await logs.publish(Message(b"all"), "")
    assert [await bodies(inbox, 1) for inbox in inboxes] == [[b"all"], [b"all"]]


async def test_aio_pika_routes_by_key(channel: AbstractChannel) -> None:
    logs = await channel.declare_exchange("direct_logs", ExchangeType.DIRECT)
    queue = await channel.declare_queue(exclusive=True)
    for severity in ("warning", "error"):
        await queue.bind(logs, severity)
    for severity in ("info", "error", "debug", "warning"):
        await logs.publish(Message(severity.encode()), severity, mandatory=False)
    assert await bodies(await listening(queue), 2) == [b"error", b"warning"]


async def test_aio_pika_routes_by_topic(channel: AbstractChannel) -> None:
    logs = await channel.declare_exchange("topic_logs", ExchangeType.TOPIC)
    queue = await channel.declare_queue(exclusive=True)
    for pattern in ("kern.*", "#.critical"):
        await queue.bind(logs, pattern)
    for key in ("kern.info", "user.info", "kern.a.b", "user.critical", "critical"):
        await logs.publish(Message(key.encode()), key, mandatory=False)
    found = await bodies(await listening(queue), 3)
    assert found == [b"kern.info", b"user.critical", b"critical"]


async def test_aio_pika_calls_and_answers(connection: AbstractConnection) -> None:
    server, client = await connection.channel(), await connection.channel()
    requests = await server.declare_queue("rpc_queue")

    async def serve(request: AbstractIncomingMessage) -> None:
        async with request.process():
            answer = str(int(request.body) * 2).encode()
            await server.default_exchange.publish(
                Message(answer, correlation_id=request.correlation_id), request.reply_to or ""
            )

    await requests.consume(serve)
    replies = await client.declare_queue(exclusive=True)
    inbox = await listening(replies)
    await client.default_exchange.publish(
        Message(b"21", correlation_id="7", reply_to=replies.name), "rpc_queue"
    )
    reply = await next_of(inbox)
    assert (reply.body, reply.correlation_id) == (b"42", "7")


async def test_aio_pika_waits_for_confirms(connection: AbstractConnection) -> None:
    channel = await connection.channel(on_return_raises=True)
    await channel.declare_queue(
        "full", exclusive=True, arguments={"x-max-length": 1, "x-overflow": "reject-publish"}
    )
    await channel.default_exchange.publish(Message(b"fits"), "full")
    with pytest.raises(DeliveryError):
        await channel.default_exchange.publish(Message(b"does not"), "full")
    with pytest.raises(PublishError):
        await channel.default_exchange.publish(Message(b"back"), "nowhere")


async def test_aio_pika_holds_back_all_consumers_of_a_channel(
    connection: AbstractConnection, channel: AbstractChannel
) -> None:
    """Once the channel's prefetch is used up, also those that acknowledge nothing."""
    worker = await connection.channel()
    await worker.set_qos(prefetch_count=1, global_=True)
    tasks = await worker.declare_queue("tasks", durable=True)
    news = await worker.declare_queue("news", durable=True)
    work, hear = await listening(tasks, no_ack=False), await listening(news)
    await channel.default_exchange.publish(Message(b"task"), "tasks")
    task = await next_of(work)
    await channel.default_exchange.publish(Message(b"news"), "news")
    assert (await worker.declare_queue("news", passive=True)).declaration_result.message_count == 1
    assert hear.empty()
    await task.ack()
    assert (await next_of(hear)).body == b"news"
