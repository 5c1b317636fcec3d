"""The methods by which the broker closes a channel or a connection. Pure.

connection.close and channel.close have a code, a text, and the method that is to blame.
"""

from __future__ import annotations

from typing import Any, TypeVar

from leveret.amqp import methods
from leveret.amqp.events import Ack, Method, Nack
from leveret.errors import AMQPError

_Close = TypeVar("_Close", methods.Channel.Close, methods.Connection.Close)
Blamed = tuple[int, int]
"""The ids of class and method that failed; zeros if there is none."""


def channel_close(error: AMQPError, blamed: Blamed) -> methods.Channel.Close:
    """The method that closes a channel."""
    return _close(methods.Channel.Close, error, blamed)


def connection_close(error: AMQPError, blamed: Blamed) -> methods.Connection.Close:
    """The method that closes a connection."""
    return _close(methods.Connection.Close, error, blamed)


def _close(kind: type[_Close], error: AMQPError, blamed: Blamed) -> _Close:
    return kind(
        reply_code=int(error.reply_code),
        reply_text=_reply_text(error.reply_text),
        class_id=blamed[0],
        method_id=blamed[1],
    )


def blamed_method(method: Any) -> Blamed:
    """The ids of a method; zeros for None."""
    if method is None:
        return 0, 0
    return method.index >> 16, method.index & 0xFFFF


def blamed_event(event: Any) -> Blamed:
    """The ids of the method that an event stands for."""
    match event:
        case Method():
            return blamed_method(event.method)
        case Ack():
            return 60, 80
        case Nack():
            return 60, 120
    return 60, 40  # a publish


def _reply_text(text: str) -> str:
    """Cut a text to the 255 bytes that a reply text has room for; it then ends in "..."."""
    data = text.encode("utf-8", "replace")
    return text if len(data) <= 255 else data[:252].decode("utf-8", "ignore") + "..."
