"""What it means that the broker closed a channel while something was declared or probed."""

from __future__ import annotations

from leveret.amqp.codes import ReplyCode
from leveret.errors import ChannelClosed, LeveretError, PermissionDenied, TopologyError


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
