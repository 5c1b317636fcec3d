"""What fits in a queue (x-max-length, x-max-length-bytes), and what becomes of the rest."""

from __future__ import annotations

import pytest
from pamqp.commands import Basic

from tests.behaviour.amqp.script import Lane
from tests.behaviour.amqp.test_limits import DEAD, letters, reason


async def answers(ch: Lane, *contents: bytes) -> list[bool]:
    """Publish to `q` on a channel with confirms; which messages were taken."""
    found = []
    for content in contents:
        ch.publish("", "q", content)
        found.append(isinstance(await ch.next(), Basic.Ack))
    return found


async def test_a_full_queue_drops_its_oldest(ch: Lane) -> None:
    await letters(ch)
    await ch.declare("q", exclusive=True, x_max_length=2, **DEAD)
    await ch.consume("dead")
    for content in (b"1", b"2", b"3", b"4"):
        ch.publish("", "q", content)
    assert [await reason(ch), await reason(ch)] == [(b"1", "maxlen"), (b"2", "maxlen")]
    assert await ch.bodies("q") == [b"3", b"4"]


async def test_a_queue_may_be_full_of_bytes(ch: Lane) -> None:
    await ch.declare("q", exclusive=True, x_max_length_bytes=10)
    for content in (b"12345", b"12345", b"123", b""):
        ch.publish("", "q", content)
    assert await ch.bodies("q") == [b"12345", b"123", b""]


async def test_a_message_larger_than_the_queue_goes_at_once(ch: Lane) -> None:
    await ch.declare("q", exclusive=True, x_max_length_bytes=10)
    for content in (b"1", b"2", b"12345678901"):
        ch.publish("", "q", content)
    assert await ch.bodies("q") == []


async def test_only_what_is_ready_counts(ch: Lane) -> None:
    await ch.declare("q", exclusive=True, x_max_length=1)
    ch.publish("", "q", b"1")
    assert await ch.get("q", no_ack=False)
    ch.publish("", "q", b"2")
    await ch.until_ready("q", 1)
    ch.send(Basic.Nack(delivery_tag=1, requeue=True))
    assert await ch.bodies("q") == [b"2"]


async def test_a_queue_of_no_length_serves_who_waits(ch: Lane) -> None:
    await ch.declare("q", exclusive=True, x_max_length=0)
    ch.publish("", "q", b"lost")
    assert await ch.get("q") is None
    await ch.consume("q")
    ch.publish("", "q", b"taken")
    assert (await ch.delivery()).body == b"taken"


async def test_a_full_queue_that_rejects_keeps_its_oldest(ch: Lane) -> None:
    await letters(ch)
    await ch.declare("q", exclusive=True, x_max_length=2, x_overflow="reject-publish", **DEAD)
    await ch.confirms()
    for content in (b"1", b"2", b"3"):
        ch.publish("", "q", content)
        await ch.next()
    assert await ch.bodies("q") == [b"1", b"2"]
    assert await ch.bodies("dead") == []


async def test_a_full_queue_may_dead_letter_what_it_rejects(ch: Lane) -> None:
    await letters(ch)
    await ch.declare("q", exclusive=True, x_max_length=1, x_overflow="reject-publish-dlx", **DEAD)
    await ch.consume("dead")
    ch.publish("", "q", b"1")
    ch.publish("", "q", b"2")
    assert await reason(ch) == (b"2", "maxlen")
    assert await ch.bodies("q") == [b"1"]


async def test_a_queue_full_of_bytes_may_reject_what_does_not_fit(ch: Lane) -> None:
    await ch.declare("q", exclusive=True, x_max_length_bytes=10, x_overflow="reject-publish")
    await ch.confirms()
    taken = await answers(ch, b"1234567", b"1234", b"123", b"1", b"")
    assert taken == [True, False, True, False, True]
    assert await ch.bodies("q") == [b"1234567", b"123", b""]


@pytest.mark.parametrize("overflow", ["reject-publish", "reject-publish-dlx"])
async def test_what_comes_back_to_a_queue_that_rejects_is_kept(ch: Lane, overflow: str) -> None:
    await letters(ch)
    await ch.declare("q", exclusive=True, x_max_length=1, x_overflow=overflow, **DEAD)
    await ch.confirms()
    assert await answers(ch, b"1") == [True]
    assert await ch.get("q", no_ack=False)
    assert await answers(ch, b"2") == [True]
    ch.send(Basic.Nack(delivery_tag=1, requeue=True))
    assert await ch.bodies("q") == [b"1", b"2"]
    assert await ch.bodies("dead") == []


async def test_what_comes_back_to_a_full_quorum_queue_that_rejects_is_kept(ch: Lane) -> None:
    await letters(ch)
    await ch.declare(
        "q", x_queue_type="quorum", x_max_length=1, x_overflow="reject-publish", **DEAD
    )
    await ch.confirms()
    assert await answers(ch, b"1") == [True]
    assert await ch.get("q", no_ack=False)
    assert await answers(ch, b"2") == [True]
    ch.send(Basic.Nack(delivery_tag=1, requeue=True))
    await ch.until_ready("q", 2)
    assert sorted(await ch.bodies("q")) == [b"1", b"2"]
    assert await ch.bodies("dead") == []


async def test_a_quorum_queue_takes_one_more_before_it_rejects(ch: Lane) -> None:
    await ch.declare("q", x_queue_type="quorum", x_max_length=1, x_overflow="reject-publish")
    await ch.confirms()
    assert await answers(ch, b"1", b"2", b"3") == [True, True, False]
