"""Refusals of what a client asks for, in RabbitMQ's codes and words. Pure.

A `Refused` closes the channel. It closes the whole connection where AMQP calls its code a
"connection exception" (section 1.1).
"""

from __future__ import annotations

from typing import Final

from leveret.amqp.codes import ReplyCode
from leveret.errors import AMQPError

_CONNECTION_ERRORS: Final = frozenset(
    (
        ReplyCode.CONNECTION_FORCED,
        ReplyCode.INVALID_PATH,
        ReplyCode.FRAME_ERROR,
        ReplyCode.SYNTAX_ERROR,
        ReplyCode.COMMAND_INVALID,
        ReplyCode.CHANNEL_ERROR,
        ReplyCode.UNEXPECTED_FRAME,
        ReplyCode.RESOURCE_ERROR,
        ReplyCode.NOT_ALLOWED,
        ReplyCode.NOT_IMPLEMENTED,
        ReplyCode.INTERNAL_ERROR,
    )
)


class Refused(AMQPError):
    """The broker refuses what a client asked for.

    :param sentence: why; `reply_text` is this after the code's name.
    :param anonymous: whether the close does not name the method that was refused.
    """

    def __init__(self, code: ReplyCode, sentence: str, *, anonymous: bool = False) -> None:
        super().__init__(code, f"{code.name} - {sentence}")
        self.anonymous = anonymous

    @property
    def hard(self) -> bool:
        """Whether it closes the connection, and not only the channel."""
        return self.reply_code in _CONNECTION_ERRORS


def precondition(sentence: str) -> Refused:
    """406: the broker's state does not allow it."""
    return Refused(ReplyCode.PRECONDITION_FAILED, sentence)


def access_refused(sentence: str) -> Refused:
    """403: the user does not have the right."""
    return Refused(ReplyCode.ACCESS_REFUSED, sentence)


def not_found(kind: str, name: str, vhost: str) -> Refused:
    """404: there is no such queue or exchange."""
    return Refused(ReplyCode.NOT_FOUND, f"no {kind} '{name}' in vhost '{vhost}'")


def locked(name: str, vhost: str) -> Refused:
    """405: the queue is exclusive to another connection."""
    return Refused(
        ReplyCode.RESOURCE_LOCKED,
        f"cannot obtain exclusive access to locked queue '{name}' in vhost '{vhost}'. It could be"
        " originally declared on another connection or the exclusive property value does not match"
        " that of the original declaration.",
    )


def no_get(name: str, vhost: str) -> Refused:
    """405: basic.get of a queue that gives its messages to one consumer only."""
    return Refused(
        ReplyCode.RESOURCE_LOCKED,
        f"cannot obtain access to locked queue '{name}' in vhost '{vhost}'. basic.get operations"
        " are not supported by quorum queues with single active consumer",
    )


def not_allowed(sentence: str) -> Refused:
    """530: it breaks the rules of this connection, which is closed."""
    return Refused(ReplyCode.NOT_ALLOWED, sentence)


def not_implemented(sentence: str) -> Refused:
    """540: this broker cannot do that. The connection is closed."""
    return Refused(ReplyCode.NOT_IMPLEMENTED, sentence)
