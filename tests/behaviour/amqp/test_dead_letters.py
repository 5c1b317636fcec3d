"""Dead letters: where they go, and what `x-death` says, type by type."""

from __future__ import annotations

from typing import Any

import pytest
from pamqp.commands import Basic, Exchange, Queue

from tests.behaviour.amqp.script import Lane, Message, Refusal


async def rejected(ch: Lane, queue: str) -> None:
    """Take the next message of a queue, and reject it."""
    message = await ch.get(queue, no_ack=False)
    assert message is not None
    ch.send(Basic.Reject(delivery_tag=message.tag, requeue=False))


async def letter(ch: Lane, queue: str = "dead") -> Message:
    """The next message of a queue, when it is there."""
    await ch.until_ready(queue, 1)
    message = await ch.get(queue)
    assert message is not None
    return message


def deaths(message: Message) -> list[tuple[Any, ...]]:
    """Queue, reason, count, exchange and keys of each death, the latest first."""
    return [
        (death["queue"], death["reason"], death["count"], death["exchange"], death["routing-keys"])
        for death in message.headers["x-death"]
    ]


async def test_a_dead_letter_says_all_of_its_death(ch: Lane, since_4: bool) -> None:
    await ch.declare("dead", exclusive=True)
    await ch.declare(
        "q", exclusive=True, x_dead_letter_exchange="", x_dead_letter_routing_key="dead"
    )
    await ch.call(Queue.Bind(queue="q", exchange="amq.direct", routing_key="key"))
    ch.publish("amq.direct", "key", b"m", headers={"mine": "kept"}, content_type="text/plain")
    await rejected(ch, "q")
    message = await letter(ch)
    assert (message.method.exchange, message.method.routing_key) == ("", "dead")
    assert message.method.redelivered is False
    assert (message.body, message.properties.content_type) == (b"m", "text/plain")
    typed = [(name, kind, blank_time(value)) for name, kind, value in message.typed_headers]
    assert typed == [
        ("mine", "S", "kept"),
        (
            "x-death",
            "A",
            [
                (
                    "F",
                    [
                        ("count", "l", 1),
                        ("reason", "S", "rejected"),
                        ("queue", "S", "q"),
                        ("time", "T", ...),
                        ("exchange", "S", "amq.direct"),
                        ("routing-keys", "A", [("S", "key")]),
                    ],
                )
            ],
        ),
        ("x-first-death-exchange", "S", "amq.direct"),
        ("x-first-death-queue", "S", "q"),
        ("x-first-death-reason", "S", "rejected"),
        *(LAST_DEATH if since_4 else ()),
    ]


LAST_DEATH = (
    ("x-last-death-exchange", "S", "amq.direct"),
    ("x-last-death-queue", "S", "q"),
    ("x-last-death-reason", "S", "rejected"),
)
"""What RabbitMQ 4 adds."""


def blank_time(value: Any) -> Any:
    """An x-death with its times left out: they are what the clock says."""
    if not isinstance(value, list):
        return value
    return [
        (kind, [(n, k, ... if k == "T" else v) for n, k, v in death]) if kind == "F" else death
        for kind, death in value
    ]


async def test_an_expired_letter_keeps_its_time_in_x_death_only(ch: Lane, since_4: bool) -> None:
    await ch.declare("dead", exclusive=True)
    await ch.declare(
        "q", exclusive=True, x_dead_letter_exchange="", x_dead_letter_routing_key="dead"
    )
    ch.publish("", "q", b"m", expiration="0")
    message = await letter(ch)
    assert message.properties.expiration is None
    (name, kind, (death,)), *_ = message.typed_headers
    assert (name, kind) == ("x-death", "A")
    told = [
        ("count", "l"),
        ("reason", "S"),
        ("queue", "S"),
        ("time", "T"),
        ("exchange", "S"),
        ("routing-keys", "A"),
    ]
    lifetime = [("original-expiration", "S")]
    expected = lifetime + told if since_4 else told + lifetime
    assert [(n, k) for n, k, _ in death[1]] == expected
    assert message.headers["x-death"][0]["original-expiration"] == "0"


async def test_without_a_key_of_its_own_a_letter_keeps_its_keys(ch: Lane) -> None:
    await ch.call(Exchange.Declare(exchange="dlx", exchange_type="topic"))
    await ch.declare("dead", exclusive=True)
    await ch.call(Queue.Bind(queue="dead", exchange="dlx", routing_key="a.*"))
    await ch.declare("a.b", exclusive=True, x_dead_letter_exchange="dlx")
    ch.publish("", "a.b", b"m")
    await rejected(ch, "a.b")
    message = await letter(ch)
    assert (message.method.exchange, message.method.routing_key) == ("dlx", "a.b")


async def test_without_a_key_of_its_own_a_letter_goes_to_its_cc_and_bcc_too(ch: Lane) -> None:
    for queue in ("cc", "bcc"):
        await ch.declare(queue, exclusive=True)
    await ch.declare("q", exclusive=True, x_dead_letter_exchange="")
    await ch.call(Queue.Bind(queue="q", exchange="amq.direct", routing_key="key"))
    ch.publish("amq.direct", "key", b"m", headers={"CC": ["cc"], "BCC": ["bcc"]})
    await rejected(ch, "q")
    message = await letter(ch, "cc")
    assert deaths(message) == [("q", "rejected", 1, "amq.direct", ["key", "cc"])]
    assert message.headers["CC"] == ["cc"]
    assert message.method.routing_key == "key"
    assert await ch.bodies("bcc") == [b"m"]  # no header names it any more, but the keys do


async def test_with_a_key_of_its_own_a_letter_does_not_go_to_its_cc(
    ch: Lane, since_4: bool
) -> None:
    for queue in ("cc", "dead"):
        await ch.declare(queue, exclusive=True)
    await ch.declare(
        "q", exclusive=True, x_dead_letter_exchange="", x_dead_letter_routing_key="dead"
    )
    ch.publish("", "q", b"m", headers={"CC": ["cc"]})
    await ch.until_ready("cc", 1)
    assert await ch.bodies("cc") == [b"m"]
    await rejected(ch, "q")
    message = await letter(ch)
    assert message.headers.get("CC") == (["cc"] if since_4 else None)
    assert deaths(message) == [("q", "rejected", 1, "", ["q", "cc"])]
    assert await ch.bodies("cc") == []


async def test_a_letter_without_an_exchange_is_lost(ch: Lane) -> None:
    await ch.declare("q", exclusive=True, x_dead_letter_exchange="no such")
    ch.publish("", "q", b"m")
    await rejected(ch, "q")
    assert await ch.bodies("q") == []
    assert isinstance(await ch.call(Basic.Qos()), Basic.QosOk)


async def test_a_nack_of_many_makes_letters_in_order(ch: Lane) -> None:
    await ch.declare("dead", exclusive=True)
    await ch.declare(
        "q", exclusive=True, x_dead_letter_exchange="", x_dead_letter_routing_key="dead"
    )
    for content in (b"1", b"2", b"3"):
        ch.publish("", "q", content)
    for _ in range(3):
        await ch.get("q", no_ack=False)
    ch.send(Basic.Nack(delivery_tag=3, multiple=True, requeue=False))
    await ch.until_ready("dead", 3)
    assert await ch.bodies("dead") == [b"1", b"2", b"3"]


async def test_an_empty_key_of_its_own_is_a_key(ch: Lane) -> None:
    await ch.declare("dead", exclusive=True)
    await ch.declare("same", exclusive=True)
    await ch.call(Queue.Bind(queue="dead", exchange="amq.direct", routing_key=""))
    await ch.call(Queue.Bind(queue="same", exchange="amq.direct", routing_key="q"))
    await ch.declare(
        "q", exclusive=True, x_dead_letter_exchange="amq.direct", x_dead_letter_routing_key=""
    )
    ch.publish("", "q", b"m")
    await rejected(ch, "q")
    assert (await letter(ch)).method.routing_key == ""
    assert await ch.bodies("same") == []


async def test_what_a_deleted_queue_had_delivered_makes_no_letter(ch: Lane, far: Lane) -> None:
    await far.declare("dead")
    await far.declare("q", x_dead_letter_exchange="", x_dead_letter_routing_key="dead")
    far.publish("", "q", b"m")
    await far.until_ready("q", 1)
    message = await ch.get("q", no_ack=False)
    assert message is not None
    await far.call(Queue.Delete(queue="q"))
    ch.send(Basic.Reject(delivery_tag=message.tag, requeue=False))
    await ch.ask(Basic.Qos())
    far.publish("", "dead", b"later")
    assert (await letter(far)).body == b"later"


async def test_a_dead_letter_key_needs_an_exchange(ch: Lane, vhost: str) -> None:
    refusal = await ch.refused(
        Queue.Declare(queue="q", arguments={"x-dead-letter-routing-key": "key"})
    )
    assert refusal == Refusal(
        406,
        "PRECONDITION_FAILED - invalid arg 'x-dead-letter-routing-key' for queue 'q' in vhost "
        f"'{vhost}': routing_key_but_no_dlx_defined",
        "Queue.Declare",
    )


async def test_what_purge_and_delete_take_is_not_dead_lettered(ch: Lane) -> None:
    await ch.declare("dead", exclusive=True)
    await ch.declare(
        "q", exclusive=True, x_dead_letter_exchange="", x_dead_letter_routing_key="dead"
    )
    ch.publish("", "q", b"m")
    await ch.call(Queue.Purge(queue="q"))
    ch.publish("", "q", b"m")
    await ch.call(Queue.Delete(queue="q"))
    assert await ch.bodies("dead") == []


@pytest.mark.parametrize("overflow", ["drop-head", "reject-publish-dlx"])
async def test_what_does_not_fit_dies_of_maxlen(ch: Lane, overflow: str) -> None:
    await ch.declare("dead", exclusive=True)
    await ch.declare(
        "q",
        exclusive=True,
        x_max_length=0,
        x_overflow=overflow,
        x_dead_letter_exchange="",
        x_dead_letter_routing_key="dead",
    )
    ch.publish("", "q", b"m")
    message = await letter(ch)
    assert deaths(message) == [("q", "maxlen", 1, "", ["q"])]
