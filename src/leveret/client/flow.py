"""Whether the requests of one client may go, and the calls that wait until they may."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from leveret.amqp.codes import ReplyCode
from leveret.errors import Busy, CallError, ChannelClosed, ConnectionLost, DeadlineExceeded

if TYPE_CHECKING:
    from leveret.client.calls import Calls
    from leveret.client.pending import Request, Route
    from leveret.transport.connection import Connection

_ANSWERED: Final = 1.0
"""Seconds that the broker has to answer for the requests of a channel that is given up."""


def _unsent(error: CallError) -> CallError:
    error.attempts = 0
    return error


class Flow:
    """Holds requests back while there is no connection, or the broker does not take them.

    `held` says that they are to wait, in `ready`.
    """

    def __init__(self, calls: Calls) -> None:
        self.held = True
        self._calls = calls
        self._waiting = 0
        self._renewing = False
        self._going: asyncio.Future[None] = calls.loop.create_future()

    def watch(self, connection: Connection) -> None:
        """Follow what this connection can take."""
        for news in (connection.on_paused, connection.on_blocked):
            if self.changed not in news:
                news.append(self.changed)

    def changed(self, _news: object = None) -> None:
        """Look whether requests may go now."""
        held = not self.is_open() or self._calls.connection.paused
        if held and not self.held:
            self._going = self._calls.loop.create_future()
        self.held = held
        if (not held or self._calls.ended is not None) and not self._going.done():
            self._going.set_result(None)

    def is_open(self) -> bool:
        """Whether the broker would hear a request."""
        return (
            self._calls.ended is None
            and self._calls.has_channel
            and not self._calls.connection.blocked
            and not self._renewing
        )

    async def ready(self, request: Request, timeout: float) -> float:
        """Wait until requests may go; returns what is left of `timeout`.

        :raises Busy: if too many calls wait already.
        :raises ConnectionLost: if the call shall not wait, or the connection never comes back.
        :raises DeadlineExceeded: if it takes longer than `timeout` seconds; nothing was sent.
        """
        calls = self._calls
        before = calls.loop.time()
        if not (request.wait_for_connection or self.is_open()):
            raise self.refusal(request.route)
        if len(calls.pending) + self._waiting >= calls.max_in_flight:
            raise self._too_many(request.route)
        self._waiting += 1
        try:
            async with asyncio.timeout(timeout):
                while self.held and calls.ended is None:
                    await asyncio.shield(self._going)
        except TimeoutError:
            raise DeadlineExceeded(
                f"not sent in {timeout:g} s: {self.obstacle()}",
                where="client",
                method=request.route.key,
            ) from calls.link.failure
        finally:
            self._waiting -= 1
        return max(timeout - (calls.loop.time() - before), 0.001)

    def obstacle(self) -> str:
        """What keeps requests back."""
        connection, failure = self._calls.connection, self._calls.link.failure
        if connection.blocked and connection.closed is None:
            return f"the broker takes no publishes now: {connection.blocked}"
        if failure is not None:
            return f"not connected: {failure}"
        if not self._calls.has_channel:
            return "the client's channel is being restored"
        return "the broker did not take what was sent before"

    def refusal(self, route: Route, body: bytes = b"") -> CallError:
        """Why a request is not sent."""
        calls = self._calls
        if len(body) > calls.max_message_size:
            return _unsent(
                Busy(
                    f"the arguments take {len(body)} bytes, more than the"
                    f" {calls.max_message_size} of max_message_size; send less, or raise it at"
                    " connect() and serve()",
                    method=route.key,
                )
            )
        if self.is_open():
            return self._too_many(route)
        if calls.ended is None and calls.connection.blocked and calls.connection.closed is None:
            return _unsent(Busy(self.obstacle(), method=route.key))
        reason = calls.ended or calls.link.failure
        message = f"not sent: {reason or self.obstacle()}"
        error = ConnectionLost(message, executed="no", method=route.key)
        error.__cause__ = reason
        return _unsent(error)

    def _too_many(self, route: Route) -> CallError:
        return _unsent(
            Busy(
                f"{len(self._calls.pending) + self._waiting} calls are in flight already, the limit"
                " of connect(max_in_flight=...); wait for some before you make more",
                method=route.key,
            )
        )

    async def renew(self) -> None:
        """Go on with another channel, once the broker has answered for all that went over this."""
        channel = self._calls.channel
        self._renewing = True
        self.changed()
        try:
            async with asyncio.timeout(_ANSWERED):
                await self._calls.answered()
        except TimeoutError:
            pass  # what is not answered for yet counts as unconfirmed
        finally:
            self._renewing = False
        if channel.closed is None:
            channel.abandon()
            channel.end(ChannelClosed(ReplyCode.INTERNAL_ERROR, "it refuses requests"))
