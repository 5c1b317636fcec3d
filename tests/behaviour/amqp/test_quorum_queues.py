"""Quorum queues: their delivery count and limit, and what they do not know."""

from __future__ import annotations

from typing import Any

import pytest
from pamqp.commands import Basic, Queue

from tests.behaviour.amqp.script import Lane, Message, Refusal


async def quorum(ch: Lane, queue: str = "q", **arguments: Any) -> None:
    await ch.declare(queue, x_queue_type="quorum", **arguments)


async def got(ch: Lane, queue: str = "q") -> Message:
    await ch.until_ready(queue, 1)
    message = await ch.get(queue, no_ack=False)
    assert message is not None
    return message


async def test_a_delivery_count_comes_with_each_delivery(ch: Lane, since_4: bool) -> None:
    await quorum(ch)
    ch.publish("", "q", b"m")
    counts = []
    for _ in range(3):
        message = await got(ch)
        counts.append((message.headers.get("x-delivery-count"), message.method.redelivered))
        ch.send(Basic.Nack(delivery_tag=message.tag, requeue=True))
    at_first = None if since_4 else 0
    assert counts == [(at_first, False), (1, True), (2, True)]
    assert ("x-delivery-count", "l", 3) in (await got(ch)).typed_headers


async def test_what_comes_back_too_often_is_dropped(ch: Lane) -> None:
    await quorum(ch, x_delivery_limit=1)
    ch.publish("", "q", b"m")
    for _ in range(2):
        ch.send(Basic.Nack(delivery_tag=(await got(ch)).tag, requeue=True))
    await ch.until_ready("q", 0)
    assert await ch.get("q") is None


async def test_what_comes_back_more_than_20_times_is_dropped_since_4_and_kept_before(
    ch: Lane, since_4: bool
) -> None:
    await quorum(ch)  # which says no limit
    ch.publish("", "q", b"m")
    for _ in range(21):
        ch.send(Basic.Nack(delivery_tag=(await got(ch)).tag, requeue=True))
    await ch.until_ready("q", 0 if since_4 else 1)


async def test_what_comes_back_too_often_is_dead_lettered(ch: Lane) -> None:
    await ch.declare("dead", exclusive=True)
    await quorum(
        ch, x_delivery_limit=1, x_dead_letter_exchange="", x_dead_letter_routing_key="dead"
    )
    ch.publish("", "q", b"m")
    for _ in range(2):
        ch.send(Basic.Nack(delivery_tag=(await got(ch)).tag, requeue=True))
    message = await got(ch, "dead")
    (death,) = message.headers["x-death"]
    assert (death["reason"], death["queue"], death["count"]) == ("delivery_limit", "q", 1)
    assert message.headers["x-first-death-reason"] == "delivery_limit"
    assert "x-delivery-count" not in message.headers


async def test_a_quorum_queue_routes_confirms_and_settles_as_any(ch: Lane) -> None:
    await quorum(ch)
    await ch.confirms()
    for content in (b"1", b"2"):
        ch.publish("", "q", content)
        assert isinstance(await ch.next(), Basic.Ack)
    first = await ch.get("q", no_ack=False)
    assert first is not None
    ch.send(Basic.Ack(delivery_tag=first.tag))
    assert await ch.bodies("q") == [b"2"]


async def test_a_quorum_queue_delivers_to_consumers(ch: Lane) -> None:
    await quorum(ch)
    await ch.call(Basic.Qos(prefetch_count=1))
    await ch.consume("q")
    for content in (b"1", b"2"):
        ch.publish("", "q", content)
    first = await ch.delivery()
    ch.send(Basic.Ack(delivery_tag=first.tag))
    assert [first.body, (await ch.delivery()).body] == [b"1", b"2"]


async def test_a_global_prefetch_is_not_for_quorum_queues(ch: Lane, vhost: str) -> None:
    await quorum(ch)
    await ch.call(Basic.Qos(prefetch_count=1, global_=True))
    refusal = await ch.client.refused(Basic.Consume(queue="q", consumer_tag="c"), ch.number)
    assert refusal == Refusal(
        540,
        f"NOT_IMPLEMENTED - queue 'q' in vhost '{vhost}' does not support global qos",
        "Basic.Consume",
    )


NOT_FOR_QUORUM: list[tuple[dict[str, Any], str, str]] = [
    ({"durable": False}, "property 'non-durable'", ""),
    ({"exclusive": True}, "property 'exclusive-owner'", ""),
    ({"auto_delete": True}, "property 'auto-delete'", ""),
    (
        {"arguments": {"x-queue-type": "quorum", "x-max-priority": 5}},
        "arg 'x-max-priority'",
        " of queue type rabbit_quorum_queue",
    ),
    (
        {"arguments": {"x-queue-type": "quorum", "x-queue-mode": "lazy"}},
        "arg 'x-queue-mode'",
        " of queue type rabbit_quorum_queue",
    ),
]


@pytest.mark.parametrize("number", range(len(NOT_FOR_QUORUM)))
async def test_what_a_quorum_queue_cannot_be_is_refused(ch: Lane, vhost: str, number: int) -> None:
    option, what, kind = NOT_FOR_QUORUM[number]
    declare = Queue.Declare(
        **{"queue": "q", "durable": True, "arguments": {"x-queue-type": "quorum"}, **option}
    )
    assert await ch.refused(declare) == Refusal(
        406,
        f"PRECONDITION_FAILED - invalid {what} for queue 'q' in vhost '{vhost}'{kind}",
        "Queue.Declare",
    )


async def test_a_delivery_limit_is_not_for_classic_queues(ch: Lane, vhost: str) -> None:
    refusal = await ch.refused(
        Queue.Declare(queue="q", durable=True, arguments={"x-delivery-limit": 1})
    )
    assert refusal == Refusal(
        406,
        f"PRECONDITION_FAILED - invalid arg 'x-delivery-limit' for queue 'q' in vhost '{vhost}' of "
        "queue type rabbit_classic_queue",
        "Queue.Declare",
    )


async def test_a_quorum_queue_is_declared_again_as_quorum_only(
    ch: Lane, vhost: str, since_4: bool
) -> None:
    await quorum(ch)
    # Since RabbitMQ 4 a queue that is declared without a type is one of type 'classic'.
    text = (
        "received 'classic' but current is 'quorum'"
        if since_4
        else "received none but current is the value 'quorum' of type 'longstr'"
    )
    assert await ch.refused(Queue.Declare(queue="q", durable=True)) == Refusal(
        406,
        f"PRECONDITION_FAILED - inequivalent arg 'x-queue-type' for queue 'q' in vhost '{vhost}': "
        f"{text}",
        "Queue.Declare",
    )


# -- what comes back ------------------------------------------------------------------------------


async def held(ch: Lane, count: int, of: int, **arguments: Any) -> None:
    """A quorum queue `q` of so many messages; the channel got the first, and holds them."""
    await quorum(ch, **arguments)
    for number in range(of):
        ch.publish("", "q", b"%d" % number)
    await ch.until_ready("q", of)
    for _ in range(count):
        await ch.get("q", no_ack=False)


async def rest(ch: Lane, count: int) -> bytes:
    """All that the queue has, once there are so many messages in it."""
    await ch.until_ready("q", count)
    return b"".join(await ch.bodies("q"))


@pytest.mark.parametrize("limit", [None, 9])
async def test_what_a_closed_channel_held_comes_first(
    ch: Lane, far: Lane, limit: int | None
) -> None:
    await held(ch, 3, of=5, **({} if limit is None else {"x_delivery_limit": limit}))
    await ch.close()
    assert await rest(far, 5) == b"01234"


async def test_with_a_limit_what_comes_back_comes_first_in_the_order_of_its_return(
    ch: Lane, far: Lane
) -> None:
    await held(ch, 4, of=6, x_delivery_limit=9)
    ch.send(*(Basic.Nack(delivery_tag=tag, requeue=True) for tag in (4, 3, 1)))
    await ch.until_ready("q", 5)
    assert await rest(far, 5) == b"32045"


async def test_what_was_returned_with_a_limit_stands_before_what_a_closed_channel_held(
    ch: Lane, far: Lane
) -> None:
    await held(ch, 4, of=6, x_delivery_limit=9)
    ch.send(Basic.Nack(delivery_tag=3, requeue=True))
    await ch.close()
    assert await rest(far, 6) == b"201345"


# -- what they refuse, and what they do not -------------------------------------------------------


@pytest.mark.parametrize("flag", ["if-unused", "if-empty"])
async def test_a_quorum_queue_is_deleted_without_conditions(
    ch: Lane, vhost: str, flag: str
) -> None:
    await quorum(ch)
    condition: dict[str, Any] = {flag.replace("-", "_"): True}
    refusal = await ch.client.refused(Queue.Delete(queue="q", **condition), ch.number)
    assert refusal == Refusal(
        540,
        f"NOT_IMPLEMENTED - cannot delete queue 'q' in vhost '{vhost}'. queue.delete operations "
        f"with {flag} flag set are not supported by quorum queues",
        "Queue.Delete",
    )


async def test_a_quorum_queue_has_no_exclusive_consumers(ch: Lane, far: Lane) -> None:
    await quorum(ch)
    await ch.consume("q", "a", exclusive=True)
    await far.consume("q", "b", exclusive=True)
    await ch.until_consumers("q", 2)


INVALID: list[tuple[str, Any, str]] = [
    ("x-dead-letter-strategy", "foo", "invalid_dlx_strategy"),
    ("x-dead-letter-strategy", True, "{unacceptable_type,bool}"),
    ("x-max-in-memory-length", -1, "{value_negative,-1}"),
    ("x-max-in-memory-length", "a", '"expected integer, got longstr"'),
    ("x-max-in-memory-bytes", True, '"expected integer, got bool"'),
    ("x-quorum-initial-group-size", 0, "{value_zero,0}"),
    ("x-quorum-initial-group-size", "a", '"expected integer, got longstr"'),
]


@pytest.mark.parametrize(("name", "value", "why"), INVALID)
async def test_an_invalid_argument_of_a_quorum_queue_is_refused(
    ch: Lane, vhost: str, name: str, value: Any, why: str
) -> None:
    declare = Queue.Declare(
        queue="q", durable=True, arguments={"x-queue-type": "quorum", name: value}
    )
    assert await ch.refused(declare) == Refusal(
        406,
        f"PRECONDITION_FAILED - invalid arg '{name}' for queue 'q' in vhost '{vhost}': {why}",
        "Queue.Declare",
    )
