"""What a client is refused, in RabbitMQ's codes and words.

A `Refused` closes the channel it was met on or, where AMQP calls its code a "connection exception"
(section 1.1), the whole connection.
"""

from __future__ import annotations

from typing import Final

from leveret.amqp.codes import ReplyCode
from leveret.errors import AMQPError

_HARD: Final = frozenset(
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
    """A client asked for what it cannot have; `reply_text` begins with the code's name.

    An `anonymous` one does not say which method it was met in.
    """

    def __init__(self, code: ReplyCode, sentence: str, *, anonymous: bool = False) -> None:
        super().__init__(code, f"{code.name} - {sentence}")
        self.anonymous = anonymous

    @property
    def hard(self) -> bool:
        """Whether it ends the connection, and not only the channel."""
        return self.reply_code in _HARD


def precondition(sentence: str) -> Refused:
    """406: the broker's state does not allow it."""
    return Refused(ReplyCode.PRECONDITION_FAILED, sentence)


def access_refused(sentence: str) -> Refused:
    """403: the user may not."""
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
    """405: the queue hands its messages to one consumer."""
    return Refused(
        ReplyCode.RESOURCE_LOCKED,
        f"cannot obtain access to locked queue '{name}' in vhost '{vhost}'. basic.get operations"
        " are not supported by quorum queues with single active consumer",
    )


def not_allowed(sentence: str) -> Refused:
    """530: against the rules of this connection; ends it."""
    return Refused(ReplyCode.NOT_ALLOWED, sentence)


def not_implemented(sentence: str) -> Refused:
    """540: this broker does not do that; ends the connection."""
    return Refused(ReplyCode.NOT_IMPLEMENTED, sentence)
