"""The arguments of queues (`x-...`): their names, their AMQP types, and what they ask for. Pure.

https://www.rabbitmq.com/docs/queues#optional-arguments
"""

from __future__ import annotations

from enum import Enum
from typing import Any, Final

import msgspec

COMMON: Final = (
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
CLASSIC: Final = ("x-max-priority", "x-queue-mode", "x-queue-version", "x-queue-master-locator")
QUORUM: Final = (
    "x-delivery-limit",
    "x-dead-letter-strategy",
    "x-max-in-memory-length",
    "x-max-in-memory-bytes",
    "x-quorum-initial-group-size",
    "x-queue-leader-locator",
)
STREAM: Final = (
    "x-max-age",
    "x-stream-max-segment-size-bytes",
    "x-initial-cluster-size",
)

KNOWN: Final = (*COMMON, *CLASSIC, *QUORUM, *STREAM)
"""All arguments of queues. They must be the same when a queue is declared again."""

LONGEST: Final = 10 * 365 * 24 * 3600 * 1000
"""Milliseconds of the longest time to live that RabbitMQ accepts: ten years."""

_TYPES: Final[dict[type, str]] = {
    bool: "bool",
    int: "long",
    str: "longstr",
    float: "double",
    list: "array",
    dict: "table",
}
"""What RabbitMQ calls the type of a value, where its type on the wire is not known."""


class Arguments(dict[str, Any]):
    """A field table that remembers the AMQP types of its values."""

    types: dict[str, str]
    """What RabbitMQ calls the type of each value, by name."""


def type_of(arguments: dict[str, Any], name: str) -> str:
    """What RabbitMQ calls the type of an argument; "void" if there is none."""
    if isinstance(arguments, Arguments) and name in arguments.types:
        return arguments.types[name]
    return _TYPES.get(type(arguments.get(name)), "void")


class Overflow(Enum):
    """What becomes of a message that is one too many (x-overflow)."""

    DROP_HEAD = "drop-head"
    """The oldest message is dropped, or dead-lettered."""
    REJECT_PUBLISH = "reject-publish"
    """The new message is refused."""
    REJECT_PUBLISH_DLX = "reject-publish-dlx"
    """The new message is refused and dead-lettered."""


class QueueOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What a queue's arguments ask for. None is "not set"."""

    quorum: bool = False
    """Whether it is a quorum queue, else a classic one."""
    message_ttl: float | None = None
    """Seconds that a message may wait."""
    expires: float | None = None
    """Seconds that the queue may be unused before it is deleted."""
    max_length: int | None = None
    """How many messages may wait."""
    max_bytes: int | None = None
    """Bytes of the bodies that may wait."""
    overflow: Overflow = Overflow.DROP_HEAD
    """What becomes of a message beyond that."""
    max_priority: int | None = None
    """The highest priority that it distinguishes."""
    dead_letter_exchange: str | None = None
    """The exchange that gets the messages that die in it."""
    dead_letter_routing_key: str | None = None
    """The routing key that they get; None leaves them their own."""
    delivery_limit: int | None = None
    """How often a message may be requeued (quorum queues)."""
    single_active_consumer: bool = False
    """Whether only one consumer at a time gets messages."""

    @property
    def bounded(self) -> bool:
        """Whether there is a limit to its length."""
        return self.max_length is not None or self.max_bytes is not None

    def exceeded_by(self, count: int, size: int) -> bool:
        """Whether `count` messages of `size` bytes together are more than may wait."""
        return (self.max_length is not None and count > self.max_length) or (
            self.max_bytes is not None and size > self.max_bytes
        )


def read_options(arguments: dict[str, Any]) -> QueueOptions:
    """The options in a queue's arguments, which `argument_checks` found to be valid."""
    quorum = arguments.get("x-queue-type", "classic") == "quorum"
    limit = arguments.get("x-delivery-limit")
    overflow = Overflow(arguments.get("x-overflow", "drop-head"))
    if quorum and overflow is Overflow.REJECT_PUBLISH_DLX:
        overflow = Overflow.DROP_HEAD  # RabbitMQ does the same, with a warning in its log
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


def _seconds(milliseconds: int | None) -> float | None:
    return None if milliseconds is None else milliseconds / 1000
