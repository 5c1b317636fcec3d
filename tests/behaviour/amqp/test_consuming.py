"""Consumers: who gets what, how much at once, and how they end."""

from __future__ import annotations

import re
from typing import Any

import pytest
from pamqp.commands import Basic, Channel, Queue

from tests.behaviour.amqp.script import Client, Connect, Lane, Refusal


def fill(ch: Lane, queue: str, count: int) -> None:
    for number in range(count):
        ch.publish("", queue, b"%d" % number)


async def taken(ch: Lane, count: int, *, left: int = 0) -> list[tuple[str, bytes]]:
    """Tag and body of so many deliveries; the others that `fill` sent stay in the queue."""
    found = [await ch.delivery() for _ in range(count)]
    await ch.until_ready("q", left)
    assert await ch.nothing_came()
    return [(message.method.consumer_tag, message.body) for message in found]


async def test_a_delivery_says_where_it_comes_from(ch: Lane) -> None:
    await ch.declare("q", exclusive=True)
    await ch.call(Queue.Bind(queue="q", exchange="amq.direct", routing_key="key"))
    await ch.consume("q", "me")
    ch.publish("amq.direct", "key", b"body", content_type="text/plain", message_id="7")
    message = await ch.delivery()
    deliver = message.method
    assert (deliver.consumer_tag, deliver.delivery_tag, deliver.redelivered) == ("me", 1, False)
    assert (deliver.exchange, deliver.routing_key) == ("amq.direct", "key")
    assert message.body == b"body"
    assert message.properties.content_type == "text/plain"
    assert message.properties.message_id == "7"


async def test_the_broker_names_a_consumer_that_has_no_name(ch: Lane) -> None:
    await ch.declare("q", exclusive=True)
    tags = {await ch.consume("q", "") for _ in range(3)}
    assert len(tags) == 3
    for tag in tags:
        assert re.fullmatch(r"amq\.ctag-[A-Za-z0-9_-]{22}", tag)


async def test_a_consumer_tag_that_is_taken_costs_the_connection(ch: Lane) -> None:
    await ch.declare("q", exclusive=True)
    await ch.consume("q", "me")
    refusal = await ch.client.refused(Basic.Consume(queue="q", consumer_tag="me"), ch.number)
    assert refusal == Refusal(
        530, "NOT_ALLOWED - attempt to reuse consumer tag 'me'", "Basic.Consume"
    )


async def test_channels_may_have_consumers_of_one_name(ch: Lane, ch2: Lane) -> None:
    await ch.declare("q", exclusive=True)
    assert [await ch.consume("q", "me"), await ch2.consume("q", "me")] == ["me", "me"]


async def test_consume_without_an_answer_begins_all_the_same(ch: Lane) -> None:
    await ch.declare("q", exclusive=True)
    ch.send(Basic.Consume(queue="q", consumer_tag="me", nowait=True))
    ch.publish("", "q", b"m")
    assert (await ch.delivery()).body == b"m"


async def test_consumers_of_a_queue_take_turns(ch: Lane) -> None:
    await ch.declare("q", exclusive=True)
    for tag in "abc":
        await ch.consume("q", tag)
    fill(ch, "q", 6)
    assert await taken(ch, 6) == [
        ("a", b"0"),
        ("b", b"1"),
        ("c", b"2"),
        ("a", b"3"),
        ("b", b"4"),
        ("c", b"5"),
    ]


# -- prefetch -------------------------------------------------------------------------------------


# -- exclusive consumers, priorities ---------------------------------------------------------------


async def test_an_exclusive_consumer_is_the_only_one(ch: Lane, far: Lane, vhost: str) -> None:
    await ch.declare("q")
    await ch.consume("q", "only", exclusive=True)
    assert await far.refused(Basic.Consume(queue="q")) == Refusal(
        403,
        f"ACCESS_REFUSED - queue 'q' in vhost '{vhost}' in exclusive use",
        "Basic.Consume",
    )


async def test_a_consumer_cannot_be_exclusive_where_there_are_others(
    ch: Lane, far: Lane, vhost: str
) -> None:
    await ch.declare("q")
    await ch.consume("q", "first")
    assert await far.refused(Basic.Consume(queue="q", exclusive=True)) == Refusal(
        403,
        f"ACCESS_REFUSED - queue 'q' in vhost '{vhost}' in exclusive use",
        "Basic.Consume",
    )


async def test_another_may_consume_when_the_exclusive_one_ended(ch: Lane, far: Lane) -> None:
    await ch.declare("q")
    await ch.consume("q", "only", exclusive=True)
    await ch.call(Basic.Cancel(consumer_tag="only"))
    assert await far.consume("q", "next") == "next"


async def test_the_consumer_of_the_highest_priority_gets_all_it_can_take(ch: Lane) -> None:
    await ch.declare("q", exclusive=True)
    await ch.call(Basic.Qos(prefetch_count=2))
    await ch.consume("q", "low", arguments={"x-priority": -1})
    await ch.consume("q", "none")
    await ch.consume("q", "high", arguments={"x-priority": 10})
    fill(ch, "q", 6)
    assert [tag for tag, _ in await taken(ch, 6)] == ["high"] * 2 + ["none"] * 2 + ["low"] * 2


async def test_a_consumer_priority_that_is_no_number_is_refused(ch: Lane, vhost: str) -> None:
    await ch.declare("q", exclusive=True)
    refusal = await ch.refused(Basic.Consume(queue="q", arguments={"x-priority": "high"}))
    assert refusal == Refusal(
        406,
        f"PRECONDITION_FAILED - invalid arg 'x-priority' for queue 'q' in vhost '{vhost}': "
        '"expected integer, got longstr"',
        "Basic.Consume",
    )


@pytest.mark.parametrize(
    ("kind", "name", "value", "why"),
    [
        ("classic", "x-cancel-on-ha-failover", "yes", ": {unacceptable_type,longstr}"),
        ("quorum", "x-cancel-on-ha-failover", True, " of queue type rabbit_quorum_queue"),
        ("classic", "x-stream-offset", "first", " of queue type rabbit_classic_queue"),
        ("quorum", "x-stream-offset", "first", " of queue type rabbit_quorum_queue"),
    ],
)
async def test_an_argument_that_the_queue_does_not_know_is_refused(
    ch: Lane, vhost: str, since_4: bool, kind: str, name: str, value: Any, why: str
) -> None:
    await ch.declare("q", x_queue_type=kind)
    if since_4 and name == "x-cancel-on-ha-failover":  # which means nothing any more
        assert await ch.consume("q", arguments={name: value}) == "c"
        return
    assert await ch.refused(Basic.Consume(queue="q", arguments={name: value})) == Refusal(
        406,
        f"PRECONDITION_FAILED - invalid arg '{name}' for queue 'q' in vhost '{vhost}'{why}",
        "Basic.Consume",
    )


async def test_no_local_makes_no_difference(ch: Lane) -> None:
    await ch.declare("q", exclusive=True)
    await ch.consume("q", no_local=True)
    fill(ch, "q", 1)
    assert (await ch.delivery()).body == b"0"


# -- how consumers end ----------------------------------------------------------------------------


async def test_a_cancelled_consumer_gets_nothing_more(ch: Lane) -> None:
    await ch.declare("q", exclusive=True)
    await ch.consume("q", "a")
    assert (await ch.call(Basic.Cancel(consumer_tag="a"))).consumer_tag == "a"
    fill(ch, "q", 1)
    await ch.until_ready("q", 1)
    assert await ch.nothing_came()


async def test_cancelling_requeues_nothing_and_what_was_taken_may_be_acknowledged(
    ch: Lane,
) -> None:
    await ch.declare("q", exclusive=True)
    await ch.consume("q", "a")
    fill(ch, "q", 2)
    first, second = await ch.delivery(), await ch.delivery()
    await ch.call(Basic.Cancel(consumer_tag="a"))
    assert await ch.counts("q") == (0, 0)
    ch.send(Basic.Ack(delivery_tag=first.tag), Basic.Nack(delivery_tag=second.tag))
    assert await ch.bodies("q") == [b"1"]


async def test_cancelling_an_unknown_consumer_is_answered(ch: Lane) -> None:
    assert (await ch.call(Basic.Cancel(consumer_tag="no"))).consumer_tag == "no"


async def test_a_consumer_is_told_when_its_queue_is_deleted(ch: Lane, far: Lane) -> None:
    await ch.declare("q")
    await ch.consume("q", "a")
    await far.call(Queue.Delete(queue="q"))
    cancel = await ch.next()
    assert isinstance(cancel, Basic.Cancel)
    assert (cancel.consumer_tag, cancel.nowait) == ("a", True)
    assert isinstance(await ch.call(Basic.Qos()), Basic.QosOk)


async def test_a_client_that_does_not_know_cancels_is_not_told(connect: Connect, far: Lane) -> None:
    old = await connect(capabilities={})
    lane = await old.channel()
    await lane.declare("q")
    await lane.consume("q", "a")
    await far.call(Queue.Delete(queue="q"))
    assert isinstance(await lane.call(Basic.Qos()), Basic.QosOk)
    assert await lane.nothing_came()


async def test_what_a_deleted_queue_had_delivered_may_be_acknowledged(ch: Lane) -> None:
    await ch.declare("q")
    fill(ch, "q", 1)
    message = await ch.get("q", no_ack=False)
    assert message is not None
    await ch.call(Queue.Delete(queue="q"))
    ch.send(Basic.Ack(delivery_tag=message.tag))
    assert isinstance(await ch.call(Basic.Qos()), Basic.QosOk)


async def test_deliveries_in_flight_come_before_cancel_ok(ch: Lane, ch2: Lane) -> None:
    await ch.declare("q", exclusive=True)
    fill(ch2, "q", 20)
    await ch2.until_ready("q", 20)
    await ch.consume("q", "a")
    ch.send(Basic.Cancel(consumer_tag="a"))
    delivered = 0
    while not isinstance(came := await ch.next(), Basic.CancelOk):
        assert came.body == b"%d" % delivered
        delivered += 1
    await ch2.until_ready("q", 20 - delivered)


async def test_a_broken_connection_gives_all_it_had_taken_back_in_order(
    connect: Connect, ch: Lane
) -> None:
    await ch.declare("q")
    fill(ch, "q", 5)
    brief = await connect()
    lane = await brief.channel()
    await lane.call(Basic.Qos(prefetch_count=3))
    await lane.consume("q")
    for _ in range(3):
        await lane.delivery()
    await brief.hang_up()
    await ch.until_ready("q", 5)
    found = [m for m in [await ch.get("q") for _ in range(5)] if m]
    assert [m.body for m in found] == [b"0", b"1", b"2", b"3", b"4"]
    assert [m.method.redelivered for m in found] == [True, True, True, False, False]


async def test_a_consumer_that_closes_its_channel_leaves_the_rest_to_others(
    amqp: Client, far: Lane
) -> None:
    lane = await amqp.channel()
    await lane.declare("q")
    await lane.consume("q")
    fill(lane, "q", 3)
    for _ in range(3):
        await lane.delivery()
    await far.consume("q", "next")
    lane.send(Channel.Close(200, "", 0, 0))
    assert [(await far.delivery()).body for _ in range(3)] == [b"0", b"1", b"2"]
