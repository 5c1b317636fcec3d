"""Permissions: what a user may configure, write and read."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

import pytest
from pamqp.commands import Basic, Exchange, Queue

from tests.behaviour.amqp.script import Connect, Lane, Refusal
from tests.brokers import Broker


@pytest.fixture
def user(broker: Broker) -> str:
    """A user who may configure `mine-*`, write `mine-*` and `out`, and read `mine-*` and `in`."""
    name = f"user-{secrets.token_hex(4)}"
    broker.add_user(name, "pass", configure="^mine-", write="^(mine-.*|out)$", read="^(mine-|in$)")
    return name


@pytest.fixture
async def limited(connect: Connect, broker: Broker, user: str, ch: Lane) -> Lane:
    """A channel of that user's, where there are queues `in` and `out` and exchanges likewise."""
    for name in ("in", "out"):
        await ch.declare(name)
        await ch.call(Exchange.Declare(exchange=name, exchange_type="fanout"))
    client = await connect(broker.url.replace("guest:guest", f"{user}:pass"))
    return await client.channel()


REFUSED: list[tuple[Any, str, str]] = [
    (Queue.Declare(queue="other"), "configure", "queue 'other'"),
    (Queue.Delete(queue="in"), "configure", "queue 'in'"),
    (Queue.Purge(queue="out"), "read", "queue 'out'"),
    (Basic.Get(queue="out"), "read", "queue 'out'"),
    (Basic.Consume(queue="out"), "read", "queue 'out'"),
    (Queue.Bind(queue="in", exchange="in"), "write", "queue 'in'"),
    (Queue.Bind(queue="out", exchange="out"), "read", "exchange 'out'"),
    (Queue.Unbind(queue="in", exchange="in", routing_key=""), "write", "queue 'in'"),
    (Exchange.Declare(exchange="other", exchange_type="fanout"), "configure", "exchange 'other'"),
    (Exchange.Delete(exchange="in"), "configure", "exchange 'in'"),
    (Exchange.Bind(destination="in", source="in"), "write", "exchange 'in'"),
    (Exchange.Bind(destination="out", source="out"), "read", "exchange 'out'"),
    (
        Queue.Declare(queue="mine-q", arguments={"x-dead-letter-exchange": "in"}),
        "write",
        "exchange 'in'",
    ),
    (
        Exchange.Declare(
            exchange="mine-x", exchange_type="fanout", arguments={"alternate-exchange": "in"}
        ),
        "write",
        "exchange 'in'",
    ),
]


@pytest.fixture
def refusal(user: str, vhost: str, since_4: bool) -> Callable[[str, str], str]:
    """The text that refuses a permission on a thing; RabbitMQ 4 says which permission it was."""

    def refusal(permission: str, thing: str) -> str:
        access = f"{permission} access" if since_4 else "access"
        return f"ACCESS_REFUSED - {access} to {thing} in vhost '{vhost}' refused for user '{user}'"

    return refusal


@pytest.mark.parametrize("number", range(len(REFUSED)))
async def test_what_a_user_may_not_do_costs_the_channel(
    limited: Lane, refusal: Callable[[str, str], str], number: int
) -> None:
    method, permission, thing = REFUSED[number]
    assert await limited.refused(method) == Refusal(403, refusal(permission, thing), method.name)


async def test_publishing_where_a_user_may_not_write_costs_the_channel(
    limited: Lane, refusal: Callable[[str, str], str]
) -> None:
    limited.publish("in", "key", b"m")
    assert await limited.refusal() == Refusal(
        403, refusal("write", "exchange 'in'"), "Basic.Publish"
    )


async def test_the_default_exchange_is_called_amq_default(
    limited: Lane, refusal: Callable[[str, str], str]
) -> None:
    limited.publish("", "mine-q", b"m")
    assert await limited.refusal() == Refusal(
        403, refusal("write", "exchange 'amq.default'"), "Basic.Publish"
    )


async def test_what_a_user_may_do_is_done(limited: Lane, ch: Lane) -> None:
    await limited.declare("mine-q")
    await limited.call(Exchange.Declare(exchange="mine-x", exchange_type="fanout"))
    await limited.call(Queue.Bind(queue="mine-q", exchange="mine-x"))
    limited.publish("mine-x", "", b"m")
    assert await limited.bodies("mine-q") == [b"m"]
    limited.publish("out", "", b"m")
    assert await limited.bodies("in") == []
    answer = await limited.call(Queue.Declare(queue="out", passive=True))
    assert answer.queue == "out"


async def test_a_user_who_may_do_nothing_may_look(connect: Connect, broker: Broker) -> None:
    name = f"user-{secrets.token_hex(4)}"
    broker.add_user(name, "pass", configure="^$", write="^$", read="^$")
    client = await connect(broker.url.replace("guest:guest", f"{name}:pass"))
    lane = await client.channel()
    answer = await lane.call(Exchange.Declare(exchange="amq.topic", passive=True))
    assert isinstance(answer, Exchange.DeclareOk)
    assert (await lane.refused(Queue.Declare(queue="", exclusive=True))).code == 403
