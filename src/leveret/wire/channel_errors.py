"""What it means that the broker closed a channel, or the connection, for what was done on it."""

from __future__ import annotations

import re
from typing import Final

from leveret.amqp.codes import ReplyCode
from leveret.errors import (
    ChannelClosed,
    ConnectionClosed,
    LeveretError,
    PermissionDenied,
    TopologyError,
)

_SIZES: Final = re.compile(r"message size (\d+) is larger than (?:configured )?max size (\d+)")
_EXCHANGE: Final = re.compile(r"exchange '([^']*)' in vhost")
_DEFAULT_EXCHANGE: Final = "amq.default"
"""RabbitMQ's name for the default exchange, whose name is empty."""


def exchange_at_fault(error: LeveretError) -> str | None:
    """The exchange that does not exist, or that the user may not use; None for other errors.

    RabbitMQ closes the channel of a publish for either, and names the exchange.
    """
    if not isinstance(error, ChannelClosed) or error.reply_code not in (
        ReplyCode.NOT_FOUND,
        ReplyCode.ACCESS_REFUSED,
    ):
        return None
    named = _EXCHANGE.search(error.reply_text)
    if named is None:
        return None
    return "" if named[1] == _DEFAULT_EXCHANGE else named[1]


def is_missing_exchange(error: LeveretError) -> bool:
    """Whether the broker closed the channel because an exchange does not exist."""
    return (
        isinstance(error, ChannelClosed)
        and error.reply_code == ReplyCode.NOT_FOUND
        and bool(exchange_at_fault(error))
    )


def size_at_fault(error: LeveretError) -> tuple[int, int] | None:
    """The size of a message that is larger than the broker takes, and the largest that it takes.

    RabbitMQ closes the channel of such a publish, and names both (`max_message_size` in its
    configuration). In bytes; None for other errors.
    """
    if (
        not isinstance(error, ChannelClosed)
        or error.reply_code != ReplyCode.PRECONDITION_FAILED
        or (named := _SIZES.search(error.reply_text)) is None
    ):
        return None
    return int(named[1]), int(named[2])


def is_down(error: ChannelClosed) -> bool:
    """Whether a queue is only out of reach, because the broker's node that has it is down.

    RabbitMQ 3 says so at once. RabbitMQ 4 says nothing for a minute, and then "due to timeout", or
    that the queue's process is stopped. Callers do not wait for that long.
    """
    words = ("down or inaccessible", "due to timeout", "process is stopped")
    return error.reply_code == ReplyCode.NOT_FOUND and any(w in error.reply_text for w in words)


def explained(error: ChannelClosed, what: str) -> LeveretError:
    """The same as an error that says what to do.

    :param what: what was declared, for the message.
    """
    match error.reply_code:
        case ReplyCode.PRECONDITION_FAILED if "inequivalent arg" not in error.reply_text:
            advice = (
                " Delete there what nobody uses, or have the limit raised."
                if "limit" in error.reply_text
                else " The options that the contract asks for are not possible on this broker."
            )
            return TopologyError(f"the {what} cannot be declared: {error}.{advice}")
        case ReplyCode.PRECONDITION_FAILED:
            return TopologyError(
                f"the {what} exists on the broker with other options: {error}."
                " Delete it there once nothing uses it, or go back to the options it has."
            )
        case ReplyCode.ACCESS_REFUSED:
            return PermissionDenied(
                f"the broker's user may not use the {what}: {error}."
                " See docs/protocol.md for the permissions that Leveret needs."
            )
    return error


def forbidden(error: LeveretError | None) -> PermissionDenied | None:
    """Why another connection would end as well, where the broker does not allow what is done on it.

    RabbitMQ so ends the connection of a user who opens more channels than `max-channels` allows
    (https://www.rabbitmq.com/docs/user-limits). None for another end, which may not come again.
    """
    codes = (ReplyCode.NOT_ALLOWED, ReplyCode.ACCESS_REFUSED)
    if not isinstance(error, ConnectionClosed) or error.reply_code not in codes:
        return None
    denied = PermissionDenied(
        f"the broker ended the connection for what its user may not do there: {error}."
        " A client opens 3 channels, a server 1 more for each of its queues and 2 for control."
    )
    denied.__cause__ = error
    return denied
