"""Queues with a single active consumer (x-single-active-consumer): who is it, and who comes next.

https://www.rabbitmq.com/docs/consumers#single-active-consumer
"""

from __future__ import annotations

from pamqp.commands import Basic, Channel

from tests.behaviour.amqp.script import Client, Lane, Refusal
from tests.behaviour.amqp.test_consuming import fill, taken


async def bodies(ch: Lane, count: int) -> list[bytes]:
    """What the next deliveries say."""
    return [(await ch.delivery()).body for _ in range(count)]


async def test_one_consumer_is_active_and_the_next_follows(ch: Lane, far: Lane) -> None:
    await ch.declare("q", x_single_active_consumer=True)
    await ch.consume("q", "first")
    await far.consume("q", "second")
    fill(ch, "q", 2)
    assert await taken(ch, 2) == [("first", b"0"), ("first", b"1")]
    assert await far.nothing_came()
    ch.send(Basic.Ack(delivery_tag=1))
    await ch.close()
    again = await far.delivery()
    assert (again.body, again.method.redelivered) == (b"1", True)
    far.publish("", "q", b"2")
    assert (await far.delivery()).body == b"2"


async def test_a_single_active_queue_takes_no_exclusive_consumers(ch: Lane, vhost: str) -> None:
    await ch.declare("q", x_single_active_consumer=True)
    assert await ch.refused(Basic.Consume(queue="q", exclusive=True)) == Refusal(
        403,
        f"ACCESS_REFUSED - queue 'q' in vhost '{vhost}' in exclusive use",
        "Basic.Consume",
    )


async def test_the_next_one_gets_first_what_the_last_one_held(ch: Lane, far: Lane) -> None:
    await ch.declare("q", x_single_active_consumer=True)
    await ch.call(Basic.Qos(prefetch_count=2))
    await ch.consume("q", "first")
    await far.consume("q", "second")
    fill(ch, "q", 4)
    assert await taken(ch, 2, left=2) == [("first", b"0"), ("first", b"1")]
    await ch.close()
    assert await bodies(far, 4) == [b"0", b"1", b"2", b"3"]


async def test_the_next_one_gets_first_what_a_broken_connection_held(
    other: Client, ch: Lane
) -> None:
    lane = await other.channel()
    await ch.declare("q", x_single_active_consumer=True)
    await lane.call(Basic.Qos(prefetch_count=1))
    await lane.consume("q", "first")
    await ch.consume("q", "second")
    fill(ch, "q", 3)
    assert (await lane.delivery()).body == b"0"
    await other.hang_up()
    assert await bodies(ch, 3) == [b"0", b"1", b"2"]


async def test_a_channel_that_closes_hands_nothing_to_another_of_its_consumers(
    ch: Lane, far: Lane
) -> None:
    await ch.declare("q", x_single_active_consumer=True)
    await ch.call(Basic.Qos(prefetch_count=1))
    await ch.consume("q", "first")
    await ch.consume("q", "second")
    fill(ch, "q", 3)
    assert await taken(ch, 1, left=2) == [("first", b"0")]
    await ch.close()  # and nothing comes after close-ok
    ch.send(Channel.Open())
    assert isinstance(await ch.next(), Channel.OpenOk)
    await far.until_ready("q", 3)
    found = [message for message in [await far.get("q") for _ in range(3)] if message]
    assert [(m.body, m.method.redelivered) for m in found] == [
        (b"0", True),
        (b"1", False),
        (b"2", False),
    ]


async def test_the_next_one_follows_though_the_active_one_held_nothing(ch: Lane, far: Lane) -> None:
    await ch.declare("other")
    await ch.declare("q", x_single_active_consumer=True)
    await ch.call(Basic.Qos(prefetch_count=1, global_=True))
    await ch.consume("other")
    fill(ch, "other", 1)
    await ch.delivery()
    await ch.consume("q", "first")
    await far.consume("q", "second")
    fill(ch, "q", 2)
    assert await taken(ch, 0, left=2) == []
    await ch.close()
    assert await bodies(far, 2) == [b"0", b"1"]


async def test_the_next_one_follows_when_the_active_one_cancels(ch: Lane, far: Lane) -> None:
    await ch.declare("q", x_single_active_consumer=True)
    await ch.consume("q", "first")
    await far.consume("q", "second")
    fill(ch, "q", 1)
    assert await taken(ch, 1) == [("first", b"0")]
    await ch.call(Basic.Cancel(consumer_tag="first"))
    fill(ch, "q", 2)
    assert await bodies(far, 2) == [b"0", b"1"]
    ch.send(Basic.Nack(delivery_tag=1, requeue=True))  # it comes to the one that is active now
    again = await far.delivery()
    assert (again.body, again.method.redelivered) == (b"0", True)


async def test_the_next_one_is_the_one_of_the_highest_priority(ch: Lane, far: Lane) -> None:
    await ch.declare("q", x_single_active_consumer=True)
    await ch.consume("q", "first")
    await far.consume("q", "low", arguments={"x-priority": 1})
    await far.consume("q", "high", arguments={"x-priority": 5})
    await ch.call(Basic.Cancel(consumer_tag="first"))
    fill(ch, "q", 1)
    assert (await far.delivery()).method.consumer_tag == "high"


async def test_an_active_consumer_stays_when_one_of_higher_priority_comes(
    ch: Lane, far: Lane
) -> None:
    await ch.declare("q", x_single_active_consumer=True)
    await ch.consume("q", "first")
    await far.consume("q", "high", arguments={"x-priority": 5})
    fill(ch, "q", 1)
    assert await taken(ch, 1) == [("first", b"0")]


async def test_a_single_active_quorum_queue_has_no_get(ch: Lane, vhost: str) -> None:
    await ch.declare("q", x_queue_type="quorum", x_single_active_consumer=True)
    assert await ch.refused(Basic.Get(queue="q")) == Refusal(
        405,
        f"RESOURCE_LOCKED - cannot obtain access to locked queue 'q' in vhost '{vhost}'. basic.get "
        "operations are not supported by quorum queues with single active consumer",
        "Basic.Get",
    )
