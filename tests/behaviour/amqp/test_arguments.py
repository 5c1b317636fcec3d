"""Arguments that a queue may not have, and the order in which RabbitMQ looks at what is wrong."""

from __future__ import annotations

from typing import Any

import pytest
from pamqp.commands import Exchange, Queue

from tests.behaviour.amqp.script import Lane, Refusal

INVALID: list[tuple[str, dict[str, Any], str, str]] = [
    ("classic", {"x-queue-version": 9}, "x-queue-version", ": \"unsupported queue version '9'\""),
    ("classic", {"x-queue-version": "2"}, "x-queue-version", ': "expected integer, got longstr"'),
    (
        "quorum",
        {"x-queue-leader-locator": "odd"},
        "x-queue-leader-locator",
        ": invalid_queue_locator_arg",
    ),
    ("quorum", {"x-max-priority": -1}, "x-max-priority", " of queue type rabbit_quorum_queue"),
    ("quorum", {"x-queue-mode": "odd"}, "x-queue-mode", " of queue type rabbit_quorum_queue"),
]


@pytest.mark.parametrize(("kind", "arguments", "name", "why"), INVALID)
async def test_an_argument_that_a_queue_cannot_have_is_refused(
    ch: Lane, vhost: str, kind: str, arguments: dict[str, Any], name: str, why: str
) -> None:
    given = {"x-queue-type": kind, **arguments}
    assert await ch.refused(Queue.Declare(queue="q", durable=True, arguments=given)) == Refusal(
        406,
        f"PRECONDITION_FAILED - invalid arg '{name}' for queue 'q' in vhost '{vhost}'{why}",
        "Queue.Declare",
    )


async def test_a_leader_locator_is_not_for_classic_queues_and_since_4_taken(
    ch: Lane, vhost: str, since_4: bool
) -> None:
    given: dict[str, Any] = {"x-queue-leader-locator": "balanced"}
    answer = await ch.next_of(Queue.Declare(queue="q", durable=True, arguments=given))
    if since_4:
        assert isinstance(answer, Queue.DeclareOk)
    else:
        assert answer.reply_text == (
            "PRECONDITION_FAILED - invalid arg 'x-queue-leader-locator' for queue 'q' in vhost "
            f"'{vhost}' of queue type rabbit_classic_queue"
        )


async def test_a_value_of_another_type_is_another_value(ch: Lane, vhost: str) -> None:
    await ch.declare("q", x_queue_version=1, x_max_length=10)
    again = Queue.Declare(queue="q", durable=True, arguments={"x-max-length": "10"})
    assert await ch.refused(again) == Refusal(
        406,
        f"PRECONDITION_FAILED - inequivalent arg 'x-max-length' for queue 'q' in vhost '{vhost}': "
        "received '10' but current is '10'",
        "Queue.Declare",
    )


async def test_a_delivery_limit_must_be_the_same_when_declared_again(ch: Lane, vhost: str) -> None:
    limited: dict[str, Any] = {"x-queue-type": "quorum", "x-delivery-limit": 3}
    await ch.call(Queue.Declare(queue="q", durable=True, arguments=limited))
    again = Queue.Declare(queue="q", durable=True, arguments={"x-queue-type": "quorum"})
    assert (await ch.refused(again)).text == (
        f"PRECONDITION_FAILED - inequivalent arg 'x-delivery-limit' for queue 'q' in vhost "
        f"'{vhost}': received none but current is the value '3' of type 'byte'"
    )


async def test_an_exchange_type_of_a_plugin_is_unknown(ch: Lane, since_4: bool) -> None:
    ch.send(Exchange.Declare(exchange="e", exchange_type="x-odd"))
    refusal = await (ch.refusal() if since_4 else ch.client.refusal())
    name = "PRECONDITION_FAILED" if since_4 else "COMMAND_INVALID"
    assert refusal.text == f"{name} - unknown exchange type 'x-odd'"


async def test_where_both_are_missing_the_exchange_is_named(ch: Lane, vhost: str) -> None:
    assert (await ch.refused(Queue.Bind(queue="no", exchange="none"))).text == (
        f"NOT_FOUND - no exchange 'none' in vhost '{vhost}'"
    )


async def test_unbinding_exchanges_that_are_not_there_does_nothing(ch: Lane) -> None:
    for ends in ({"destination": "no"}, {"source": "no"}):
        given: dict[str, Any] = {"destination": "amq.fanout", "source": "amq.direct", **ends}
        assert isinstance(await ch.call(Exchange.Unbind(**given)), Exchange.UnbindOk)


async def test_the_pseudo_queue_of_direct_replies_may_be_declared(ch: Lane) -> None:
    answer = await ch.call(Queue.Declare(queue="amq.rabbitmq.reply-to"))
    assert (answer.queue, answer.message_count, answer.consumer_count) == (
        "amq.rabbitmq.reply-to",
        0,
        1,
    )
