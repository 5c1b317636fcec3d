"""The arguments of queues (`x-...`): read and checked, in RabbitMQ's words where they are wrong.

https://www.rabbitmq.com/docs/queues#optional-arguments
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from leveret.broker.refusals import Refused, not_implemented, precondition

_COMMON: Final = (
    "x-expires",
    "x-message-ttl",
    "x-dead-letter-exchange",
    "x-dead-letter-routing-key",
    "x-max-length",
    "x-max-length-bytes",
    "x-overflow",
    "x-single-active-consumer",
    "x-queue-type",
)
_CLASSIC: Final = ("x-max-priority", "x-queue-mode", "x-queue-version", "x-queue-master-locator")
_QUORUM: Final = (
    "x-delivery-limit",
    "x-dead-letter-strategy",
    "x-max-in-memory-length",
    "x-max-in-memory-bytes",
    "x-quorum-initial-group-size",
    "x-queue-leader-locator",
)
_STREAM: Final = (
    "x-max-age",
    "x-stream-max-segment-size-bytes",
    "x-initial-cluster-size",
)

_KNOWN: Final = (*_COMMON, *_CLASSIC, *_QUORUM, *_STREAM)
COMPARED: Final = _KNOWN
"""Which must be the same when a queue is declared again."""

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
"""Arguments that are whole numbers, and the least each may be."""

LONGEST: Final = 10 * 365 * 24 * 3600 * 1000
"""The longest time that RabbitMQ takes for TTLs, in milliseconds: ten years."""

_CHOICES: Final = {
    "x-queue-mode": (("default", "lazy"), "unsupported queue mode"),
    "x-queue-type": (("classic", "quorum", "stream"), "unsupported queue type"),
}

_NAMED_CHOICES: Final = {
    "x-overflow": (("drop-head", "reject-publish", "reject-publish-dlx"), "invalid_overflow"),
    "x-dead-letter-strategy": (("at-most-once", "at-least-once"), "invalid_dlx_strategy"),
    "x-queue-leader-locator": (("client-local", "balanced"), "invalid_queue_locator_arg"),
}

_TYPES: Final[dict[type, str]] = {
    bool: "bool",
    int: "long",
    str: "longstr",
    float: "double",
    list: "array",
    dict: "table",
}
"""What a value's type is called where nobody knows what it was on the wire."""


class Arguments(dict[str, Any]):
    """A field table that knows what AMQP types its values had; `types` by name."""

    types: dict[str, str]


class QueueOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What a queue's arguments ask for; times are in seconds, sizes in bytes, None is "not set"."""

    quorum: bool = False
    message_ttl: float | None = None
    expires: float | None = None
    max_length: int | None = None
    max_bytes: int | None = None
    overflow: str = "drop-head"
    max_priority: int | None = None
    dead_letter_exchange: str | None = None
    dead_letter_routing_key: str | None = None
    delivery_limit: int | None = None
    single_active_consumer: bool = False

    @property
    def bounded(self) -> bool:
        """Whether there is a limit to its length."""
        return self.max_length is not None or self.max_bytes is not None

    def are_too_many(self, count: int, size: int) -> bool:
        """Whether so many messages, of so many bytes together, are more than may wait."""
        return (self.max_length is not None and count > self.max_length) or (
            self.max_bytes is not None and size > self.max_bytes
        )


def read_options(
    arguments: dict[str, Any],
    what: str,
    *,
    durable: bool = True,
    exclusive: bool = False,
    auto_delete: bool = False,
) -> QueueOptions:
    """The options in a queue's arguments; `what` is "queue 'x' in vhost '/'".

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
    quorum = kind == "quorum"
    limit = arguments.get("x-delivery-limit")
    overflow = arguments.get("x-overflow", "drop-head")
    if quorum and overflow == "reject-publish-dlx":
        overflow = "drop-head"  # as RabbitMQ has it, which warns in its log
    return QueueOptions(
        quorum=quorum,
        message_ttl=_seconds(arguments.get("x-message-ttl")),
        expires=_seconds(arguments.get("x-expires")),
        max_length=arguments.get("x-max-length"),
        max_bytes=arguments.get("x-max-length-bytes"),
        overflow=overflow,
        max_priority=arguments.get("x-max-priority"),
        dead_letter_exchange=arguments.get("x-dead-letter-exchange"),
        dead_letter_routing_key=arguments.get("x-dead-letter-routing-key"),
        delivery_limit=limit if isinstance(limit, int) and limit >= 0 else None,
        single_active_consumer=arguments.get("x-single-active-consumer", False),
    )


def check_consumer(arguments: dict[str, Any], what: str, *, quorum: bool) -> None:
    """See that the arguments of basic.consume are valid for a queue.

    :raises Refused: if one has a wrong type, or the queue's type does not have it.
    """
    for name in ("x-priority", "x-cancel-on-ha-failover", "x-stream-offset"):
        if name not in arguments:
            continue
        if name == "x-priority":
            check_integer(name, arguments, what)
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
    check_integer(name, arguments, what)
    if arguments[name] not in (1, 2):
        raise _invalid(name, what, f"\"unsupported queue version '{arguments[name]}'\"")


def _check_range(name: str, arguments: dict[str, Any], what: str) -> None:
    check_integer(name, arguments, what)
    value = arguments[name]
    if value < _INTEGERS[name]:
        raise _invalid(name, what, "{value_zero,0}" if not value else _negative(value))
    if name in ("x-message-ttl", "x-expires") and value > LONGEST:
        raise _invalid(name, what, f"{{value_too_large,{value}}}")
    if name == "x-max-priority" and value > 255:
        raise _invalid(name, what, f"{{max_value_exceeded,{value}}}")


def _check_kind(kind: str, arguments: dict[str, Any], what: str) -> None:
    """:raises Refused: if there is an argument that RabbitMQ has for other types of queues only."""
    own = {"classic": _CLASSIC, "quorum": _QUORUM, "stream": _STREAM}[kind]
    for name in arguments:
        if name in _KNOWN and name not in _COMMON and name not in own:
            raise precondition(f"invalid arg '{name}' for {what} of queue type rabbit_{kind}_queue")


def _check_replicated(what: str, durable: bool, exclusive: bool, auto_delete: bool) -> None:
    for wrong, name in (
        (not durable, "non-durable"),
        (exclusive, "exclusive-owner"),
        (auto_delete, "auto-delete"),
    ):
        if wrong:
            raise precondition(f"invalid property '{name}' for {what}")


def check_integer(name: str, arguments: dict[str, Any], what: str) -> None:
    """:raises Refused: if the argument is no whole number."""
    value = arguments[name]
    if isinstance(value, bool) or not isinstance(value, int):
        kind = type_of(arguments, name)
        raise _invalid(name, what, f'"expected integer, got {kind}"')


def _check_text(name: str, arguments: dict[str, Any], what: str) -> None:
    if not isinstance(arguments[name], str):
        raise _unacceptable(name, arguments, what)


def type_of(arguments: dict[str, Any], name: str) -> str:
    """What RabbitMQ calls the type of an argument."""
    if isinstance(arguments, Arguments) and name in arguments.types:
        return arguments.types[name]
    return _TYPES.get(type(arguments.get(name)), "void")


def _seconds(milliseconds: int | None) -> float | None:
    return None if milliseconds is None else milliseconds / 1000


def _negative(value: int) -> str:
    return f"{{value_negative,{value}}}"


def _unacceptable(name: str, arguments: dict[str, Any], what: str) -> Refused:
    return _invalid(name, what, f"{{unacceptable_type,{type_of(arguments, name)}}}")


def _invalid(name: str, what: str, why: str) -> Refused:
    return precondition(f"invalid arg '{name}' for {what}: {why}")
