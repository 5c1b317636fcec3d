"""What may be declared, and declared again: names, types, properties and arguments."""

from __future__ import annotations

from typing import Any

import pamqp.base
import pamqp.frame
import pytest
from pamqp.commands import Basic, Exchange, Queue

from tests.behaviour.amqp.script import Lane, Refusal

# -- names ----------------------------------------------------------------------------------------


RESERVED = [
    Queue.Declare(queue="amq.mine"),
    Queue.Declare(queue="amq.mine", exclusive=True),
    Exchange.Declare(exchange="amq.mine", exchange_type="direct"),
]


@pytest.mark.parametrize("number", range(len(RESERVED)))
async def test_reserved_names_are_refused(ch: Lane, number: int) -> None:
    method = RESERVED[number]
    kind = "queue" if isinstance(method, Queue.Declare) else "exchange"
    assert await ch.refused(method) == Refusal(
        403,
        f"ACCESS_REFUSED - {kind} name 'amq.mine' contains reserved prefix 'amq.*'",
        method.name,
    )


async def test_a_queue_that_the_broker_named_is_not_declared_again(ch: Lane) -> None:
    name = await ch.declare("", exclusive=True)
    assert (await ch.call(Queue.Declare(queue=name, passive=True))).queue == name
    assert await ch.refused(Queue.Declare(queue=name, exclusive=True)) == Refusal(
        403,
        f"ACCESS_REFUSED - queue name '{name}' contains reserved prefix 'amq.*'",
        "Queue.Declare",
    )


@pytest.mark.parametrize("name", ["amq.direct", "amq.nope"])
async def test_exchanges_of_reserved_names_are_not_deleted(ch: Lane, vhost: str, name: str) -> None:
    assert await ch.refused(Exchange.Delete(exchange=name)) == Refusal(
        403,
        f"ACCESS_REFUSED - deletion of system exchange '{name}' in vhost '{vhost}' not allowed",
        "Exchange.Delete",
    )


async def answer(ch: Lane, method: pamqp.base.Frame) -> Any:
    """What comes next when `:` and `_` of a method are CR and LF, which pamqp would not send."""
    data = pamqp.frame.marshal(method, ch.number)
    ch.client.write(data.replace(b":", b"\r").replace(b"_", b"\n"))
    return await ch.next()


async def test_carriage_returns_and_line_feeds_are_left_out_of_names(ch: Lane) -> None:
    assert (await answer(ch, Queue.Declare(queue="a:_b"))).queue == "ab"
    assert (await answer(ch, Queue.Declare(queue="_ab:", passive=True))).queue == "ab"
    for method in (
        Exchange.Declare(exchange="x:_y", exchange_type="fanout"),
        Exchange.Declare(exchange="xy", passive=True),
        Exchange.Declare(exchange="x_y", passive=True),
        Exchange.Declare(exchange="z", exchange_type="fanout"),
        Queue.Bind(queue="a_b", exchange="x_y"),
        Exchange.Bind(destination="x:y", source="z_"),
    ):
        assert (await answer(ch, method)).name in method.valid_responses
    ch.publish("z", "", b"m")
    assert await ch.bodies("ab") == [b"m"]
    for undo in (
        Queue.Unbind(queue="a_b", exchange="x_y"),
        Exchange.Unbind(destination="x:y", source="z_"),
        Exchange.Delete(exchange="x_y"),
        Queue.Delete(queue="a_b"),
    ):
        assert (await answer(ch, undo)).name in undo.valid_responses
    assert (await ch.refused(Queue.Declare(queue="ab", passive=True))).code == 404


def with_a_byte_that_is_no_text(method: pamqp.base.Frame, ch: Lane) -> bytes:
    """The frame of a method with 0x8b for `:`, which pamqp would not send."""
    return pamqp.frame.marshal(method, ch.number).replace(b":", b"\x8b")


@pytest.mark.parametrize(
    "method",
    [
        Queue.Declare(queue="levere:"),
        Exchange.Declare(exchange="x", exchange_type="di:ect"),
        Queue.Bind(queue="q", exchange="amq.direct", routing_key=":"),
        Basic.Consume(queue="q", consumer_tag=":"),
        Basic.Get(queue=":"),
    ],
    ids=lambda method: method.name,
)
async def test_names_that_are_no_utf_8_cost_the_connection(
    ch: Lane, method: pamqp.base.Frame
) -> None:
    ch.client.write(with_a_byte_that_is_no_text(method, ch))
    assert await ch.client.refusal() == Refusal(
        501, "FRAME_ERROR - Malformed UTF-8 in shortstr", ""
    )


async def test_carriage_returns_and_line_feeds_count_where_nothing_is_declared_or_bound(
    ch: Lane, vhost: str
) -> None:
    await ch.declare("ab", exclusive=True)
    close = await answer(ch, Basic.Get(queue="a_b"))
    assert close.reply_text == f"NOT_FOUND - no queue 'a\nb' in vhost '{vhost}'"


# -- exchanges ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "word"), [("no", "invalid"), ("nope", "unknown")])
@pytest.mark.parametrize("exchange", ["x", "", "amq.mine", "amq.direct"])
async def test_an_unknown_type_costs_the_connection_and_since_4_the_channel(
    ch: Lane, since_4: bool, kind: str, word: str, exchange: str
) -> None:
    ch.send(Exchange.Declare(exchange=exchange, exchange_type=kind))
    refusal = await (ch.refusal() if since_4 else ch.client.refusal())
    code, name = (406, "PRECONDITION_FAILED") if since_4 else (503, "COMMAND_INVALID")
    assert refusal == Refusal(code, f"{name} - {word} exchange type '{kind}'", "Exchange.Declare")


@pytest.mark.parametrize(
    ("option", "text"),
    [
        (
            {"exchange_type": "fanout"},
            "'type' for exchange 'x' in vhost '{}': received 'fanout' but current is 'direct'",
        ),
        (
            {"durable": True},
            "'durable' for exchange 'x' in vhost '{}': received 'true' but current is 'false'",
        ),
        (
            {"auto_delete": True},
            "'auto_delete' for exchange 'x' in vhost '{}': received 'true' but current is 'false'",
        ),
        (
            {"internal": True},
            "'internal' for exchange 'x' in vhost '{}': received 'true' but current is 'false'",
        ),
        (
            {"arguments": {"alternate-exchange": "y"}},
            (
                "'alternate-exchange' for exchange 'x' in vhost '{}': received the value 'y' of "
                "type 'longstr' but current is none"
            ),
        ),
    ],
    ids=["type", "durable", "auto_delete", "internal", "alternate-exchange"],
)
async def test_an_exchange_that_is_declared_otherwise_is_refused(
    ch: Lane, vhost: str, option: dict[str, Any], text: str
) -> None:
    await ch.call(Exchange.Declare(exchange="x", exchange_type="direct"))
    again = Exchange.Declare(**{"exchange": "x", "exchange_type": "direct", **option})
    assert await ch.refused(again) == Refusal(
        406, "PRECONDITION_FAILED - inequivalent arg " + text.format(vhost), "Exchange.Declare"
    )


async def test_an_exchange_may_be_declared_again_as_it_is(ch: Lane) -> None:
    for _ in range(2):
        await ch.call(
            Exchange.Declare(
                exchange="x", exchange_type="topic", durable=True, arguments={"unknown": 1}
            )
        )


async def test_a_passive_declare_of_an_exchange_asks_for_the_name_only(ch: Lane) -> None:
    await ch.call(Exchange.Declare(exchange="x", exchange_type="topic"))
    answer = await ch.call(
        Exchange.Declare(exchange="x", exchange_type="fanout", durable=True, passive=True)
    )
    assert isinstance(answer, Exchange.DeclareOk)


# -- queues ---------------------------------------------------------------------------------------


FIRST: dict[str, Any] = {"x-max-length": 5, "x-message-ttl": 1000}

INEQUIVALENT: list[tuple[dict[str, Any], str, str]] = [
    ({"durable": False}, "durable", "received 'false' but current is 'true'"),
    ({"auto_delete": True}, "auto_delete", "received 'true' but current is 'false'"),
    (
        {"arguments": {**FIRST, "x-max-length": 6}},
        "x-max-length",
        "received '6' but current is '5'",
    ),
    (
        {"arguments": {"x-message-ttl": 1000}},
        "x-max-length",
        "received none but current is the value '5' of type 'byte'",
    ),
    (
        {"arguments": {**FIRST, "x-expires": 60000}},
        "x-expires",
        "received the value '60000' of type 'unsignedshort' but current is none",
    ),
    (
        {"arguments": {**FIRST, "x-dead-letter-exchange": "x"}},
        "x-dead-letter-exchange",
        "received the value 'x' of type 'longstr' but current is none",
    ),
]


@pytest.mark.parametrize("number", range(len(INEQUIVALENT)))
async def test_a_queue_that_is_declared_otherwise_is_refused(
    ch: Lane, vhost: str, number: int
) -> None:
    option, name, text = INEQUIVALENT[number]
    await ch.call(Queue.Declare(queue="q", durable=True, arguments=FIRST))
    again = Queue.Declare(**{"queue": "q", "durable": True, "arguments": FIRST, **option})
    assert await ch.refused(again) == Refusal(
        406,
        f"PRECONDITION_FAILED - inequivalent arg '{name}' for queue 'q' in vhost '{vhost}': {text}",
        "Queue.Declare",
    )


async def test_a_classic_queue_that_is_declared_as_quorum_is_refused(
    ch: Lane, vhost: str, since_4: bool
) -> None:
    await ch.declare("q")
    again = Queue.Declare(queue="q", durable=True, arguments={"x-queue-type": "quorum"})
    # Since RabbitMQ 4 a queue that is declared without a type is one of type 'classic'.
    text = (
        "received 'quorum' but current is 'classic'"
        if since_4
        else "received the value 'quorum' of type 'longstr' but current is none"
    )
    assert await ch.refused(again) == Refusal(
        406,
        f"PRECONDITION_FAILED - inequivalent arg 'x-queue-type' for queue 'q' in vhost '{vhost}': "
        f"{text}",
        "Queue.Declare",
    )


async def test_arguments_that_the_broker_does_not_know_are_no_difference(ch: Lane) -> None:
    await ch.declare("q", x_max_length=5, other=1)
    assert await ch.declare("q", x_max_length=5, other=2, x_queue_type="classic") == "q"


INTEGER = '"expected integer, got longstr"'

INVALID: list[tuple[str, Any, str]] = [
    ("x-max-length", -1, "{value_negative,-1}"),
    ("x-max-length", "5", INTEGER),
    ("x-message-ttl", -1, "{value_negative,-1}"),
    ("x-message-ttl", "1", INTEGER),
    ("x-expires", 0, "{value_zero,0}"),
    ("x-max-priority", 256, "{max_value_exceeded,256}"),
    ("x-overflow", "explode", "invalid_overflow"),
    ("x-dead-letter-routing-key", "k", "routing_key_but_no_dlx_defined"),
    ("x-queue-type", "exotic", "\"unsupported queue type 'exotic'\""),
    ("x-single-active-consumer", "yes", "{unacceptable_type,longstr}"),
    ("x-queue-mode", "quick", "\"unsupported queue mode 'quick'\""),
]


@pytest.mark.parametrize("number", range(len(INVALID)))
async def test_an_argument_of_no_sense_is_refused(ch: Lane, vhost: str, number: int) -> None:
    name, value, text = INVALID[number]
    refusal = await ch.refused(Queue.Declare(queue="q", durable=True, arguments={name: value}))
    assert refusal == Refusal(
        406,
        f"PRECONDITION_FAILED - invalid arg '{name}' for queue 'q' in vhost '{vhost}': {text}",
        "Queue.Declare",
    )


async def test_a_dead_letter_exchange_that_is_no_text_is_refused(ch: Lane, vhost: str) -> None:
    refusal = await ch.refused(Queue.Declare(queue="q", arguments={"x-dead-letter-exchange": 1}))
    assert refusal == Refusal(
        406,
        "PRECONDITION_FAILED - invalid type 'byte' for arg 'x-dead-letter-exchange' in queue 'q' "
        f"in vhost '{vhost}'",
        "Queue.Declare",
    )


@pytest.mark.parametrize("durable", [False, True])
async def test_whether_an_exclusive_queue_is_durable_makes_no_difference(
    ch: Lane, durable: bool
) -> None:
    await ch.call(Queue.Declare(queue="q", exclusive=True, durable=durable))
    again = Queue.Declare(queue="q", exclusive=True, durable=not durable)
    assert (await ch.call(again)).queue == "q"
