"""Messages that die more than once, or say that they did: counts, and rings that end."""

from __future__ import annotations

from typing import Any

import pytest
from pamqp.commands import Basic

from tests.behaviour.amqp.script import Lane
from tests.behaviour.amqp.test_dead_letters import deaths, letter, rejected


async def test_a_letter_that_dies_again_tells_both_deaths(ch: Lane) -> None:
    await ch.declare("last", exclusive=True)
    await ch.declare(
        "second", exclusive=True, x_dead_letter_exchange="", x_dead_letter_routing_key="last"
    )
    await ch.declare(
        "first", exclusive=True, x_dead_letter_exchange="", x_dead_letter_routing_key="second"
    )
    ch.publish("", "first", b"m", expiration="0")
    await ch.until_ready("second", 1)
    await rejected(ch, "second")
    message = await letter(ch, "last")
    assert deaths(message) == [
        ("second", "rejected", 1, "", ["second"]),
        ("first", "expired", 1, "", ["first"]),
    ]
    assert message.headers["x-first-death-queue"] == "first"
    assert message.headers["x-first-death-reason"] == "expired"
    assert message.headers["x-first-death-exchange"] == ""


async def test_dying_again_in_the_same_way_is_counted(ch: Lane) -> None:
    await ch.declare(
        "q", exclusive=True, x_dead_letter_exchange="", x_dead_letter_routing_key="retry"
    )
    await ch.declare(
        "retry",
        exclusive=True,
        x_message_ttl=1,
        x_dead_letter_exchange="",
        x_dead_letter_routing_key="q",
    )
    ch.publish("", "q", b"m")
    for _ in range(3):
        await ch.until_ready("q", 1)
        await rejected(ch, "q")
    message = await letter(ch, "q")
    assert deaths(message) == [
        ("retry", "expired", 3, "", ["retry"]),
        ("q", "rejected", 3, "", ["q"]),
    ]


async def test_letters_that_go_in_a_ring_by_themselves_are_dropped(ch: Lane) -> None:
    await ch.declare("dead", exclusive=True)
    for queue, following in (("a", "b"), ("b", "a")):
        await ch.declare(
            queue,
            exclusive=True,
            x_message_ttl=1,
            x_dead_letter_exchange="",
            x_dead_letter_routing_key=following,
        )
    await ch.confirms()
    ch.publish("", "a", b"m")
    assert isinstance(await ch.next(), Basic.Ack)
    # A letter that takes much longer shows when the ring must have been closed.
    await ch.declare(
        "c", x_message_ttl=200, x_dead_letter_exchange="", x_dead_letter_routing_key="dead"
    )
    ch.publish("", "c", b"later")
    assert isinstance(await ch.next(), Basic.Ack)
    assert (await letter(ch)).body == b"later"
    assert (await ch.bodies("a"), await ch.bodies("b")) == ([], [])


async def test_a_queue_that_dead_letters_to_itself_keeps_what_is_rejected(ch: Lane) -> None:
    await ch.declare("q", exclusive=True, x_dead_letter_exchange="")
    ch.publish("", "q", b"m")
    await rejected(ch, "q")
    message = await letter(ch, "q")
    assert deaths(message) == [("q", "rejected", 1, "", ["q"])]


async def test_a_queue_that_dead_letters_to_itself_drops_what_expires(ch: Lane) -> None:
    await ch.declare("q", exclusive=True, x_dead_letter_exchange="", x_message_ttl=20)
    await ch.confirms()
    ch.publish("", "q", b"m")
    await ch.next()
    await ch.until_ready("q", 0)
    assert await ch.bodies("q") == []


@pytest.mark.parametrize("made_up", ["text", {"a": 1}, []], ids=["text", "table", "empty"])
async def test_an_x_death_that_a_client_made_up_has_no_first_death_before_4(
    ch: Lane, since_4: bool, made_up: Any
) -> None:
    await ch.declare("dead", exclusive=True)
    await ch.declare(
        "q", exclusive=True, x_dead_letter_exchange="", x_dead_letter_routing_key="dead"
    )
    ch.publish("", "q", b"m", headers={"x-death": made_up})
    await rejected(ch, "q")
    message = await letter(ch)
    assert deaths(message) == [("q", "rejected", 1, "", ["q"])]
    assert ("x-first-death-queue" in message.headers) == since_4
