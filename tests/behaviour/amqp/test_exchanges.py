"""Exchanges: which queues each type routes to, how they are declared and deleted."""

from __future__ import annotations

from typing import Any

import pytest
from pamqp.commands import Exchange, Queue

from tests.behaviour.amqp.script import Connect, Lane, Refusal


async def bound(ch: Lane, exchange: str, *keys: str) -> None:
    """A queue for each key, named as it, bound to an exchange."""
    for key in keys:
        await ch.declare(key, exclusive=True)
        await ch.call(Queue.Bind(queue=key, exchange=exchange, routing_key=key))


async def reached(ch: Lane, exchange: str, routing_key: str, *queues: str, **sent: Any) -> set[str]:
    """Which of the queues a message comes to."""
    ch.publish(exchange, routing_key, b"m", **sent)
    return {queue for queue in queues if await ch.bodies(queue)}


async def test_the_default_exchange_routes_by_a_queues_name(ch: Lane) -> None:
    for queue in ("a", "b"):
        await ch.declare(queue, exclusive=True)
    assert await reached(ch, "", "a", "a", "b") == {"a"}
    assert await reached(ch, "", "no", "a", "b") == set()


@pytest.mark.parametrize(
    "name", ["amq.direct", "amq.fanout", "amq.topic", "amq.headers", "amq.match"]
)
async def test_each_vhost_has_the_standard_exchanges(ch: Lane, name: str) -> None:
    kind = "headers" if name == "amq.match" else name[4:]
    await ch.call(Exchange.Declare(exchange=name, exchange_type=kind, durable=True))
    await ch.declare("a", exclusive=True)
    await ch.call(Queue.Bind(queue="a", exchange=name, routing_key="a"))
    assert await reached(ch, name, "a", "a") == {"a"}


async def test_a_direct_exchange_routes_by_the_key(ch: Lane) -> None:
    await ch.call(Exchange.Declare(exchange="x", exchange_type="direct"))
    await bound(ch, "x", "a", "b")
    await ch.call(Queue.Bind(queue="b", exchange="x", routing_key="a"))
    assert await reached(ch, "x", "a", "a", "b") == {"a", "b"}
    assert await reached(ch, "x", "b", "a", "b") == {"b"}
    assert await reached(ch, "x", "*", "a", "b") == set()


async def test_a_fanout_exchange_routes_to_all(ch: Lane) -> None:
    await ch.call(Exchange.Declare(exchange="x", exchange_type="fanout"))
    await bound(ch, "x", "a", "b")
    assert await reached(ch, "x", "whatever", "a", "b") == {"a", "b"}


async def test_a_queue_gets_a_message_once_however_often_it_is_bound(ch: Lane) -> None:
    await ch.call(Exchange.Declare(exchange="x", exchange_type="topic"))
    await ch.declare("q", exclusive=True)
    for key in ("a", "#", "*", "a"):
        await ch.call(Queue.Bind(queue="q", exchange="x", routing_key=key))
    ch.publish("x", "a", b"once")
    assert await ch.bodies("q") == [b"once"]


PATTERNS = {
    "": {""},
    "a": {"a"},
    "*": {"a", "b"},  # an empty key has no words at all
    "#": {"", "a", "b", "a.b", "a.b.c", "a.", ".a", "a..c", "b.a", ".", "c.b.a"},
    "a.*": {"a.b", "a."},
    "a.#": {"a", "a.b", "a.b.c", "a.", "a..c"},
    "#.a": {"a", ".a", "b.a", "c.b.a"},
    "*.*": {"a.b", "a.", ".a", "b.a", "."},
    "*.b.*": {"a.b.c", "c.b.a"},
    "a.#.c": {"a.b.c", "a..c"},
    "#.b.#": {"b", "a.b", "a.b.c", "b.a", "c.b.a"},
    "*.#": {"a", "b", "a.b", "a.b.c", "a.", ".a", "a..c", "b.a", ".", "c.b.a"},
    "#.*": {"a", "b", "a.b", "a.b.c", "a.", ".a", "a..c", "b.a", ".", "c.b.a"},
    "#.#": {"", "a", "b", "a.b", "a.b.c", "a.", ".a", "a..c", "b.a", ".", "c.b.a"},
    "a.*.#": {"a.b", "a.b.c", "a.", "a..c"},
    "*a": set(),
    "a#": set(),
}


async def test_a_topic_exchange_routes_by_patterns_of_words(ch: Lane) -> None:
    await ch.call(Exchange.Declare(exchange="x", exchange_type="topic"))
    for number, pattern in enumerate(PATTERNS):
        await ch.declare(f"q{number}", exclusive=True)
        await ch.call(Queue.Bind(queue=f"q{number}", exchange="x", routing_key=pattern))
    for key in {key for keys in PATTERNS.values() for key in keys}:
        ch.publish("x", key, key.encode())
    found = {
        pattern: {content.decode() for content in await ch.bodies(f"q{number}")}
        for number, pattern in enumerate(PATTERNS)
    }
    assert found == PATTERNS


async def test_unbinding_one_pattern_leaves_the_others(ch: Lane) -> None:
    await ch.call(Exchange.Declare(exchange="x", exchange_type="topic"))
    for queue, pattern in {"one": "a.*", "two": "a.#"}.items():
        await ch.declare(queue, exclusive=True)
        await ch.call(Queue.Bind(queue=queue, exchange="x", routing_key=pattern))
    await ch.call(Queue.Unbind(queue="one", exchange="x", routing_key="a.*"))
    assert await reached(ch, "x", "a.b", "one", "two") == {"two"}


# -- the default exchange is nobody's to change ---------------------------------------------------


@pytest.mark.parametrize(
    "method",
    [
        Exchange.Declare(exchange="", exchange_type="direct"),
        Exchange.Declare(exchange="", passive=True),
        Exchange.Delete(exchange=""),
        Exchange.Bind(destination="", source="amq.direct"),
        Exchange.Bind(destination="amq.direct", source=""),
        Exchange.Unbind(destination="amq.direct", source=""),
        Queue.Bind(queue="q", exchange=""),
        Queue.Unbind(queue="q", exchange="", routing_key="q"),
    ],
    ids=lambda method: str(method.name),
)
async def test_the_default_exchange_may_not_be_touched(ch: Lane, method: Any) -> None:
    await ch.declare("q", exclusive=True)
    assert await ch.refused(method) == Refusal(
        403, "ACCESS_REFUSED - operation not permitted on the default exchange", method.name
    )


# -- declare and delete ---------------------------------------------------------------------------


async def test_a_missing_exchange_is_not_found(ch: Lane, vhost: str) -> None:
    assert await ch.refused(Exchange.Declare(exchange="no", passive=True)) == Refusal(
        404, f"NOT_FOUND - no exchange 'no' in vhost '{vhost}'", "Exchange.Declare"
    )


async def test_publishing_to_a_missing_exchange_costs_the_channel(ch: Lane, vhost: str) -> None:
    ch.publish("no", "key", b"lost")
    assert await ch.refusal() == Refusal(
        404, f"NOT_FOUND - no exchange 'no' in vhost '{vhost}'", "Basic.Publish"
    )


async def test_binding_to_what_is_missing_costs_the_channel(
    ch: Lane, ch2: Lane, vhost: str
) -> None:
    await ch.declare("q", exclusive=True)
    assert await ch.refused(Queue.Bind(queue="q", exchange="no")) == Refusal(
        404, f"NOT_FOUND - no exchange 'no' in vhost '{vhost}'", "Queue.Bind"
    )
    assert await ch2.refused(Queue.Bind(queue="no", exchange="amq.direct")) == Refusal(
        404, f"NOT_FOUND - no queue 'no' in vhost '{vhost}'", "Queue.Bind"
    )


async def test_unbinding_what_is_not_bound_does_nothing(ch: Lane) -> None:
    await ch.declare("q", exclusive=True)
    for unbind in (
        Queue.Unbind(queue="q", exchange="amq.direct", routing_key="no"),
        Queue.Unbind(queue="q", exchange="no", routing_key="no"),
        Queue.Unbind(queue="no", exchange="amq.direct", routing_key="no"),
    ):
        assert isinstance(await ch.call(unbind), Queue.UnbindOk)


async def test_deleting_a_missing_exchange_does_nothing(ch: Lane) -> None:
    assert isinstance(await ch.call(Exchange.Delete(exchange="no")), Exchange.DeleteOk)


async def test_an_internal_exchange_takes_no_messages_of_clients(ch: Lane, vhost: str) -> None:
    await ch.call(Exchange.Declare(exchange="x", exchange_type="fanout", internal=True))
    ch.publish("x", "", b"lost")
    assert await ch.refusal() == Refusal(
        403,
        f"ACCESS_REFUSED - cannot publish to internal exchange 'x' in vhost '{vhost}'",
        "Basic.Publish",
    )


async def test_an_exchange_in_use_is_not_deleted_if_unused(ch: Lane, vhost: str) -> None:
    await ch.call(Exchange.Declare(exchange="x", exchange_type="fanout"))
    await bound(ch, "x", "a")
    assert await ch.refused(Exchange.Delete(exchange="x", if_unused=True)) == Refusal(
        406, f"PRECONDITION_FAILED - exchange 'x' in vhost '{vhost}' in use", "Exchange.Delete"
    )


async def test_deleting_an_exchange_unbinds_its_queues(ch: Lane) -> None:
    await ch.call(Exchange.Declare(exchange="x", exchange_type="fanout"))
    await bound(ch, "x", "a")
    await ch.call(Exchange.Delete(exchange="x"))
    await ch.call(Exchange.Declare(exchange="x", exchange_type="fanout"))
    assert await reached(ch, "x", "", "a") == set()


async def test_an_auto_delete_exchange_goes_with_its_last_binding(ch: Lane) -> None:
    await ch.call(Exchange.Declare(exchange="x", exchange_type="direct", auto_delete=True))
    await bound(ch, "x", "a", "b")
    await ch.call(Queue.Unbind(queue="a", exchange="x", routing_key="a"))
    assert isinstance(
        await ch.call(Exchange.Declare(exchange="x", passive=True)), Exchange.DeclareOk
    )
    await ch.call(Queue.Delete(queue="b"))
    assert (await ch.refused(Exchange.Declare(exchange="x", passive=True))).code == 404


async def test_an_auto_delete_exchange_that_never_was_bound_stays(ch: Lane, ch2: Lane) -> None:
    await ch.call(Exchange.Declare(exchange="x", exchange_type="direct", auto_delete=True))
    await ch.close()
    assert isinstance(
        await ch2.call(Exchange.Declare(exchange="x", passive=True)), Exchange.DeclareOk
    )


async def test_no_wait_is_not_answered(ch: Lane) -> None:
    ch.send(Exchange.Declare(exchange="x", exchange_type="fanout", nowait=True))
    ch.send(Queue.Declare(queue="q", exclusive=True, nowait=True))
    ch.send(Queue.Bind(queue="q", exchange="x", nowait=True))
    assert await reached(ch, "x", "", "q") == {"q"}
    ch.send(Queue.Delete(queue="q", nowait=True), Exchange.Delete(exchange="x", nowait=True))
    assert (await ch.refused(Exchange.Declare(exchange="x", passive=True))).code == 404


# -- who keeps what -------------------------------------------------------------------------------


async def test_an_exchange_outlives_its_connection(connect: Connect, ch: Lane) -> None:
    brief = await connect()
    lane = await brief.channel()
    await lane.call(Exchange.Declare(exchange="x", exchange_type="fanout"))
    await brief.close()
    assert isinstance(
        await ch.call(Exchange.Declare(exchange="x", passive=True)), Exchange.DeclareOk
    )
