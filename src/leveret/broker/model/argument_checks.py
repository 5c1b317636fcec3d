"""Checks the arguments of queues and consumers, in RabbitMQ's words where they are wrong. Pure.

In every function `what` names the queue as RabbitMQ does: "queue 'x' in vhost '/'".
"""

from __future__ import annotations

from typing import Any, Final

from leveret.broker.model.arguments import (
    CLASSIC,
    COMMON,
    KNOWN,
    LONGEST,
    QUORUM,
    STREAM,
    type_of,
)
from leveret.broker.refusals import Refused, not_implemented, precondition

_INTEGERS: Final = {
    "x-message-ttl": 0,
    "x-expires": 1,
    "x-max-length": 0,
    "x-max-length-bytes": 0,
    "x-max-priority": 0,
    "x-max-in-memory-length": 0,
    "x-max-in-memory-bytes": 0,
    "x-quorum-initial-group-size": 1,
}
"""Arguments that are whole numbers, and the least value of each."""

_CHOICES: Final = {
    "x-queue-mode": (("default", "lazy"), "unsupported queue mode"),
    "x-queue-type": (("classic", "quorum", "stream"), "unsupported queue type"),
}

_NAMED_CHOICES: Final = {
    "x-overflow": (("drop-head", "reject-publish", "reject-publish-dlx"), "invalid_overflow"),
    "x-dead-letter-strategy": (("at-most-once", "at-least-once"), "invalid_dlx_strategy"),
    "x-queue-leader-locator": (("client-local", "balanced"), "invalid_queue_locator_arg"),
}


def check_queue(
    arguments: dict[str, Any], what: str, *, durable: bool, exclusive: bool, auto_delete: bool
) -> None:
    """Check the arguments of a queue that is to be declared.

    :raises Refused: if one has a wrong type or value, or the queue's type does not have it.
    """
    if "x-queue-type" in arguments:
        _check("x-queue-type", arguments, what)
    kind = arguments.get("x-queue-type", "classic")
    _check_kind(kind, arguments, what)
    for name in arguments:
        _check(name, arguments, what)
    if kind != "classic":
        _check_replicated(what, durable, exclusive, auto_delete)
    if kind == "stream":
        raise not_implemented("the embedded broker has no streams")


def check_consumer(arguments: dict[str, Any], what: str, *, quorum: bool) -> None:
    """Check the arguments of basic.consume.

    :raises Refused: if one has a wrong type, or the queue's type does not have it.
    """
    for name in ("x-priority", "x-cancel-on-ha-failover", "x-stream-offset"):
        if name not in arguments:
            continue
        if name == "x-priority":
            _check_integer(name, arguments, what)
        elif quorum or name == "x-stream-offset":
            kind = "quorum" if quorum else "classic"
            raise precondition(f"invalid arg '{name}' for {what} of queue type rabbit_{kind}_queue")
        elif not isinstance(arguments[name], bool):
            raise _unacceptable(name, arguments, what)


def _check(name: str, arguments: dict[str, Any], what: str) -> None:
    value = arguments[name]
    if name in _INTEGERS:
        _check_range(name, arguments, what)
    elif name in _CHOICES:
        _check_text(name, arguments, what)
        allowed, complaint = _CHOICES[name]
        if value not in allowed:
            raise _invalid(name, what, f"\"{complaint} '{value}'\"")
    elif name in _NAMED_CHOICES:
        _check_text(name, arguments, what)
        allowed, complaint = _NAMED_CHOICES[name]
        if value not in allowed:
            raise _invalid(name, what, complaint)
    elif name == "x-queue-version":
        _check_version(name, arguments, what)
    elif name.startswith("x-dead-letter-"):
        _check_dead_letters(name, arguments, what)
    elif name == "x-single-active-consumer" and not isinstance(value, bool):
        raise _unacceptable(name, arguments, what)


def _check_dead_letters(name: str, arguments: dict[str, Any], what: str) -> None:
    if name == "x-dead-letter-exchange" and not isinstance(arguments[name], str):
        raise precondition(f"invalid type '{type_of(arguments, name)}' for arg '{name}' in {what}")
    if name == "x-dead-letter-routing-key":
        _check_text(name, arguments, what)
        if "x-dead-letter-exchange" not in arguments:
            raise _invalid(name, what, "routing_key_but_no_dlx_defined")


def _check_version(name: str, arguments: dict[str, Any], what: str) -> None:
    _check_integer(name, arguments, what)
    if arguments[name] not in (1, 2):
        raise _invalid(name, what, f"\"unsupported queue version '{arguments[name]}'\"")


def _check_range(name: str, arguments: dict[str, Any], what: str) -> None:
    _check_integer(name, arguments, what)
    value = arguments[name]
    if value < _INTEGERS[name]:
        raise _invalid(name, what, "{value_zero,0}" if not value else _negative(value))
    if name in ("x-message-ttl", "x-expires") and value > LONGEST:
        raise _invalid(name, what, f"{{value_too_large,{value}}}")
    if name == "x-max-priority" and value > 255:
        raise _invalid(name, what, f"{{max_value_exceeded,{value}}}")


def _check_kind(kind: str, arguments: dict[str, Any], what: str) -> None:
    """Check that all arguments are for this type of queue."""
    own = {"classic": CLASSIC, "quorum": QUORUM, "stream": STREAM}[kind]
    for name in arguments:
        if name in KNOWN and name not in COMMON and name not in own:
            raise precondition(f"invalid arg '{name}' for {what} of queue type rabbit_{kind}_queue")


def _check_replicated(what: str, durable: bool, exclusive: bool, auto_delete: bool) -> None:
    for wrong, name in (
        (not durable, "non-durable"),
        (exclusive, "exclusive-owner"),
        (auto_delete, "auto-delete"),
    ):
        if wrong:
            raise precondition(f"invalid property '{name}' for {what}")


def _check_integer(name: str, arguments: dict[str, Any], what: str) -> None:
    value = arguments[name]
    if isinstance(value, bool) or not isinstance(value, int):
        kind = type_of(arguments, name)
        raise _invalid(name, what, f'"expected integer, got {kind}"')


def _check_text(name: str, arguments: dict[str, Any], what: str) -> None:
    if not isinstance(arguments[name], str):
        raise _unacceptable(name, arguments, what)


def _negative(value: int) -> str:
    return f"{{value_negative,{value}}}"


def _unacceptable(name: str, arguments: dict[str, Any], what: str) -> Refused:
    return _invalid(name, what, f"{{unacceptable_type,{type_of(arguments, name)}}}")


def _invalid(name: str, what: str, why: str) -> Refused:
    return precondition(f"invalid arg '{name}' for {what}: {why}")
