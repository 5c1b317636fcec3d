"""Messages, confirms, returns, cancels and closed channels, as a real RabbitMQ has them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from leveret.amqp import methods
from leveret.amqp.events import Content, Delivery
from leveret.amqp.properties import Properties
from leveret.errors import ChannelClosed
from leveret.transport.channel import Channel
from leveret.transport.connection import Connection
from leveret.transport.opening import open_connection
from leveret.transport.url import parse_url
from tests.behaviour.patience import PATIENCE, until, until_found

LARGE = 16 * 1024 * 1024
"""Bytes: what RabbitMQ 4 takes at most by default; 3 takes 128 MB."""

Confirm = tuple[int, bool, bool]


@pytest.fixture
async def connection(rabbitmq_url: str) -> AsyncIterator[Connection]:
    connection = await open_connection(
        parse_url(rabbitmq_url), name="a test", max_message_size=LARGE
    )
    yield connection
    await connection.close()


@pytest.fixture
async def channel(connection: Connection) -> Channel:
    return await connection.open_channel()


async def exclusive_queue(channel: Channel) -> str:
    queue = (await channel.declare_queue("", exclusive=True)).queue
    assert queue
    return queue


async def confirms_of(channel: Channel) -> list[Confirm]:
    """Where the channel's confirms will be noted."""
    seen: list[Confirm] = []
    channel.on_confirm = lambda *confirm: seen.append(confirm)
    await channel.select_confirms()
    return seen


def confirmed(seen: list[Confirm], ok: bool) -> set[int]:
    """The publishes that were confirmed, or refused: one, or all before it that were not yet."""
    told: dict[int, bool] = {}
    for number, multiple, was_ok in seen:
        for each in range(1, number + 1) if multiple else (number,):
            told.setdefault(each, was_ok)
    return {number for number, was_ok in told.items() if was_ok is ok}


# -- bodies ----------------------------------------------------------------------------------------


async def test_a_body_of_16_mb_goes_there_and_back(channel: Channel) -> None:
    queue = await exclusive_queue(channel)
    came: asyncio.Queue[Delivery] = asyncio.Queue()
    await channel.consume(queue, came.put_nowait, no_ack=True)
    body = bytes(range(256)) * (LARGE // 256)
    channel.publish("", queue, Properties(content_type="application/octet-stream"), body)
    async with asyncio.timeout(PATIENCE):
        message = await came.get()
    assert message.body == body
    assert message.properties.content_type == "application/octet-stream"


@pytest.mark.parametrize("frame_max", [4096, 4097, 131_072])
@pytest.mark.parametrize("extra", [-1, 0, 1])
async def test_bodies_around_the_size_of_a_frame_arrive_whole(
    channel: Channel, frame_max: int, extra: int
) -> None:
    channel.connection.frame_max = frame_max
    queue = await exclusive_queue(channel)
    came: asyncio.Queue[Delivery] = asyncio.Queue()
    await channel.consume(queue, came.put_nowait, no_ack=True)
    for times in (1, 2):
        body = b"x" * (times * (frame_max - 8) + extra)
        channel.publish("", queue, Properties(), body)
        async with asyncio.timeout(PATIENCE):
            assert (await came.get()).body == body


@pytest.mark.parametrize("queue", ["déjà vu", "<a>!\"$%&'()*", "q" * 255])
async def test_a_queue_may_have_any_name(channel: Channel, queue: str) -> None:
    assert (await channel.declare_queue(queue, exclusive=True)).queue == queue
    await channel.bind_queue(queue, "amq.topic", "key")
    came: asyncio.Queue[Delivery] = asyncio.Queue()
    await channel.consume(queue, came.put_nowait, no_ack=True)
    channel.publish("amq.topic", "key", Properties(), b"found")
    async with asyncio.timeout(PATIENCE):
        assert (await came.get()).body == b"found"
    assert (await channel.look_at_queue(queue)).consumer_count == 1


# -- confirms and returns --------------------------------------------------------------------------


async def test_every_publish_is_confirmed_by_its_number(channel: Channel) -> None:
    queue = await exclusive_queue(channel)
    seen = await confirms_of(channel)
    for _ in range(500):
        channel.publish("", queue, Properties(), b"x")
    await until(lambda: confirmed(seen, True) == set(range(1, 501)), "all are confirmed")
    assert confirmed(seen, False) == set()


async def test_a_publish_to_a_full_queue_is_refused_by_its_number(channel: Channel) -> None:
    declared = await channel.declare_queue(
        "", exclusive=True, arguments={"x-max-length": 2, "x-overflow": "reject-publish"}
    )
    seen = await confirms_of(channel)
    for _ in range(5):
        channel.publish("", declared.queue or "", Properties(), b"x")
    await until(lambda: confirmed(seen, False) == {3, 4, 5}, "three are refused")
    assert confirmed(seen, True) == {1, 2}


async def test_an_unroutable_message_comes_back_before_its_confirm(channel: Channel) -> None:
    order: list[str] = []
    returned: list[Content] = []

    def on_return(content: Content) -> None:
        returned.append(content)
        order.append("return")

    channel.on_return = on_return
    channel.on_confirm = lambda *_: order.append("confirm")
    await channel.select_confirms()
    properties = Properties(correlation_id="7", headers={"k": "v"})
    channel.publish("", "nowhere", properties, b"body", mandatory=True)
    await until(lambda: len(order) == 2, "it is returned and confirmed")
    assert order == ["return", "confirm"]
    (content,) = returned
    assert isinstance(content.method, methods.Basic.Return)
    assert (content.method.reply_code, content.method.reply_text) == (312, "NO_ROUTE")
    assert (content.properties.correlation_id, content.body) == ("7", b"body")


# -- consumers -------------------------------------------------------------------------------------


async def test_a_consumer_is_told_when_its_queue_is_deleted(connection: Connection) -> None:
    channel, other = await connection.open_channel(), await connection.open_channel()
    queue = await exclusive_queue(channel)
    told: list[str] = []
    channel.on_cancel = told.append
    tag = await channel.consume(queue, lambda _: None)
    await other.call(methods.Queue.Delete(queue=queue))
    await until(lambda: told == [tag], "the consumer is cancelled")
    assert channel.consumers == {}
    await exclusive_queue(channel)  # the channel lives


async def test_a_prefetch_bounds_what_is_on_its_way(channel: Channel) -> None:
    queue = await exclusive_queue(channel)
    came: list[Delivery] = []
    await channel.consume(queue, came.append, prefetch=3)
    for _ in range(10):
        channel.publish("", queue, Properties(), b"x")
    await until(lambda: len(came) == 3, "three come")
    await channel.look_at_queue(queue)  # a fourth would have come before this answer
    assert len(came) == 3
    for delivery in tuple(came):
        channel.ack(delivery.delivery_tag)
    await until(lambda: len(came) == 6, "three more come")


async def test_a_cancelled_consumer_leaves_what_comes_later(channel: Channel) -> None:
    queue = await exclusive_queue(channel)
    came: list[Delivery] = []
    tag = await channel.consume(queue, came.append, no_ack=True)
    await channel.cancel_consumer(tag)
    channel.publish("", queue, Properties(), b"x")

    async def waiting() -> int | None:
        return (await channel.look_at_queue(queue)).message_count

    await until_found(waiting, 1, "it waits in the queue")
    assert came == []


# -- channels that end -----------------------------------------------------------------------------


async def test_a_channel_that_rabbitmq_closes_dies_alone(connection: Connection) -> None:
    one, two = await connection.open_channel(), await connection.open_channel()
    calls = await asyncio.gather(
        *(one.look_at_queue("no such queue") for _ in range(3)),
        *(exclusive_queue(two) for _ in range(3)),
        return_exceptions=True,
    )
    for failure in calls[:3]:
        assert isinstance(failure, ChannelClosed)
        assert failure.reply_code == 404
        assert "NOT_FOUND - no queue 'no such queue'" in failure.reply_text
    assert all(isinstance(queue, str) for queue in calls[3:])
    again = await connection.open_channel()
    assert again.number == one.number
    await exclusive_queue(again)


async def test_a_publish_to_no_exchange_closes_the_channel_and_tells_it(
    connection: Connection,
) -> None:
    channel, other = await connection.open_channel(), await connection.open_channel()
    channel.publish("no such exchange", "key", Properties(), b"x")
    await until(lambda: channel.closed is not None, "the channel is closed")
    assert isinstance(channel.closed, ChannelClosed)
    assert "no exchange 'no such exchange'" in channel.closed.reply_text
    with pytest.raises(ChannelClosed, match="no such exchange"):
        await exclusive_queue(channel)
    await exclusive_queue(other)


async def test_closes_that_cross_leave_the_connection_whole(connection: Connection) -> None:
    for _ in range(20):
        channel = await connection.open_channel()
        channel.publish("no such exchange", "key", Properties(), b"x")
        await channel.close()
        fresh = await connection.open_channel()
        await exclusive_queue(fresh)
        await fresh.close()
    assert connection.closed is None


async def test_a_channel_given_up_while_it_opens_leaves_the_connection_whole(
    connection: Connection,
) -> None:
    for _ in range(20):
        opening = asyncio.create_task(connection.open_channel())
        await asyncio.sleep(0)
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
        fresh = await connection.open_channel()
        await exclusive_queue(fresh)
        await fresh.close()
    await until(lambda: not connection._channels, "all numbers are free")


async def test_cancelled_calls_leave_the_others_their_answers(channel: Channel) -> None:
    names = [f"cancelled-or-not-{number}" for number in range(50)]
    calls = [asyncio.create_task(channel.declare_queue(name, exclusive=True)) for name in names]
    await asyncio.sleep(0)
    for call in calls[::2]:
        call.cancel()
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(answer) for answer in answers[::2]] == [asyncio.CancelledError] * 25
    queues = [answer.queue for answer in answers[1::2] if not isinstance(answer, BaseException)]
    assert queues == names[1::2]


async def test_what_was_published_before_a_close_arrives(
    channel: Channel, rabbitmq_url: str
) -> None:
    queue = await exclusive_queue(channel)
    came: list[Delivery] = []
    await channel.consume(queue, came.append, no_ack=True)
    other = await open_connection(parse_url(rabbitmq_url), name="another", max_message_size=1)
    last = await other.open_channel()
    for _ in range(1000):
        last.publish("", queue, Properties(), b"last words")
    await other.close()
    await until(lambda: len(came) == 1000, "all last words come")
