"""Holds up connections that publish while the broker is short of memory.

https://www.rabbitmq.com/docs/connection-blocked
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from leveret.amqp import methods
from leveret.amqp.methods import AMQPMethod
from leveret.broker.session.received import Published


class Blocking:
    """Whether one connection is blocked. Nothing that a blocked client sends is handled.

    The first publish after memory ran short blocks a connection, and waits as well. Connections
    that only consume are never blocked: they free memory.

    :param tell: sends a method to the client, if the client understands connection.blocked.
    :param read: starts or stops reading from the client's socket.
    """

    __slots__ = ("_read", "_tell", "blocked")

    def __init__(self, tell: Callable[[AMQPMethod], None], read: Callable[[bool], None]) -> None:
        self.blocked = False
        self._tell = tell
        self._read = read

    def holds(self, event: Any) -> bool:
        """Whether an event must wait, given that memory is short."""
        if not self.blocked and type(event) is Published:
            self.blocked = True
            self._tell(methods.Connection.Blocked(reason="low on memory"))
            self._read(False)
        return self.blocked

    def release(self) -> bool:
        """Unblock the connection. Returns whether it was blocked."""
        if not self.blocked:
            return False
        self.blocked = False
        self._tell(methods.Connection.Unblocked())
        return True
