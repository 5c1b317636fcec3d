"""Headers exchanges: which headers meet which bindings."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from pamqp.commands import Queue

from tests.behaviour.amqp.script import Lane, Refusal
from tests.behaviour.amqp.test_exchanges import reached

HEADERS: list[tuple[dict[str, Any], dict[str, Any], bool]] = [
    ({"x-match": "all", "a": "1", "b": "2"}, {"a": "1", "b": "2", "c": "3"}, True),
    ({"x-match": "all", "a": "1", "b": "2"}, {"a": "1"}, False),
    ({"x-match": "all", "a": "1"}, {"a": "2"}, False),
    ({"a": "1", "b": "2"}, {"a": "1"}, False),
    ({"a": "1", "b": "2"}, {"a": "1", "b": "2"}, True),
    ({"x-match": "any", "a": "1", "b": "2"}, {"a": "1"}, True),
    ({"x-match": "any", "a": "1", "b": "2"}, {"a": "2", "c": "1"}, False),
    ({"x-match": "any"}, {"a": "1"}, False),
    ({"x-match": "all"}, {}, True),
    ({}, {"a": "1"}, True),
    ({"x-match": "all", "a": None}, {"a": "anything"}, True),
    ({"x-match": "all", "a": None}, {"b": "1"}, False),
    ({"x-match": "any", "a": None}, {"a": "anything"}, True),
    ({"x-match": "all", "a": 1}, {"a": "1"}, False),
    ({"x-match": "all", "a": 1}, {"a": 1}, True),
    ({"x-match": "all", "a": True}, {"a": True}, True),
    ({"x-match": "all", "a": True}, {"a": 1}, False),
    ({"x-match": "all", "a": 70_000}, {"a": 2**40}, False),
    ({"x-match": "all", "a": 5}, {"a": Decimal(5)}, False),
    ({"x-match": "all", "a": Decimal(5)}, {"a": Decimal(5)}, True),
    ({"x-match": "all", "a": Decimal("5.0")}, {"a": Decimal(5)}, False),
    ({"x-match": "all", "a": "text"}, {"a": bytearray(b"text")}, True),
    ({"x-match": "all", "a": [1, "b"]}, {"a": [1, "b"]}, True),
    ({"x-match": "all", "a": "1", "x-b": "2"}, {"a": "1"}, True),
    ({"x-match": "any", "a": "1", "x-b": "2"}, {"x-b": "2"}, False),
    ({"x-match": "all-with-x", "a": "1", "x-b": "2"}, {"a": "1"}, False),
    ({"x-match": "all-with-x", "a": "1", "x-b": "2"}, {"a": "1", "x-b": "2"}, True),
    ({"x-match": "any-with-x", "a": "1", "x-b": "2"}, {"x-b": "2"}, True),
]


@pytest.mark.parametrize("number", range(len(HEADERS)))
async def test_a_headers_exchange_routes_by_headers(ch: Lane, number: int) -> None:
    arguments, headers, matches = HEADERS[number]
    await ch.declare("q", exclusive=True)
    await ch.call(Queue.Bind(queue="q", exchange="amq.headers", arguments=arguments))
    found = await reached(ch, "amq.headers", "whatever", "q", headers=headers)
    assert found == ({"q"} if matches else set())


@pytest.mark.parametrize("given", [5.0, datetime.fromtimestamp(5, UTC)], ids=["float", "time"])
async def test_a_number_equals_one_of_another_kind_before_4(
    ch: Lane, since_4: bool, given: Any
) -> None:
    await ch.declare("q", exclusive=True)
    await ch.call(Queue.Bind(queue="q", exchange="amq.headers", arguments={"a": 5}))
    found = await reached(ch, "amq.headers", "whatever", "q", headers={"a": given})
    assert found == (set() if since_4 else {"q"})


async def test_a_message_without_headers_meets_only_who_asks_for_none(ch: Lane) -> None:
    asked: dict[str, Any] = {"a": {"a": "1"}, "all": {"x-match": "all"}}
    for queue, arguments in asked.items():
        await ch.declare(queue, exclusive=True)
        await ch.call(Queue.Bind(queue=queue, exchange="amq.headers", arguments=arguments))
    assert await reached(ch, "amq.headers", "", "a", "all") == {"all"}


@pytest.mark.parametrize(
    ("match", "text"),
    [
        (
            "some",
            'Invalid x-match field value <<"some">>; expected all, any, all-with-x, or any-with-x',
        ),
        ("", "Invalid x-match field value <<>>; expected all, any, all-with-x, or any-with-x"),
        (1, "Invalid x-match field type byte (value 1); expected longstr"),
        (None, "Invalid x-match field type void (value undefined); expected longstr"),
    ],
)
async def test_an_x_match_that_is_none_is_refused(ch: Lane, match: Any, text: str) -> None:
    await ch.declare("q", exclusive=True)
    refusal = await ch.refused(
        Queue.Bind(queue="q", exchange="amq.headers", arguments={"x-match": match})
    )
    assert refusal == Refusal(406, f"PRECONDITION_FAILED - {text}", "Queue.Bind")
