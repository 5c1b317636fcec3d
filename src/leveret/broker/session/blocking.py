"""Holds up who publishes while the broker is short of memory.

https://www.rabbitmq.com/docs/connection-blocked
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from leveret.amqp import methods
from leveret.broker.session.received import Published

if TYPE_CHECKING:
    from leveret.broker.session.session import Session


class Blocking:
    """Whether one connection is blocked: nothing that it sends is handled until memory is free.

    It is blocked by its first publish after memory ran short, and that one waits as well.
    Connections that only consume never are: they make room.
    """

    __slots__ = ("_session", "blocked")

    def __init__(self, session: Session) -> None:
        self.blocked = False
        self._session = session

    def holds(self, event: Any) -> bool:
        """Whether what came must wait, while memory is short."""
        if not self.blocked and type(event) is Published:
            self.blocked = True
            self._tell(methods.Connection.Blocked(reason="low on memory"))
            self._session.link.read(False)
        return self.blocked

    def release(self) -> bool:
        """There is memory again; whether it was blocked."""
        if not self.blocked:
            return False
        self.blocked = False
        self._tell(methods.Connection.Unblocked())
        return True

    def _tell(self, method: methods.AMQPMethod) -> None:
        if self._session.capabilities.get("connection.blocked"):
            self._session.send_method(method)
