"""Compares a message's headers with a binding's arguments, for headers exchanges. Pure.

https://www.rabbitmq.com/tutorials/amqp-concepts#exchange-headers
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from leveret.broker.model.arguments import type_of
from leveret.broker.refusals import Refused, precondition

KINDS: Final = ("all", "any", "all-with-x", "any-with-x")


def check_match_kind(arguments: dict[str, Any]) -> None:
    """:raises Refused: if x-match is none of those that RabbitMQ knows."""
    if arguments.get("x-match", "all") not in KINDS:
        raise _invalid(arguments)


def _invalid(arguments: dict[str, Any]) -> Refused:
    kind = arguments["x-match"]
    if isinstance(kind, str):
        text = f'"{kind}"' if kind else ""
        return precondition(
            f"Invalid x-match field value <<{text}>>; expected all, any, all-with-x, or any-with-x"
        )
    return precondition(
        f"Invalid x-match field type {type_of(arguments, 'x-match')}"
        f" (value {'undefined' if kind is None else kind});"
        " expected longstr"
    )


def matches(arguments: dict[str, Any], headers: dict[str, Any]) -> bool:
    """Whether a binding with these arguments matches a message with these headers."""
    kind: str = arguments.get("x-match", "all")
    with_x = kind.endswith("-with-x")
    wanted = [
        (name, value)
        for name, value in arguments.items()
        if name != "x-match" and (with_x or not name.startswith("x-"))
    ]
    found = (name in headers and _equal(value, headers[name]) for name, value in wanted)
    return any(found) if kind.startswith("any") else all(found)


def _equal(wanted: Any, given: Any) -> bool:
    """Compare as RabbitMQ does. A binding without a value matches any.

    A number equals one of another width, and a timestamp the number of its seconds.
    """
    return wanted is None or _comparable(wanted) == _comparable(given)


def _comparable(value: Any) -> tuple[str, Any]:
    match value:
        case bool():
            return "bool", value
        case int() | float():
            return "number", value
        case datetime():
            return "number", value.timestamp()
        case Decimal():
            return "decimal", value.as_tuple()  # 5.0 and 5 differ
        case str() | bytes() | bytearray():
            octets = value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value
            return "octets", bytes(octets)
    return type(value).__name__, value
