"""Tells whether requests may be sent, and why not, and holds callers until they may."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from leveret.body_parts import Body
from leveret.client.calls.route import Route
from leveret.errors import Busy, CallError, ConnectionLost, DeadlineExceeded, LeveretError


class PausableConnection(Protocol):
    """What `Flow` needs of a connection."""

    blocked: str
    """Why the broker takes no publishes now; "" if it takes them."""
    closed: LeveretError | None
    """Why it has ended, if it has."""
    on_paused: list[Callable[[bool], None]]
    """Told when the socket takes no more, and when it does again."""
    on_blocked: list[Callable[[str], None]]
    """Told when `blocked` changes."""

    @property
    def paused(self) -> bool:
        """Whether the socket takes no more now."""
        ...


class Waiting(Protocol):
    """What `Flow` needs of a request or a question that is to be sent."""

    @property
    def wait_for_connection(self) -> bool:
        """Whether it waits for a broken connection to come back."""
        ...

    @property
    def route(self) -> Route:
        """Its name in errors."""
        ...


class RequestPath(Protocol):
    """What `Flow` needs of the way that requests take to the broker."""

    @property
    def failure(self) -> LeveretError | None:
        """Why there is no connection now, if there is none."""

    @property
    def is_attached(self) -> bool:
        """Whether there is a channel for requests."""
        ...

    @property
    def in_flight(self) -> int:
        """How many calls wait for their replies."""
        ...


def _not_sent(error: CallError) -> CallError:
    error.attempts = 0
    return error


class Flow:
    """Holds requests back while there is no connection, or while the broker does not take them.

    :param on_held: told whether callers have to wait in `ready` before they send.
    :param on_open: told each time that requests may go again.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        path: RequestPath,
        *,
        max_in_flight: int,
        max_message_size: int,
        on_held: Callable[[bool], None],
        on_open: Callable[[], None],
    ) -> None:
        self.ended: LeveretError | None = None
        """Why no request will ever be sent again."""
        self.broker_limit: int | None = None
        """Bytes of the largest body that the broker takes; None while that is not known."""
        self._loop = loop
        self._path = path
        self._connection: PausableConnection | None = None  # of now, or the last one
        self._max_in_flight = max_in_flight
        self._max_message_size = max_message_size
        self._on_held = on_held
        self._on_open = on_open
        self._held = True
        self._open = False
        self._stops: list[str] = []
        self._waiting = 0
        self._going: asyncio.Future[None] = loop.create_future()
        on_held(True)

    @property
    def max_size(self) -> int:
        """Bytes of the largest body that may be sent."""
        limits = (self._max_message_size, self.broker_limit)
        return min(limit for limit in limits if limit is not None)

    # -- what changes -------------------------------------------------------------------------

    def watch(self, connection: PausableConnection) -> None:
        """Follow the state of this connection, and of no other."""
        self._connection = connection
        for news in (connection.on_paused, connection.on_blocked):
            if self.changed not in news:
                news.append(self.changed)

    def stop(self, why: str) -> None:
        """Hold requests until `go` is called with the same reason."""
        self._stops.append(why)
        self.changed()

    def go(self, why: str) -> None:
        """Undo `stop`."""
        self._stops.remove(why)
        self.changed()

    def end(self, error: LeveretError) -> None:
        """Hold requests for good."""
        self.ended = error
        self.changed()

    def changed(self, _news: object = None) -> None:
        """Look again whether requests may be sent now."""
        is_open = self.is_open()
        held = not is_open or (self._connection is not None and self._connection.paused)
        if held is not self._held:
            if held:
                self._going = self._loop.create_future()
            self._held = held
            self._on_held(held)
        if (not held or self.ended is not None) and not self._going.done():
            self._going.set_result(None)
        was_open, self._open = self._open, is_open
        if is_open and not was_open:
            self._on_open()

    def is_open(self) -> bool:
        """Whether the broker would take a request."""
        return (
            self.ended is None
            and self._path.is_attached
            and (self._connection is None or not self._connection.blocked)
            and not self._stops
        )

    # -- who waits ----------------------------------------------------------------------------

    async def ready(self, request: Waiting, timeout: float) -> float:
        """Wait until requests may go; returns what is left of `timeout`, in seconds.

        :raises Busy: if too many calls wait already.
        :raises ConnectionLost: if the call does not want to wait.
        :raises DeadlineExceeded: if it takes longer than `timeout` seconds; nothing was sent.
        """
        before = self._loop.time()
        if not (request.wait_for_connection or self.is_open()):
            raise self.refusal(request.route)
        if self._path.in_flight + self._waiting >= self._max_in_flight:
            raise self._too_many(request.route)
        self._waiting += 1
        try:
            async with asyncio.timeout(timeout):
                while self._held and self.ended is None:
                    await asyncio.shield(self._going)
        except TimeoutError:
            late = DeadlineExceeded(
                f"not sent in {timeout:g} s: {self.obstacle()}",
                where="client",
                method=request.route.key,
            )
            raise _not_sent(late) from self._path.failure
        finally:
            self._waiting -= 1
        return max(timeout - (self._loop.time() - before), 0.001)

    # -- why not ------------------------------------------------------------------------------

    def obstacle(self) -> str:
        """What keeps requests from being sent."""
        failure = self._path.failure
        if blocked := self._blocked():
            return f"the broker takes no publishes now: {blocked}"
        if failure is not None:
            return f"not connected: {failure}"
        if self._connection is None:
            return "not connected yet: the first connection is being opened"
        if self._stops:
            return self._stops[0]
        if not self._path.is_attached:
            return "the client's channel is being restored"
        return "the broker did not take what was sent before"

    def too_large(self, route: Route, body: Body) -> CallError | None:
        """Why a body is not sent, if it is larger than the client or the broker takes."""
        if len(body) > self._max_message_size:
            return _not_sent(
                Busy(
                    f"the arguments take {len(body)} bytes, more than the"
                    f" {self._max_message_size} of max_message_size; send less, or raise it at"
                    " connect(), here and at the server",
                    method=route.key,
                    retry_after=-1,
                )
            )
        if len(body) > self.max_size:
            return _not_sent(
                Busy(
                    f"the broker takes no message of {len(body)} bytes: its limit is"
                    f" {self.max_size}; send less, or raise max_message_size in its configuration",
                    method=route.key,
                    retry_after=-1,
                )
            )
        return None

    def refusal(self, route: Route, body: Body = b"") -> CallError:
        """Why a request is not sent."""
        too_large = self.too_large(route, body)
        if too_large is not None:
            return too_large
        if self.is_open():
            return self._too_many(route)
        if self.ended is None and self._blocked():
            return _not_sent(Busy(self.obstacle(), method=route.key))
        reason = self.ended or self._path.failure
        message = f"not sent: {reason or self.obstacle()}"
        error = ConnectionLost(message, executed="no", method=route.key)
        error.__cause__ = reason
        return _not_sent(error)

    def _blocked(self) -> str:
        """Why the broker takes no publishes now; "" if it takes them, or is out of reach."""
        connection = self._connection
        return "" if connection is None or connection.closed is not None else connection.blocked

    def _too_many(self, route: Route) -> CallError:
        return _not_sent(
            Busy(
                f"{self._path.in_flight + self._waiting} calls are in flight already, the limit of"
                " connect(max_in_flight=...); wait for some before you make more",
                method=route.key,
            )
        )
