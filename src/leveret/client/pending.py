"""A call that waits for its reply, and what is known of the method it calls."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from leveret.amqp.events import Delivery

if TYPE_CHECKING:
    from leveret.client.calls import Calls


class Route:
    """What a client knows of one method's queue and servers, from replies and from looking.

    `alive_at` is the number of calls this client had sent when a server was last seen alive: a
    call with a higher number was sent after that.
    """

    __slots__ = (
        "alive_at",
        "consumers",
        "key",
        "look_due",
        "looked_at",
        "looking",
        "messages",
        "queue",
        "seen_alive_at",
        "service",
    )

    def __init__(self, key: str, queue: str, service: str) -> None:
        self.key = key
        self.queue = queue
        self.service = service
        """"" where the servers do not listen for cancels."""
        self.alive_at = -1
        self.seen_alive_at = -1
        self.look_due = 0.0
        self.looked_at = 0.0
        self.looking = False
        self.consumers: int | None = None
        """At the last look; None before the first, -1 if there was no queue."""
        self.messages = 0

    def found(self) -> str:
        """The last look in words, for an error message."""
        match self.consumers:
            case None:
                return ""
            case -1:
                return "its queue does not exist (any more)"
            case 0:
                return f"no server listens, {_requests(self.messages)} in its queue"
            case 1:
                return f"1 server listens, {_requests(self.messages)} in its queue"
        return f"{self.consumers} servers listen, {_requests(self.messages)} in its queue"


def _requests(count: int) -> str:
    return f"{count} request{'' if count == 1 else 's'} waiting"


class Pending:
    """One call between its request and its end. `future` gets the reply, or the error."""

    __slots__ = (
        "accepted",
        "calls",
        "confirmed",
        "future",
        "id",
        "idempotent",
        "if_busy_fail",
        "number",
        "route",
        "started",
        "tick",
        "timeout",
        "wait_for_server",
    )

    def __init__(
        self,
        calls: Calls,
        route: Route,
        number: int,
        call_id: str,
        started: float,
        timeout: float,
        idempotent: bool,
        wait_for_server: bool,
        if_busy_fail: bool,
    ) -> None:
        self.calls = calls
        self.route = route
        self.number = number
        self.id = call_id
        self.started = started
        self.timeout = timeout
        self.idempotent = idempotent
        self.wait_for_server = wait_for_server
        self.if_busy_fail = if_busy_fail
        self.confirmed = False
        self.accepted = False
        self.tick = 0
        self.future: asyncio.Future[Delivery] = calls.loop.create_future()

    def expire(self) -> None:
        """The deadline has passed, and the grace for a reply that says where."""
        self.calls.expired(self)
