"""Prefetch (basic.qos): how much a consumer, or a channel, may have unacknowledged."""

from __future__ import annotations

import pytest
from pamqp.commands import Basic

from tests.behaviour.amqp.script import Lane, Refusal
from tests.behaviour.amqp.test_consuming import fill, taken


async def test_a_consumer_gets_no_more_than_its_prefetch(ch: Lane) -> None:
    await ch.declare("q", exclusive=True)
    await ch.call(Basic.Qos(prefetch_count=2))
    fill(ch, "q", 5)
    await ch.consume("q", "a")
    first, second = await ch.delivery(), await ch.delivery()
    await ch.until_ready("q", 3)
    assert await ch.nothing_came()
    ch.send(Basic.Ack(delivery_tag=first.tag))
    assert second.body == b"1"
    assert await taken(ch, 1, left=2) == [("a", b"2")]


async def test_a_prefetch_holds_for_each_consumer_that_begins_after(ch: Lane) -> None:
    await ch.declare("q", exclusive=True)
    await ch.call(Basic.Qos(prefetch_count=1))
    await ch.consume("q", "one")
    await ch.call(Basic.Qos(prefetch_count=3))
    await ch.consume("q", "three")
    fill(ch, "q", 10)
    tags = [tag for tag, _ in await taken(ch, 4, left=6)]
    assert (tags.count("one"), tags.count("three")) == (1, 3)


async def test_a_global_prefetch_holds_for_the_channel(ch: Lane, ch2: Lane) -> None:
    await ch.declare("q", exclusive=True)
    await ch.call(Basic.Qos(prefetch_count=3, global_=True))
    for tag in "ab":
        await ch.consume("q", tag)
    fill(ch2, "q", 10)
    assert len(await taken(ch, 3, left=7)) == 3
    ch.send(Basic.Ack(delivery_tag=2, multiple=True))
    assert [content for _, content in await taken(ch, 2, left=5)] == [b"3", b"4"]


async def test_a_global_prefetch_may_be_raised_later(ch: Lane) -> None:
    await ch.declare("q", exclusive=True)
    await ch.call(Basic.Qos(prefetch_count=1, global_=True))
    await ch.consume("q", "a")
    fill(ch, "q", 5)
    assert await taken(ch, 1, left=4) == [("a", b"0")]
    await ch.ask(Basic.Qos(prefetch_count=3, global_=True))
    assert await taken(ch, 2, left=2) == [("a", b"1"), ("a", b"2")]


async def test_both_prefetches_hold_together(ch: Lane) -> None:
    await ch.declare("q", exclusive=True)
    await ch.call(Basic.Qos(prefetch_count=2))
    await ch.call(Basic.Qos(prefetch_count=3, global_=True))
    for tag in "ab":
        await ch.consume("q", tag)
    fill(ch, "q", 10)
    tags = [tag for tag, _ in await taken(ch, 3, left=7)]
    assert max(tags.count("a"), tags.count("b")) == 2


async def test_prefetch_does_not_hold_without_acknowledgements(ch: Lane) -> None:
    await ch.declare("q", exclusive=True)
    await ch.call(Basic.Qos(prefetch_count=1))
    await ch.consume("q", "a", no_ack=True)
    fill(ch, "q", 5)
    assert len(await taken(ch, 5)) == 5
    assert await ch.counts("q") == (0, 1)


async def test_prefetch_does_not_hold_for_get(ch: Lane) -> None:
    await ch.declare("q", exclusive=True)
    await ch.call(Basic.Qos(prefetch_count=1))
    fill(ch, "q", 3)
    assert [m.body for m in [await ch.get("q", no_ack=False) for _ in range(3)] if m] == [
        b"0",
        b"1",
        b"2",
    ]


async def test_a_prefetch_in_bytes_is_not_implemented(ch: Lane) -> None:
    refusal = await ch.client.refused(Basic.Qos(prefetch_size=1000), ch.number)
    assert refusal == Refusal(540, "NOT_IMPLEMENTED - prefetch_size!=0 (1000)", "Basic.Qos")


async def test_a_busy_consumer_does_not_hold_up_a_free_one(ch: Lane, far: Lane) -> None:
    await ch.declare("q")
    for lane in (ch, far):
        await lane.call(Basic.Qos(prefetch_count=1))
    await ch.consume("q", "busy")
    fill(ch, "q", 1)
    assert (await ch.delivery()).body == b"0"
    await far.consume("q", "free")
    for number in range(3):
        ch.publish("", "q", b"%d" % number)
        message = await far.delivery()
        assert message.body == b"%d" % number
        far.send(Basic.Ack(delivery_tag=message.tag))


async def test_what_was_got_before_a_global_prefetch_counts_for_good(ch: Lane) -> None:
    await ch.declare("q", exclusive=True)
    fill(ch, "q", 6)
    for _ in range(2):
        await ch.get("q", no_ack=False)
    await ch.call(Basic.Qos(prefetch_count=3, global_=True))
    await ch.consume("q")
    assert await taken(ch, 1, left=3) == [("c", b"2")]
    ch.send(Basic.Ack(delivery_tag=2, multiple=True))  # what was got, which makes no room
    assert await taken(ch, 0, left=3) == []
    ch.send(Basic.Ack(delivery_tag=3))
    assert await taken(ch, 1, left=2) == [("c", b"3")]


async def test_what_is_got_after_a_global_prefetch_does_not_count(ch: Lane) -> None:
    await ch.declare("q", exclusive=True)
    fill(ch, "q", 4)
    await ch.call(Basic.Qos(prefetch_count=2, global_=True))
    await ch.get("q", no_ack=False)
    await ch.consume("q")
    assert await taken(ch, 2, left=1) == [("c", b"1"), ("c", b"2")]


async def test_a_consumer_gets_more_when_one_of_another_queue_acknowledges(ch: Lane) -> None:
    await ch.declare("q", exclusive=True)
    await ch.declare("other", exclusive=True)
    await ch.call(Basic.Qos(prefetch_count=1, global_=True))
    await ch.consume("other", "o")
    fill(ch, "other", 1)
    first = await ch.delivery()
    await ch.consume("q", "c")
    fill(ch, "q", 1)
    assert await taken(ch, 0, left=1) == []
    ch.send(Basic.Ack(delivery_tag=first.tag))
    assert await taken(ch, 1) == [("c", b"0")]


async def test_full_queues_of_one_channel_share_its_prefetch(ch: Lane) -> None:
    """RabbitMQ lets chance decide whose turn it is; here it goes round."""
    for queue in "abc":
        await ch.declare(queue, exclusive=True)
        fill(ch, queue, 60)
        await ch.until_ready(queue, 60)
    await ch.call(Basic.Qos(prefetch_count=1, global_=True))
    for queue in "abc":
        await ch.ask(Basic.Consume(queue=queue, consumer_tag=queue))
    turns = {"a": 0, "b": 0, "c": 0}
    while min(turns.values()) < 2:
        message = await ch.delivery()
        turns[message.method.consumer_tag] += 1
        ch.send(Basic.Ack(delivery_tag=message.tag))


async def test_a_global_prefetch_that_is_used_up_holds_without_acknowledgements(ch: Lane) -> None:
    for queue in ("q", "free"):
        await ch.declare(queue, exclusive=True)
    await ch.call(Basic.Qos(prefetch_count=1, global_=True))
    await ch.consume("q", "q")
    await ch.consume("free", "free", no_ack=True)
    fill(ch, "free", 3)  # which need no room, but that there is some
    assert len(await taken(ch, 3)) == 3
    fill(ch, "q", 1)
    first = await ch.delivery()
    fill(ch, "free", 2)
    await ch.until_ready("free", 2)
    assert await taken(ch, 0, left=0) == []
    ch.send(Basic.Ack(delivery_tag=first.tag))
    assert await taken(ch, 2) == [("free", b"0"), ("free", b"1")]


async def test_a_global_prefetch_that_is_lifted_holds_nothing_back(ch: Lane) -> None:
    for queue in ("q", "free"):
        await ch.declare(queue, exclusive=True)
    await ch.consume("free", "free", no_ack=True)
    await ch.consume("q", "q")
    await ch.call(Basic.Qos(prefetch_count=1, global_=True))
    fill(ch, "q", 1)
    assert (await ch.delivery()).body == b"0"
    fill(ch, "free", 2)
    await ch.until_ready("free", 2)
    await ch.ask(Basic.Qos(prefetch_count=0, global_=True))
    assert await taken(ch, 2) == [("free", b"0"), ("free", b"1")]


@pytest.mark.parametrize("prefetch", [0, 1])
async def test_a_prefetch_of_consumers_lifts_the_global_one(ch: Lane, prefetch: int) -> None:
    await ch.declare("q", exclusive=True)
    await ch.call(Basic.Qos(prefetch_count=1, global_=True))
    await ch.consume("q", "first")
    fill(ch, "q", 4)
    assert await taken(ch, 1, left=3) == [("first", b"0")]
    await ch.ask(Basic.Qos(prefetch_count=prefetch))
    assert await taken(ch, 3) == [("first", b"1"), ("first", b"2"), ("first", b"3")]
    await ch.consume("q", "second")  # which has the new prefetch, and the first one has none
    fill(ch, "q", 6)
    tags = [tag for tag, _ in await taken(ch, 6)]
    assert not prefetch or tags.count("second") == prefetch


async def test_a_global_prefetch_holds_again_after_one_of_consumers(ch: Lane) -> None:
    await ch.declare("q", exclusive=True)
    await ch.call(Basic.Qos(prefetch_count=3, global_=True))
    await ch.call(Basic.Qos(prefetch_count=1))
    await ch.call(Basic.Qos(prefetch_count=2, global_=True))
    for tag in "abc":
        await ch.consume("q", tag)
    fill(ch, "q", 4)
    assert len(await taken(ch, 2, left=2)) == 2
