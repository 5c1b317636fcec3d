"""Get, ack, nack, reject, recover: what is settled, and what comes back in which order."""

from __future__ import annotations

from typing import Any

import pytest
from pamqp.commands import Basic

from tests.behaviour.amqp.script import Lane, Message, Refusal


async def filled(ch: Lane, count: int, **arguments: Any) -> None:
    """A queue `q` with so many messages, named by their numbers."""
    await ch.declare("q", exclusive=True, **arguments)
    for number in range(count):
        ch.publish("", "q", b"%d" % number)


async def take(ch: Lane, count: int) -> list[Message]:
    found = [await ch.get("q", no_ack=False) for _ in range(count)]
    return [message for message in found if message is not None]


async def rest(ch: Lane, count: int) -> list[tuple[bytes, bool]]:
    """What the queue has once so many are ready, and whether it was delivered before.

    RabbitMQ closes a channel first, and requeues what that had taken a moment later.
    """
    await ch.until_ready("q", count)
    found = []
    while (message := await ch.get("q")) is not None:
        found.append((message.body, message.method.redelivered))
    return found


async def test_get_tells_how_many_messages_are_left(ch: Lane) -> None:
    await filled(ch, 3)
    answers = [m.method for m in await take(ch, 3)]
    assert [answer.message_count for answer in answers] == [2, 1, 0]
    assert [answer.delivery_tag for answer in answers] == [1, 2, 3]
    assert {(answer.exchange, answer.routing_key, answer.redelivered) for answer in answers} == {
        ("", "q", False)
    }


async def test_get_from_an_empty_queue_says_so(ch: Lane) -> None:
    await filled(ch, 0)
    assert isinstance(await ch.call(Basic.Get(queue="q")), Basic.GetEmpty)


async def test_what_is_got_without_acknowledgement_is_gone(ch: Lane, ch2: Lane) -> None:
    await filled(ch, 1)
    assert await ch.get("q", no_ack=True)
    await ch.close()
    assert await ch2.bodies("q") == []


async def test_delivery_tags_count_all_deliveries_of_a_channel(ch: Lane) -> None:
    await filled(ch, 3)
    first = await ch.get("q", no_ack=True)
    assert first is not None
    await ch.consume("q")
    assert [first.tag, (await ch.delivery()).tag, (await ch.delivery()).tag] == [1, 2, 3]


async def test_what_is_acknowledged_is_gone(ch: Lane, ch2: Lane) -> None:
    await filled(ch, 3)
    await take(ch, 3)
    ch.send(Basic.Ack(delivery_tag=2))
    await ch.close()
    assert await rest(ch2, 2) == [(b"0", True), (b"2", True)]


async def test_an_ack_may_stand_for_all_before_it(ch: Lane, ch2: Lane) -> None:
    await filled(ch, 4)
    await take(ch, 4)
    ch.send(Basic.Ack(delivery_tag=3, multiple=True))
    await ch.close()
    assert await rest(ch2, 1) == [(b"3", True)]


async def test_an_ack_of_tag_0_stands_for_all(ch: Lane, ch2: Lane) -> None:
    await filled(ch, 4)
    await take(ch, 3)
    ch.send(Basic.Ack(delivery_tag=0, multiple=True))
    await ch.close()
    assert await rest(ch2, 1) == [(b"3", False)]


async def test_an_ack_of_all_is_no_error_where_nothing_is_taken(ch: Lane) -> None:
    ch.send(Basic.Ack(delivery_tag=0, multiple=True))
    assert isinstance(await ch.call(Basic.Qos()), Basic.QosOk)


UNKNOWN = [
    Basic.Ack(delivery_tag=1),
    Basic.Ack(delivery_tag=0),
    Basic.Ack(delivery_tag=1, multiple=True),
    Basic.Nack(delivery_tag=1),
    Basic.Nack(delivery_tag=1, multiple=True),
    Basic.Reject(delivery_tag=1),
]


@pytest.mark.parametrize("number", range(len(UNKNOWN)))
async def test_an_unknown_delivery_tag_costs_the_channel(ch: Lane, number: int) -> None:
    method: Any = UNKNOWN[number]
    assert await ch.refused(method) == Refusal(
        406,
        f"PRECONDITION_FAILED - unknown delivery tag {method.delivery_tag}",
        method.name,
    )


async def test_acknowledging_twice_costs_the_channel(ch: Lane) -> None:
    await filled(ch, 1)
    await take(ch, 1)
    ch.send(Basic.Ack(delivery_tag=1))
    assert await ch.refused(Basic.Ack(delivery_tag=1)) == Refusal(
        406, "PRECONDITION_FAILED - unknown delivery tag 1", "Basic.Ack"
    )


async def test_a_channel_cannot_acknowledge_what_another_took(ch: Lane, ch2: Lane) -> None:
    await filled(ch, 1)
    await take(ch, 1)
    assert (await ch2.refused(Basic.Ack(delivery_tag=1))).code == 406


async def test_what_needs_no_acknowledgement_takes_none(ch: Lane) -> None:
    await filled(ch, 1)
    assert await ch.get("q", no_ack=True)
    assert (await ch.refused(Basic.Ack(delivery_tag=1))).code == 406


@pytest.mark.parametrize("order", [(1, 2, 3), (3, 2, 1), (2, 3, 1)])
async def test_what_is_requeued_stands_where_it_stood(ch: Lane, order: tuple[int, ...]) -> None:
    await filled(ch, 5)
    await take(ch, 4)
    ch.send(*(Basic.Nack(delivery_tag=tag, requeue=True) for tag in order))
    assert await rest(ch, 4) == [(b"0", True), (b"1", True), (b"2", True), (b"4", False)]


async def test_reject_requeues_one(ch: Lane) -> None:
    await filled(ch, 3)
    await take(ch, 3)
    ch.send(Basic.Reject(delivery_tag=2, requeue=True))
    assert await rest(ch, 1) == [(b"1", True)]


async def test_reject_without_requeue_drops_one(ch: Lane, ch2: Lane) -> None:
    await filled(ch, 2)
    await take(ch, 2)
    ch.send(Basic.Reject(delivery_tag=1, requeue=False))
    await ch.close()
    assert await rest(ch2, 1) == [(b"1", True)]


async def test_a_nack_may_stand_for_all_before_it(ch: Lane) -> None:
    await filled(ch, 4)
    await take(ch, 4)
    ch.send(Basic.Nack(delivery_tag=3, multiple=True, requeue=True))
    assert await rest(ch, 3) == [(b"0", True), (b"1", True), (b"2", True)]


async def test_a_nack_of_tag_0_stands_for_all(ch: Lane) -> None:
    await filled(ch, 3)
    await take(ch, 3)
    ch.send(Basic.Nack(delivery_tag=0, multiple=True, requeue=True))
    assert len(await rest(ch, 3)) == 3


async def test_a_nack_without_requeue_drops_all_before_it(ch: Lane, ch2: Lane) -> None:
    await filled(ch, 3)
    await take(ch, 3)
    ch.send(Basic.Nack(delivery_tag=2, multiple=True, requeue=False))
    await ch.close()
    assert await rest(ch2, 1) == [(b"2", True)]


async def test_what_is_requeued_comes_before_what_came_later(ch: Lane) -> None:
    await filled(ch, 1)
    await take(ch, 1)
    ch.publish("", "q", b"later")
    ch.send(Basic.Nack(delivery_tag=1, requeue=True))
    assert await rest(ch, 2) == [(b"0", True), (b"later", False)]


async def test_a_consumer_gets_back_what_it_requeued(ch: Lane) -> None:
    await filled(ch, 2)
    await ch.call(Basic.Qos(prefetch_count=1))
    await ch.consume("q")
    first = await ch.delivery()
    ch.send(Basic.Reject(delivery_tag=first.tag, requeue=True))
    again = await ch.delivery()
    assert (again.body, again.tag, again.method.redelivered) == (b"0", 2, True)


async def test_recover_requeues_all_that_the_channel_took(ch: Lane) -> None:
    await filled(ch, 3)
    await take(ch, 3)
    assert isinstance(await ch.call(Basic.Recover(requeue=True)), Basic.RecoverOk)
    assert await rest(ch, 3) == [(b"0", True), (b"1", True), (b"2", True)]


async def test_recover_without_requeue_is_not_implemented(ch: Lane) -> None:
    refusal = await ch.client.refused(Basic.Recover(requeue=False), ch.number)
    assert refusal == Refusal(540, "NOT_IMPLEMENTED - requeue=false", "Basic.Recover")


async def test_recovered_messages_come_to_the_consumer_again(ch: Lane) -> None:
    await filled(ch, 2)
    await ch.consume("q")
    for _ in range(2):
        await ch.delivery()
    ch.send(Basic.Recover(requeue=True))
    came = [await ch.next() for _ in range(3)]
    found = [(m.body, m.method.redelivered) for m in came if isinstance(m, Message)]
    assert found == [(b"0", True), (b"1", True)]


async def test_recover_may_go_without_an_answer(ch: Lane) -> None:
    await filled(ch, 1)
    await take(ch, 1)
    with pytest.warns(DeprecationWarning, match="deprecated in AMQP 0-9-1"):
        ch.send(Basic.RecoverAsync(requeue=True))
    assert isinstance(await ch.call(Basic.Qos()), Basic.QosOk)
    assert await rest(ch, 1) == [(b"0", True)]


async def test_get_does_not_count_what_expired_behind_the_head(ch: Lane) -> None:
    await ch.declare("q", exclusive=True)
    ch.publish("", "q", b"stays")
    for _ in range(2):
        ch.publish("", "q", b"brief", expiration="0")
    ch.publish("", "q", b"stays too")
    (message,) = await take(ch, 1)
    assert (message.body, message.method.message_count) == (b"stays", 1)
