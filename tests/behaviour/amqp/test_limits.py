"""Limits: how long messages and queues live, and which messages come first."""

from __future__ import annotations

from typing import Any

import pytest
from pamqp.commands import Basic, Channel, Queue

from tests.behaviour.amqp.script import Lane, Message
from tests.behaviour.patience import until_found


async def letters(ch: Lane) -> None:
    """The queue `dead`, which shows what left another queue without being consumed."""
    await ch.declare("dead", exclusive=True)


async def reason(ch: Lane) -> tuple[bytes, str]:
    """Body of the next dead letter, and why it died."""
    message = await ch.delivery()
    return message.body, str(message.headers["x-first-death-reason"])


DEAD: Any = {"x_dead_letter_exchange": "", "x_dead_letter_routing_key": "dead"}


async def test_a_message_expires_after_its_own_time(ch: Lane) -> None:
    await letters(ch)
    await ch.declare("q", exclusive=True, **DEAD)
    await ch.consume("dead")
    ch.publish("", "q", b"brief", expiration="20")
    assert await reason(ch) == (b"brief", "expired")
    assert await ch.get("q") is None


async def test_a_message_expires_after_the_queues_time(ch: Lane) -> None:
    await letters(ch)
    await ch.declare("q", exclusive=True, x_message_ttl=20, **DEAD)
    await ch.consume("dead")
    ch.publish("", "q", b"brief", expiration="60000")
    assert await reason(ch) == (b"brief", "expired")


async def test_the_shorter_time_counts(ch: Lane) -> None:
    await letters(ch)
    await ch.declare("q", exclusive=True, x_message_ttl=60_000, **DEAD)
    await ch.consume("dead")
    ch.publish("", "q", b"brief", expiration="20")
    assert await reason(ch) == (b"brief", "expired")


async def test_a_message_expires_at_the_head_of_its_queue_only(ch: Lane) -> None:
    await letters(ch)
    await ch.declare("q", exclusive=True, **DEAD)
    await ch.consume("dead", no_ack=True)
    ch.publish("", "q", b"long")
    ch.publish("", "q", b"brief", expiration="0")
    ch.publish("", "q", b"other", expiration="20")
    await ch.until_ready("q", 3)
    assert await ch.nothing_came()
    assert (await ch.get("q")).body == b"long"  # type: ignore[union-attr]
    assert [await reason(ch), await reason(ch)] == [(b"brief", "expired"), (b"other", "expired")]


async def test_a_message_of_no_time_goes_to_who_waits_for_it(ch: Lane) -> None:
    await letters(ch)
    await ch.declare("q", exclusive=True, **DEAD)
    await ch.consume("q", "taker")
    ch.publish("", "q", b"at once", expiration="0")
    assert (await ch.delivery()).body == b"at once"


async def test_a_message_of_no_time_dies_where_nobody_waits(ch: Lane) -> None:
    await letters(ch)
    await ch.declare("q", exclusive=True, x_message_ttl=0, **DEAD)
    await ch.consume("dead")
    ch.publish("", "q", b"too late")
    assert await reason(ch) == (b"too late", "expired")


async def test_a_message_that_is_requeued_after_its_time_dies(ch: Lane) -> None:
    await letters(ch)
    await ch.declare("q", exclusive=True, **DEAD)
    await ch.consume("q", "taker")
    ch.publish("", "q", b"m", expiration="0")
    taken = await ch.delivery()
    await ch.call(Basic.Cancel(consumer_tag="taker"))
    await ch.consume("dead")
    ch.send(Basic.Nack(delivery_tag=taken.tag, requeue=True))
    assert await reason(ch) == (b"m", "expired")


async def test_a_taken_message_does_not_expire(ch: Lane) -> None:
    await letters(ch)
    await ch.declare("q", exclusive=True, x_message_ttl=20, **DEAD)
    await ch.consume("dead")
    await ch.consume("q", "taker")
    ch.publish("", "q", b"kept")
    kept = await ch.delivery()
    await ch.call(Basic.Cancel(consumer_tag="taker"))
    ch.publish("", "q", b"gone")
    assert await reason(ch) == (b"gone", "expired")
    assert kept.body == b"kept"
    assert await ch.nothing_came()


async def test_the_expiration_stays_for_the_consumer_to_see(ch: Lane) -> None:
    await ch.declare("q", exclusive=True)
    ch.publish("", "q", b"m", expiration="60000")
    message = await ch.get("q")
    assert message is not None
    assert message.properties.expiration == "60000"


async def until_expired(ch: Lane, queue: str) -> None:
    """Publish to a queue until a message comes back: to look at the queue would be to use it."""
    lane = await ch.client.channel()
    await lane.confirms()

    async def is_there() -> bool:
        lane.publish("", queue, b"still there?", mandatory=True)
        if not isinstance(await lane.next(), Message):
            return True
        assert isinstance(await lane.next(), Basic.Ack)
        return False

    await until_found(is_there, False, f"queue {queue!r} expires")


async def test_a_queue_that_nobody_uses_expires(ch: Lane) -> None:
    await ch.declare("q", x_expires=50)
    await until_expired(ch, "q")
    assert (await ch.refused(Queue.Declare(queue="q", passive=True))).code == 404


async def test_a_queue_with_a_consumer_does_not_expire(ch: Lane) -> None:
    async def is_in_use() -> bool:
        await ch.declare("used", x_expires=100)
        ch.send(Basic.Consume(queue="used", consumer_tag="user"))
        if isinstance(await ch.next(), Basic.ConsumeOk):
            return True
        ch.send(Channel.CloseOk())  # on a busy machine the queue expires before
        ch.send(Channel.Open())
        await ch.next()
        return False

    await until_found(is_in_use, True, "the queue has a consumer")
    await ch.declare("unused", x_expires=200)
    await until_expired(ch, "unused")
    assert await ch.counts("used") == (0, 1)
    await ch.call(Basic.Cancel(consumer_tag="user"))
    await until_expired(ch, "used")


async def test_an_expired_queue_dead_letters_nothing(ch: Lane) -> None:
    await letters(ch)
    await ch.declare("q", x_expires=50, **DEAD)
    ch.publish("", "q", b"lost")
    await until_expired(ch, "q")
    assert await ch.bodies("dead") == []


# -- priorities -----------------------------------------------------------------------------------


async def test_a_message_of_higher_priority_comes_first(ch: Lane) -> None:
    await ch.declare("q", exclusive=True, x_max_priority=5)
    for number, priority in enumerate((None, 1, 5, 0, 200, 1)):
        ch.publish("", "q", b"%d" % number, priority=priority)
    assert await ch.bodies("q") == [b"2", b"4", b"1", b"5", b"0", b"3"]


async def test_priorities_count_only_where_the_queue_has_them(ch: Lane) -> None:
    await ch.declare("q", exclusive=True)
    for number in range(3):
        ch.publish("", "q", b"%d" % number, priority=number)
    assert await ch.bodies("q") == [b"0", b"1", b"2"]


async def test_a_requeued_message_stands_first_of_its_priority(ch: Lane) -> None:
    await ch.declare("q", exclusive=True, x_max_priority=2)
    for content, priority in ((b"low", 0), (b"high", 2), (b"low 2", 0)):
        ch.publish("", "q", content, priority=priority)
    await ch.until_ready("q", 3)
    for _ in range(2):
        await ch.get("q", no_ack=False)
    ch.send(Basic.Nack(delivery_tag=0, multiple=True, requeue=True))
    assert await ch.bodies("q") == [b"high", b"low", b"low 2"]


async def test_a_full_priority_queue_drops_its_head_which_is_of_the_highest(ch: Lane) -> None:
    await ch.declare("q", exclusive=True, x_max_priority=2, x_max_length=2)
    for content, priority in ((b"high", 2), (b"low", 0), (b"middle", 1)):
        ch.publish("", "q", content, priority=priority)
    assert await ch.bodies("q") == [b"middle", b"low"]


@pytest.mark.parametrize("mode", ["default", "lazy"])
async def test_a_queue_mode_makes_no_difference(ch: Lane, mode: str) -> None:
    await ch.declare("q", exclusive=True, x_queue_mode=mode)
    ch.publish("", "q", b"m")
    assert await ch.bodies("q") == [b"m"]


async def test_purge_empties_all_priorities(ch: Lane) -> None:
    await ch.declare("q", exclusive=True, x_max_priority=2)
    for priority in range(3):
        ch.publish("", "q", b"m", priority=priority)
    assert (await ch.call(Queue.Purge(queue="q"))).message_count == 3


async def test_a_priority_above_the_highest_is_the_highest_when_it_comes_back(ch: Lane) -> None:
    await ch.declare("q", exclusive=True, x_max_priority=1)
    await ch.consume("q", "c")
    ch.publish("", "q", b"first", priority=9)
    tag = (await ch.delivery()).tag
    await ch.call(Basic.Cancel(consumer_tag="c"))
    ch.publish("", "q", b"second", priority=1)
    ch.send(Basic.Nack(delivery_tag=tag, requeue=True))
    assert await ch.bodies("q") == [b"first", b"second"]
