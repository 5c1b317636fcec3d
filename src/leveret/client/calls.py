"""All calls of one client: sent on one channel, answered in one reply queue, ended by one clock."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass
from typing import Final

from leveret.amqp.confirms import Confirms
from leveret.amqp.events import Content, Delivery
from leveret.amqp.properties import Properties
from leveret.client import verdicts
from leveret.client.look import FIRST_LOOK, Lookout
from leveret.client.pending import LOOK_EVERY, Pending, Request, Route
from leveret.errors import (
    Busy,
    CallError,
    ConnectionLost,
    DeadlineExceeded,
    LeveretError,
)
from leveret.transport.channel import Channel
from leveret.transport.connection import Connection
from leveret.transport.deadlines import Deadlines
from leveret.wire.native import (
    ACCEPTED,
    CALL,
    CANCEL,
    CLAIM,
    CONTROL_EXCHANGE,
    GO,
    IF_BUSY_FAIL,
    QUEUE_PREFIX,
    bounce_reason,
    reply_queue_name,
)
from leveret.wire.topology import consume_replies, declare_exchanges

log = logging.getLogger("leveret.client")

GRACE: Final = 0.08
"""Seconds after its deadline for which a call still waits to be told where it was."""

_ROUTES: Final = 10_000
"""For how many methods it is kept what is known of their servers."""


@dataclass(slots=True)
class Counters:
    """What a client has seen. `late` are replies to no pending call: late, duplicate or forged."""

    sent: int = 0
    late: int = 0


class Calls:
    """The pending calls of one client and everything that ends them.

    Every call is registered before it is published, and leaves the tables in exactly one place,
    `_take`, whatever ends it: a reply, a bounce, a refusal, its deadline, its caller.
    """

    def __init__(
        self, connection: Connection, *, name: str, max_in_flight: int, max_message_size: int
    ) -> None:
        self.connection = connection
        self.loop = connection.loop
        self.name = name
        self.max_in_flight = max_in_flight
        self.max_message_size = max_message_size
        self.reply_queue = reply_queue_name()
        self.counters = Counters()
        self.pending: dict[str, Pending] = {}
        self.accepted: set[str] = set()
        """Pending calls whose server said that their handlers run."""
        self._channel: Channel | None = None
        self.routes: dict[str, Route] = {}
        self.deadlines = Deadlines(self.loop)
        self.lookout = Lookout(self)
        self._confirms: Confirms[Pending] = Confirms()
        self._lost: LeveretError | None = None

    async def start(self) -> None:
        """Open the channel and the reply queue."""
        await declare_exchanges(self.connection)
        channel = self._channel = await self.connection.open_channel()
        channel.on_confirm = self._on_confirm
        channel.on_return = self._on_return
        channel.on_close = self._on_lost
        channel.on_cancel = self._on_cancel
        self.connection.on_lost.append(self._on_lost)
        await channel.select_confirms()
        await consume_replies(channel, self.reply_queue, self._on_reply)
        await self.lookout.start()

    async def close(self) -> None:
        """End all pending calls and delete the reply queue."""
        self._on_lost(ConnectionLost("the client was closed"))
        self.deadlines.close()
        await self.lookout.close()
        if self.connection.blocked:
            return  # the broker hears nothing; the queue expires by itself
        if self._channel is not None and self._channel.closed is None:
            self._channel.on_cancel = None  # it is we who delete the queue
            await self.lookout.delete_queue(self.reply_queue)
            await self._channel.close()

    @property
    def channel(self) -> Channel:
        """The channel of requests, replies and confirms."""
        assert self._channel is not None
        return self._channel

    def route(self, key: str) -> Route:
        """What is known of the method "service.method"."""
        route = self.routes.get(key)
        if route is None:
            service = key.partition(".")[0]
            route = self._remember(Route(key, QUEUE_PREFIX + key, service))
        return route

    def plain_route(self, queue: str) -> Route:
        """What is known of a queue of the tutorial's protocol."""
        key = f"queue {queue}"
        route = self.routes.get(key)
        if route is None:
            route = self._remember(Route(key, queue, ""))
        return route

    def _remember(self, route: Route) -> Route:
        if len(self.routes) >= _ROUTES:
            self.routes.clear()  # remotes in use keep theirs
        self.routes[route.key] = route
        return route

    # -- a call begins ------------------------------------------------------------------------

    async def ready(self, method: str, timeout: float) -> float:
        """Wait until the connection takes more to send; returns what is left of `timeout`.

        :raises DeadlineExceeded: if it does not in `timeout` seconds; the request was not sent.
        """
        try:
            async with asyncio.timeout(timeout):
                before = self.loop.time()
                while self.connection.paused is not None:
                    await asyncio.shield(self.connection.paused)
                return max(timeout - (self.loop.time() - before), 0.001)
        except TimeoutError:
            raise DeadlineExceeded(
                f"the broker did not take what was sent before for {timeout:g} s",
                where="queue",
                method=method,
            ) from None

    def send(self, request: Request, body: bytes, timeout: float) -> Pending:
        """Send one request; its `future` ends with the reply or an error.

        :raises Busy: if too many calls are in flight, the body is too large, or the broker takes
            no publishes. :raises ConnectionLost: if the connection is lost.
        """
        calls = self.pending
        connection = self.connection
        route = request.route
        if (
            self._lost is not None
            or len(calls) >= self.max_in_flight
            or len(body) > self.max_message_size
            or connection.blocked
        ):
            raise self._refusal(route, body)
        loop = self.loop
        now = loop.time()
        number = self.counters.sent
        self.counters.sent = number + 1
        call_id = f"{number:x}"
        pending = calls[call_id] = Pending(request, call_id, now, timeout, loop.create_future())
        pending.tick = self.deadlines.add(now + timeout + GRACE, pending)
        if now - route.alive_at > LOOK_EVERY:
            self.lookout.check(route, now)
        if not self.lookout.watching:
            self.lookout.watch(min(FIRST_LOOK, timeout / 2))
        milliseconds = int(timeout * 1000) or 1
        connection.send(
            request.template.pack(
                call_id.encode(),
                int(time.time() * 1000) + milliseconds,
                IF_BUSY_FAIL if request.if_busy_fail else milliseconds,
                body,
            )
        )
        self._confirms.add(pending)
        return pending

    def _refusal(self, route: Route, body: bytes) -> CallError:
        if self._lost is not None:
            error = ConnectionLost(f"not sent: {self._lost}", executed="no", method=route.key)
            error.__cause__ = self._lost
            return error
        if len(body) > self.max_message_size:
            return Busy(
                f"the arguments take {len(body)} bytes, more than the {self.max_message_size} of"
                " max_message_size; send less, or raise it at connect() and serve()",
                method=route.key,
            )
        if self.connection.blocked:
            return Busy(
                f"the broker takes no publishes now: {self.connection.blocked}", method=route.key
            )
        return Busy(
            f"{len(self.pending)} calls are in flight already, the limit of"
            " connect(max_in_flight=...); wait for some before you make more",
            method=route.key,
        )

    # -- a call ends --------------------------------------------------------------------------

    def _take(self, call_id: str | None) -> Pending | None:
        """The pending call of this id, now off the tables; None if there is none (any more)."""
        pending = self.pending.pop(call_id, None)  # type: ignore[arg-type]
        if pending is None:
            return None
        self.deadlines.discard(pending.tick, pending)
        if self.accepted:
            self.accepted.discard(pending.id)
        return None if pending.future.done() else pending

    def fail(self, pending: Pending, error: CallError) -> None:
        """End a call with an error, if it has not ended."""
        if self._take(pending.id) is not None:
            error.method = pending.route.key
            pending.future.set_exception(error)

    def abandon(self, pending: Pending) -> None:
        """The caller was cancelled: tell the server that has the request, if one has."""
        self._take(pending.id)
        future = pending.future
        if future.done() and not future.cancelled():
            future.exception()  # seen, though its caller was cancelled
            return
        if pending.route.service:
            self._tell(pending.route.service, CANCEL, pending.id, pending.timeout)

    def _tell(self, key: str, kind: str, call_id: str, timeout: float) -> None:
        """Say something to a server, or to all of a service, on the control exchange."""
        if self._lost is None and not self.connection.blocked and not self.loop.is_closed():
            properties = Properties(
                type=kind,
                correlation_id=call_id,
                reply_to=self.reply_queue,
                expiration=str(int(timeout * 1000) or 1),
            )
            self.channel.publish(CONTROL_EXCHANGE, key, properties, b"")
            self._confirms.skip()

    def expired(self, pending: Pending) -> None:
        """The deadline and its grace are over."""
        unconfirmed = pending in self._confirms.open()
        self.fail(pending, verdicts.silence(pending, self.accepted, unconfirmed=unconfirmed))

    def _on_reply(self, delivery: Delivery) -> None:
        properties = delivery.properties
        kind = properties.type
        if kind == CALL:
            self._bounced(delivery)
            return
        if kind == ACCEPTED:
            if properties.correlation_id in self.pending:
                self.accepted.add(properties.correlation_id)
            return
        if kind == CLAIM:
            waits = properties.correlation_id in self.pending
            answer_to, call_id = properties.reply_to or "", properties.correlation_id or ""
            self._tell(answer_to, GO if waits else CANCEL, call_id, GRACE)
            return
        pending = self._take(properties.correlation_id)
        if pending is None:
            self.counters.late += 1
            return
        pending.request.route.alive_at = self.loop.time()
        pending.future.set_result(delivery)

    def _bounced(self, delivery: Delivery) -> None:
        """Our own request came back: the broker says why in x-death."""
        pending = self.pending.get(delivery.properties.correlation_id or "")
        if pending is None:
            self.counters.late += 1
            return
        reason = bounce_reason(delivery.properties.headers)
        if reason == "expired":
            # Was nobody there, or were all busy? The look gets a grace of its own.
            self.deadlines.discard(pending.tick, pending)
            pending.tick = self.deadlines.add(self.loop.time() + GRACE, pending)
            self.lookout.explain(pending)
        else:
            self.fail(pending, verdicts.bounce(reason))

    def _on_confirm(self, number: int, multiple: bool, ok: bool) -> None:
        if ok:
            self._confirms.confirm(number, multiple)
            return
        for pending in self._confirms.settle(number, multiple):
            self.fail(pending, verdicts.refused())

    def _on_return(self, content: Content) -> None:
        pending = self.pending.get(content.properties.correlation_id or "")
        if pending is not None:
            self.fail(pending, verdicts.unroutable(pending, content.method.reply_text))

    def _on_cancel(self, tag: str) -> None:
        log.error("the reply queue %s was deleted on the broker", self.reply_queue)
        self._on_lost(ConnectionLost("the client's reply queue was deleted on the broker"))

    def _on_lost(self, error: LeveretError) -> None:
        if self._lost is not None:
            return
        self._lost = error
        unconfirmed = {pending.id for pending in self._confirms.open()}
        for pending in list(self.pending.values()):
            confirmed = pending.id not in unconfirmed
            self.fail(pending, verdicts.lost(pending, error, confirmed=confirmed))
