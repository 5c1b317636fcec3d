"""Queues: how they are declared, named, kept, emptied and deleted."""

from __future__ import annotations

import re
from typing import Any

import pytest
from pamqp.commands import Basic, Queue

from tests.behaviour.amqp.script import Client, Connect, Lane, Refusal


async def test_the_broker_names_a_queue_that_has_no_name(ch: Lane) -> None:
    names = [await ch.declare("", exclusive=True) for _ in range(3)]
    assert len(set(names)) == 3
    for name in names:
        assert re.fullmatch(r"amq\.gen-[A-Za-z0-9_-]{22}", name)


async def test_an_empty_name_later_is_the_queue_declared_last(ch: Lane) -> None:
    name = await ch.declare("", exclusive=True)
    ch.publish("", name, b"m")
    assert await ch.bodies("") == [b"m"]
    await ch.call(Queue.Bind(queue="", exchange="amq.direct", routing_key=""))
    ch.publish("amq.direct", name, b"by its name")
    await ch.consume("", no_ack=True)
    assert (await ch.delivery()).body == b"by its name"


async def test_an_empty_name_is_refused_where_none_was_declared(ch: Lane) -> None:
    assert await ch.refused(Basic.Get(queue="")) == Refusal(
        404, "NOT_FOUND - no previously declared queue", "Basic.Get"
    )


async def test_a_missing_queue_is_not_found(ch: Lane, ch2: Lane, vhost: str) -> None:
    text = f"NOT_FOUND - no queue 'no' in vhost '{vhost}'"
    assert await ch.refused(Basic.Get(queue="no")) == Refusal(404, text, "Basic.Get")
    assert await ch2.refused(Basic.Consume(queue="no")) == Refusal(404, text, "Basic.Consume")
    for method in (Queue.Declare(queue="no", passive=True), Queue.Purge(queue="no")):
        lane = await ch.client.channel()
        assert await lane.refused(method) == Refusal(404, text, method.name)


async def test_a_declare_tells_true_counts(ch: Lane, far: Lane) -> None:
    await ch.declare("q")
    for _ in range(5):
        ch.publish("", "q", b"m")
    await ch.get("q", no_ack=False)
    await ch.until_ready("q", 4)
    await far.call(Basic.Qos(prefetch_count=3))
    await far.consume("q")
    for _ in range(3):
        await far.delivery()
    await ch.until_ready("q", 1)
    assert await ch.counts("q") == (1, 1)
    answer = await ch.call(Queue.Declare(queue="q", durable=True))
    assert (answer.queue, answer.message_count, answer.consumer_count) == ("q", 1, 1)


async def test_a_passive_declare_asks_for_the_name_only(ch: Lane) -> None:
    await ch.declare("q", x_max_length=5)
    answer = await ch.call(Queue.Declare(queue="q", passive=True, auto_delete=True))
    assert answer.queue == "q"


# -- exclusive ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "method",
    [
        Queue.Declare(queue="q"),
        Queue.Declare(queue="q", passive=True),
        Queue.Purge(queue="q"),
        Queue.Delete(queue="q"),
        Queue.Bind(queue="q", exchange="amq.direct"),
        Basic.Consume(queue="q"),
        Basic.Get(queue="q"),
    ],
    ids=lambda method: f"{method.name}{' passive' * getattr(method, 'passive', False)}",
)
async def test_an_exclusive_queue_is_locked_for_others(
    ch: Lane, far: Lane, vhost: str, method: Any
) -> None:
    await ch.declare("q", exclusive=True)
    assert await far.refused(method) == Refusal(
        405,
        f"RESOURCE_LOCKED - cannot obtain exclusive access to locked queue 'q' in vhost '{vhost}'. "
        "It could be originally declared on another connection or the exclusive property value "
        "does not match that of the original declaration.",
        method.name,
    )


async def test_an_exclusive_queue_is_open_to_all_channels_of_its_connection(
    ch: Lane, ch2: Lane
) -> None:
    await ch.declare("q", exclusive=True)
    assert await ch2.declare("q", exclusive=True) == "q"
    assert await ch2.counts("q") == (0, 0)


async def test_others_may_publish_to_an_exclusive_queue(ch: Lane, far: Lane) -> None:
    await ch.declare("q", exclusive=True)
    await far.confirms()
    far.publish("", "q", b"m")
    await far.next()
    assert await ch.bodies("q") == [b"m"]


async def test_a_queue_cannot_become_exclusive(ch: Lane, vhost: str) -> None:
    await ch.declare("q")
    assert await ch.refused(Queue.Declare(queue="q", durable=True, exclusive=True)) == Refusal(
        405,
        f"RESOURCE_LOCKED - cannot obtain exclusive access to locked queue 'q' in vhost '{vhost}'. "
        "It could be originally declared on another connection or the exclusive property value "
        "does not match that of the original declaration.",
        "Queue.Declare",
    )


async def test_an_exclusive_queue_ends_with_its_connection(
    connect: Connect, ch: Lane, vhost: str
) -> None:
    brief = await connect()
    await (await brief.channel()).declare("q", exclusive=True)
    await brief.close()
    assert (await ch.refused(Basic.Get(queue="q"))).code == 404


async def test_an_exclusive_queue_ends_with_a_connection_that_broke(
    connect: Connect, ch: Lane
) -> None:
    brief = await connect()
    lane = await brief.channel()
    await lane.declare("gone", exclusive=True)
    await lane.declare("left", x_max_length=1)
    await lane.consume("left")
    await brief.hang_up()
    await ch.until_consumers("left", 0)
    await ch.until_missing("gone")


# -- auto-delete ----------------------------------------------------------------------------------


async def test_an_auto_delete_queue_ends_with_its_last_consumer(ch: Lane) -> None:
    await ch.call(Queue.Declare(queue="q", auto_delete=True))
    await ch.consume("q", "a")
    await ch.consume("q", "b")
    await ch.call(Basic.Cancel(consumer_tag="a"))
    assert await ch.counts("q") == (0, 1)
    await ch.call(Basic.Cancel(consumer_tag="b"))
    assert (await ch.refused(Queue.Declare(queue="q", passive=True))).code == 404


async def test_an_auto_delete_queue_that_never_had_a_consumer_stays(
    connect: Connect, ch: Lane
) -> None:
    brief = await connect()
    await (await brief.channel()).call(Queue.Declare(queue="q", auto_delete=True))
    await brief.close()
    assert await ch.counts("q") == (0, 0)


async def test_an_auto_delete_queue_ends_when_its_consumers_channel_closes(
    ch: Lane, far: Lane
) -> None:
    await far.call(Queue.Declare(queue="q", auto_delete=True))
    await far.consume("q")
    await far.close()
    await ch.until_missing("q")


# -- purge and delete -----------------------------------------------------------------------------


async def test_purge_takes_what_is_ready_and_leaves_what_is_taken(ch: Lane) -> None:
    await ch.declare("q", exclusive=True)
    for number in range(4):
        ch.publish("", "q", bytes([number]))
    taken = await ch.get("q", no_ack=False)
    assert taken is not None
    assert (await ch.call(Queue.Purge(queue="q"))).message_count == 3
    ch.send(Basic.Nack(delivery_tag=taken.tag, requeue=True))
    assert await ch.bodies("q") == [b"\0"]


async def test_delete_tells_how_many_messages_went(ch: Lane) -> None:
    await ch.declare("q")
    for _ in range(3):
        ch.publish("", "q", b"m")
    assert (await ch.call(Queue.Delete(queue="q"))).message_count == 3
    assert (await ch.refused(Queue.Declare(queue="q", passive=True))).code == 404


async def test_deleting_a_missing_queue_does_nothing(ch: Lane) -> None:
    assert (await ch.call(Queue.Delete(queue="no"))).message_count == 0


async def test_a_queue_in_use_is_not_deleted_if_unused(ch: Lane, vhost: str) -> None:
    await ch.declare("q")
    await ch.consume("q")
    assert await ch.refused(Queue.Delete(queue="q", if_unused=True)) == Refusal(
        406, f"PRECONDITION_FAILED - queue 'q' in vhost '{vhost}' in use", "Queue.Delete"
    )


async def test_a_queue_that_is_not_empty_is_not_deleted_if_empty(ch: Lane, vhost: str) -> None:
    await ch.declare("q")
    ch.publish("", "q", b"m")
    assert await ch.refused(Queue.Delete(queue="q", if_empty=True)) == Refusal(
        406, f"PRECONDITION_FAILED - queue 'q' in vhost '{vhost}' not empty", "Queue.Delete"
    )


async def test_a_queue_that_is_unused_and_empty_is_deleted(ch: Lane) -> None:
    await ch.declare("q")
    answer = await ch.call(Queue.Delete(queue="q", if_unused=True, if_empty=True))
    assert isinstance(answer, Queue.DeleteOk)


async def test_deleting_a_queue_deletes_its_bindings(ch: Lane) -> None:
    await ch.declare("q")
    await ch.call(Queue.Bind(queue="q", exchange="amq.fanout"))
    await ch.call(Queue.Delete(queue="q"))
    await ch.declare("q")
    ch.publish("amq.fanout", "", b"lost")
    assert await ch.bodies("q") == []


async def test_two_connections_share_a_queue(amqp: Client, ch: Lane, far: Lane) -> None:
    await ch.declare("q")
    await far.declare("q")
    ch.publish("", "q", b"m")
    await far.until_ready("q", 1)
    assert await far.bodies("q") == [b"m"]
