"""A call that waits for its reply, and what is known of the method it calls."""

from __future__ import annotations

import asyncio
from math import inf
from typing import TYPE_CHECKING, Final, Protocol

import msgspec

from leveret.amqp.events import Delivery

if TYPE_CHECKING:
    from leveret.client.calls import Calls


class Template(Protocol):
    """Packs the requests of one method; `RequestTemplate` and `PlainTemplate` do."""

    def pack(self, call_id: bytes, deadline: int, expiration: int, body: bytes, /) -> bytes:
        """The frames of one request."""


NO_QUEUE: Final = -1
LOOK_EVERY: Final = 1.0
"""How often a method that has servers is looked at, in seconds, at the most."""


class Route:
    """What a client knows of one method's queue and servers, from replies and from looking.

    `alive_at` is when a server was last seen alive, `dropped_at` when a look last found fewer
    servers than the one before, `looked_at` when that was; all on the loop's clock.
    """

    __slots__ = (
        "alive_at",
        "consumers",
        "dropped_at",
        "key",
        "looked_at",
        "looking",
        "messages",
        "queue",
        "service",
    )

    def __init__(self, key: str, queue: str, service: str) -> None:
        self.key = key
        self.queue = queue
        self.service = service
        """"" where the servers do not listen for cancels."""
        self.alive_at = -inf
        self.dropped_at = -inf
        self.looked_at = -inf
        self.looking = False
        self.consumers: int | None = None
        """At the last look; None before the first, `NO_QUEUE` if there was no queue."""
        self.messages = 0

    def found(self) -> str:
        """The last look in words, for an error message."""
        match self.consumers:
            case None:
                return ""
            case -1:  # NO_QUEUE
                return "its queue does not exist (any more)"
            case 0:
                return f"no server listens, {_requests(self.messages)} in its queue"
            case 1:
                return f"1 server listens, {_requests(self.messages)} in its queue"
        return f"{self.consumers} servers listen, {_requests(self.messages)} in its queue"


def _requests(count: int) -> str:
    return f"{count} request{'' if count == 1 else 's'} waiting"


class Request(msgspec.Struct, frozen=True, gc=False):
    """What is the same for all calls that one remote method makes with its options."""

    calls: Calls
    route: Route
    template: Template
    idempotent: bool = False
    wait_for_server: bool = False
    if_busy_fail: bool = False


class Pending:
    """One call between its request and its end. `future` gets the reply, or the error."""

    __slots__ = ("future", "id", "request", "started", "tick", "timeout")

    def __init__(
        self,
        request: Request,
        call_id: str,
        started: float,
        timeout: float,
        future: asyncio.Future[Delivery],
    ) -> None:
        self.request = request
        self.id = call_id
        self.started = started
        self.timeout = timeout
        self.future = future
        self.tick = 0

    @property
    def route(self) -> Route:
        """What is known of the method it calls."""
        return self.request.route

    def expire(self) -> None:
        """The deadline has passed, and the grace for a reply that says where."""
        self.request.calls.expired(self)
