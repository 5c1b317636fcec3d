"""A call that waits for its reply, and what is known of the method it calls."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from math import inf
from typing import TYPE_CHECKING, Final, Protocol

from leveret.amqp.events import Delivery

if TYPE_CHECKING:
    from leveret.client.calls import Calls


class Template(Protocol):
    """Packs the requests of one method; `RequestTemplate` and `PlainTemplate` do."""

    def pack(self, call_id: bytes, deadline: int, expiration: int, body: bytes, /) -> bytes:
        """The frames of one request."""


NO_QUEUE: Final = -1
QUEUE_DOWN: Final = -2
MOST_RESENDS: Final = 10
"""How often a request that costs its channel each time, or is refused, is sent again."""
GRACE: Final = 0.08
"""Seconds after its deadline for which a call still waits to be told where it was."""
LOOK_EVERY: Final = 1.0
"""How often a method that has servers is looked at, in seconds, at the most."""


class Route:
    """What a client knows of one method's queue and servers, from replies and from looking.

    `alive_at` is when a server was last seen alive, `changed_at` when a look last found other
    servers than the one before, `back_at` when one found the queue's node back that had been down.
    `looked_at` is when the last look began, `seen_at` when the last one that found the queue did,
    and `waited_at` when the one before that did, if it found requests waiting and as many servers.
    All are on the loop's clock.
    """

    __slots__ = (
        "alive_at",
        "back_at",
        "changed_at",
        "consumers",
        "key",
        "limited",
        "looked_at",
        "looking",
        "messages",
        "queue",
        "seen_at",
        "service",
        "waited_at",
    )

    def __init__(self, key: str, queue: str, service: str) -> None:
        self.key = key
        self.queue = queue
        self.service = service
        """"" where the servers do not listen for cancels."""
        self.limited: bool | None = None
        """Whether the queue takes so many requests only (`max_length`); None if nobody knows."""
        self.alive_at = -inf
        self.back_at = -inf
        self.changed_at = -inf
        self.looked_at = -inf
        self.seen_at = -inf
        self.waited_at = -inf
        self.looking = False
        self.consumers: int | None = None
        """At the last look; None before the first, `NO_QUEUE` if there was no queue, `QUEUE_DOWN`
        if the broker's node that has it was down."""
        self.messages = 0

    def found(self) -> str:
        """The last look in words, for an error message."""
        match self.consumers:
            case None:
                return ""
            case -1:  # NO_QUEUE
                return "its queue does not exist (any more)"
            case -2:  # QUEUE_DOWN
                return "its queue is on a node of the broker that is down"
            case 0:
                return f"no server listens, {_requests(self.messages)} in its queue"
            case 1:
                return f"1 server listens, {_requests(self.messages)} in its queue"
        return f"{self.consumers} servers listen, {_requests(self.messages)} in its queue"


def _requests(count: int) -> str:
    return f"{count} request{'' if count == 1 else 's'} waiting"


class Request:
    """What is the same for all calls that one remote method makes with its options.

    `repeatable`: sending it again does no harm. `marked`: if that is said in it, since only an
    idempotency key sees to it.

    :param make: makes the template anew, for another channel or another reply queue; True for one
        that says that the request is sent again, and with the key that it had if that is another.
    """

    __slots__ = (
        "calls",
        "epoch",
        "if_busy_fail",
        "make",
        "marked",
        "repeatable",
        "route",
        "template",
        "wait_for_connection",
        "wait_for_server",
    )

    def __init__(
        self,
        calls: Calls,
        route: Route,
        make: Callable[[bool, str], Template],
        *,
        idempotent: bool = False,
        keyed: bool = False,
        wait_for_server: bool = False,
        wait_for_connection: bool = True,
        if_busy_fail: bool = False,
    ) -> None:
        self.calls = calls
        self.route = route
        self.make = make
        self.repeatable = idempotent or keyed
        self.marked = keyed and not idempotent
        self.wait_for_server = wait_for_server
        self.wait_for_connection = wait_for_connection
        self.if_busy_fail = if_busy_fail
        self.renew()

    def again(self) -> Request:
        """The same, for a second attempt of the same call."""
        return Request(
            self.calls,
            self.route,
            lambda _again, key: self.make(True, key),
            keyed=True,
            wait_for_server=self.wait_for_server,
            wait_for_connection=self.wait_for_connection,
            if_busy_fail=self.if_busy_fail,
        )

    def renew(self) -> None:
        """Make the template for the channel of now."""
        self.template = self.make(False, "")
        self.epoch = self.calls.epoch


class Pending:
    """One call between its request and its end. `future` gets the reply, or the error.

    `body` is kept where the request may be sent again, else None. `back_at` is when the broker gave
    the request back, 0 while it may be in a queue or with a server. `number` is that of its publish
    on its channel.
    """

    __slots__ = (
        "back_at",
        "body",
        "future",
        "id",
        "number",
        "request",
        "started",
        "tick",
        "timeout",
    )

    def __init__(
        self,
        request: Request,
        call_id: str,
        started: float,
        timeout: float,
        future: asyncio.Future[Delivery],
        body: bytes | None,
    ) -> None:
        self.request = request
        self.id = call_id
        self.started = started
        self.timeout = timeout
        self.future = future
        self.body = body
        self.back_at = 0.0
        self.number = 0
        self.tick = 0

    @property
    def route(self) -> Route:
        """What is known of the method it calls."""
        return self.request.route
