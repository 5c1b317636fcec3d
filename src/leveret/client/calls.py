"""All calls of one client: sent on one channel, answered in one reply queue, ended by one clock.

They outlive the connection that they were made on: `client.attachment` says what becomes of them.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Final

import msgspec

from leveret.amqp.confirms import Confirms
from leveret.amqp.events import Content, Delivery
from leveret.amqp.properties import Properties
from leveret.client import verdicts
from leveret.client.attachment import Attachment
from leveret.client.look import FIRST_LOOK, Lookout
from leveret.client.pending import LOOK_EVERY, Pending, Request, Route, Template
from leveret.errors import (
    Busy,
    CallError,
    ConnectionLost,
    DeadlineExceeded,
    LeveretError,
)
from leveret.transport.channel import Channel
from leveret.transport.deadlines import Deadlines
from leveret.transport.link import Link
from leveret.wire.native import (
    ACCEPTED,
    ASK,
    CALL,
    CANCEL,
    CLAIM,
    CONTROL_EXCHANGE,
    GO,
    IF_BUSY_FAIL,
    QUEUE_PREFIX,
    attempts,
    bounce_reason,
    call_ids,
    marked_as_resent,
    reply_queue_name,
)

_LATEST: Final = 0.095
"""Seconds after its deadline at which a call ends at the very latest."""
GRACE: Final = 0.08
"""Seconds after its deadline for which a call still waits to be told where it was."""

_ASKED_AT_ONCE: Final = 1_000
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

    def __init__(self, link: Link, *, name: str, max_in_flight: int, max_message_size: int) -> None:
        self.link = link
        self.connection = link.connection
        self.loop = link.loop
        self.name = name
        self.max_in_flight = max_in_flight
        self.max_message_size = max_message_size
        self.reply_queue = reply_queue_name(self.connection.user)
        self.counters = Counters()
        self._ids = call_ids()
        self.pending: dict[str, Pending] = {}
        self.accepted: set[str] = set()
        """Pending calls whose server said that their handlers run."""
        self.resent: dict[str, int] = {}
        """Pending calls that were sent more than once, and how often again."""
        self.expiring: set[str] = set()
        """Pending calls whose requests came back as nobody took them in time."""
        self.held = True
        """Whether requests are to wait, in `ready`: for a connection, or for the broker."""
        self.epoch = 0
        """Changes with the channel: the templates of before are of no use then."""
        self.routes: dict[str, Route] = {}
        self.deadlines = Deadlines(self.loop)
        self.lookout = Lookout(self)
        self.attachment = Attachment(self)
        self._channel: Channel | None = None
        self._confirms: Confirms[Pending] = Confirms()
        self._waiting = 0
        self._flowing: asyncio.Future[None] = self.loop.create_future()
        self._ended: LeveretError | None = None

    async def start(self) -> None:
        """Open the channel and the reply queue."""
        self.link.given_up.add_done_callback(self._given_up)
        while True:
            connection = await self.link.connected()
            try:
                await self.attachment.attach(connection)
            except LeveretError:
                if connection.lost is None or not self.link.reconnects:
                    raise
            else:
                return

    async def close(self) -> None:
        """End all pending calls and delete the reply queue."""
        self.end(ConnectionLost("the client was closed"))
        self.deadlines.close()
        await self.link.forget(self.attachment)
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

    # -- the channel comes and goes -----------------------------------------------------------

    def attached(self, channel: Channel) -> None:
        """Calls go over this channel from now on."""
        self._channel = channel
        self.connection = channel.connection
        self._confirms = Confirms()
        self.epoch += 1
        channel.on_confirm = self._on_confirm
        channel.on_return = self._on_return
        self.connection.on_paused.append(self._flow_changed)
        self.connection.on_blocked.append(self._flow_changed)

    def detached(self) -> list[Pending]:
        """The channel is gone; returns the pending calls that the broker has not confirmed."""
        unconfirmed = [p for p in self._confirms.open() if self.pending.get(p.id) is p]
        self._confirms = Confirms()
        self._flow_changed()
        return unconfirmed

    def unconfirmed(self) -> set[str]:
        """The ids of the calls whose requests the broker is not known to have."""
        return {pending.id for pending in self._confirms.open()} | self.attachment.unsent.keys()

    def _flow_changed(self, _news: object = None) -> None:
        held = not self._open() or self.connection.paused is not None
        if held == self.held:
            return
        self.held = held
        if held:
            self._flowing = self.loop.create_future()
        else:
            self._flowing.set_result(None)

    def opened(self) -> None:
        """All is restored: requests may go."""
        self._flow_changed()

    def _open(self) -> bool:
        """Whether the broker would hear a request."""
        return (
            self._ended is None
            and self._channel is not None
            and self._channel.closed is None
            and not self.connection.blocked
        )

    def _given_up(self, given_up: asyncio.Future[None]) -> None:
        error = given_up.exception()
        assert isinstance(error, LeveretError)
        self.end(error)

    def end(self, error: LeveretError) -> None:
        """No reply will come any more: end all calls."""
        if self._ended is not None:
            return
        self._ended = error
        unconfirmed = self.unconfirmed()
        for pending in list(self.pending.values()):
            confirmed = pending.id not in unconfirmed
            self.fail(pending, verdicts.lost(pending, error, confirmed=confirmed))
        self._flow_changed()
        if not self._flowing.done():
            self._flowing.set_result(None)

    # -- a call begins ------------------------------------------------------------------------

    async def ready(self, request: Request, timeout: float) -> float:
        """Wait until requests may go; returns what is left of `timeout`.

        :raises Busy: if too many calls wait already.
        :raises ConnectionLost: if the call shall not wait, or the connection never comes back.
        :raises DeadlineExceeded: if it takes longer than `timeout` seconds; nothing was sent.
        """
        before = self.loop.time()
        if not (request.wait_for_connection or self._open()):
            raise self._refusal(request.route)
        if len(self.pending) + self._waiting >= self.max_in_flight:
            raise self._too_many(request.route)
        self._waiting += 1
        try:
            async with asyncio.timeout(timeout):
                while self.held and self._ended is None:
                    await asyncio.shield(self._flowing)
        except TimeoutError:
            raise DeadlineExceeded(
                f"not sent in {timeout:g} s: {self._obstacle()}",
                where="client",
                method=request.route.key,
            ) from self.link.failure
        finally:
            self._waiting -= 1
        return max(timeout - (self.loop.time() - before), 0.001)

    def _obstacle(self) -> str:
        """What keeps requests back."""
        if self.connection.blocked and self.connection.lost is None:
            return f"the broker takes no publishes now: {self.connection.blocked}"
        if self.link.failure is not None:
            return f"not connected: {self.link.failure}"
        if self._channel is None or self._channel.closed is not None:
            return "the client's channel is being restored"
        return "the broker did not take what was sent before"

    def send(self, request: Request, body: bytes, timeout: float) -> Pending:
        """Send one request; its `future` ends with the reply or an error.

        :raises Busy: if too many calls are in flight, the body is too large, or the broker takes
            no publishes. :raises ConnectionLost: if there is no connection.
        """
        calls = self.pending
        route = request.route
        if (
            (self.held and not self._open())
            or len(calls) >= self.max_in_flight
            or len(body) > self.max_message_size
        ):
            raise self._refusal(route, body)
        loop = self.loop
        now = loop.time()
        self.counters.sent += 1
        call_id = next(self._ids)
        pending = calls[call_id] = Pending(
            request,
            call_id,
            now,
            timeout,
            loop.create_future(),
            body if request.repeatable else None,
        )
        pending.tick = self.deadlines.add(now + timeout + GRACE, pending)
        if now - route.alive_at > LOOK_EVERY:
            self.lookout.check(route, now)
        if not self.lookout.watching:
            self.lookout.watch(min(FIRST_LOOK, timeout / 2))
        if request.epoch != self.epoch:
            request.renew()
        self._publish(pending, request.template, timeout, body)
        return pending

    def _publish(self, pending: Pending, template: Template, timeout: float, body: bytes) -> None:
        milliseconds = int(timeout * 1000) or 1
        self.connection.send(
            template.pack(
                pending.id.encode(),
                int(time.time() * 1000) + milliseconds,
                IF_BUSY_FAIL if pending.request.if_busy_fail else milliseconds,
                body,
            )
        )
        self._confirms.add(pending)

    def resend(self, pending: Pending, *, doubtful: bool = True) -> None:
        """Send the request of a pending call again, as far as its deadline allows.

        :param doubtful: whether a server may have the one that was sent before.
        """
        remaining = pending.started + pending.timeout - self.loop.time()
        if self.pending.get(pending.id) is not pending or remaining <= 0 or not self._open():
            return
        if doubtful:
            self.resent[pending.id] = self.resent.get(pending.id, 0) + 1
        self.accepted.discard(pending.id)
        try:
            template = pending.request.make(doubtful and pending.request.marked)
            self._publish(pending, template, remaining, pending.body or b"")
        except CallError as error:  # its metadata does not fit into the frames of another broker
            self.fail(pending, error)

    def _refusal(self, route: Route, body: bytes = b"") -> CallError:
        if len(body) > self.max_message_size:
            return Busy(
                f"the arguments take {len(body)} bytes, more than the {self.max_message_size} of"
                " max_message_size; send less, or raise it at connect() and serve()",
                method=route.key,
            )
        if self._open():
            return self._too_many(route)
        if self._ended is None and self.connection.blocked and self.connection.lost is None:
            return Busy(self._obstacle(), method=route.key)
        reason = self._ended or self.link.failure
        message = f"not sent: {reason or self._obstacle()}"
        error = ConnectionLost(message, executed="no", method=route.key)
        error.__cause__ = reason
        return error

    def _too_many(self, route: Route) -> Busy:
        return Busy(
            f"{len(self.pending) + self._waiting} calls are in flight already, the limit of"
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
        if self.resent:
            self.resent.pop(pending.id, None)
        if self.expiring:
            self.expiring.discard(pending.id)
        return None if pending.future.done() else pending

    def fail(self, pending: Pending, error: CallError) -> None:
        """End a call with an error, if it has not ended."""
        resent = pending.id in self.resent
        if self._take(pending.id) is not None:
            error.method = pending.route.key
            if resent and error.executed == "no":  # of the request that was sent last
                error.executed = "maybe"
            pending.future.set_exception(error)

    def abandon(self, pending: Pending) -> None:
        """The caller was cancelled: tell the server that has the request, if one has."""
        self._take(pending.id)
        future = pending.future
        if future.done() and not future.cancelled():
            future.exception()  # seen, though its caller was cancelled
            return
        if pending.route.service:
            self.tell(pending.route.service, CANCEL, pending.id, pending.timeout)

    def ask(self, route: Route, call_ids: list[str]) -> None:
        """Ask the servers of a method what became of these calls: they run, or were replied to."""
        for start in range(0, len(call_ids), _ASKED_AT_ONCE):
            body = msgspec.json.encode(call_ids[start : start + _ASKED_AT_ONCE])
            self.tell(route.service, ASK, "", LOOK_EVERY, body)

    def tell(self, key: str, kind: str, call_id: str, timeout: float, body: bytes = b"") -> None:
        """Say something to a server, or to all of a service, on the control exchange."""
        if self._open() and not self.loop.is_closed():
            properties = Properties(
                type=kind,
                correlation_id=call_id,
                reply_to=self.reply_queue,
                expiration=str(int(timeout * 1000) or 1),
            )
            self.channel.publish(CONTROL_EXCHANGE, key, properties, body)
            self._confirms.skip()

    def expired(self, pending: Pending) -> None:
        """The deadline and its grace are over."""
        if pending.id in self.expiring:  # and the look has told nothing
            self.fail(pending, verdicts.expired(pending, self))
            return
        unconfirmed = pending.id in self.unconfirmed()
        self.fail(pending, verdicts.silence(pending, self.accepted, unconfirmed=unconfirmed))

    def on_reply(self, delivery: Delivery) -> None:
        """Take what came to the reply queue."""
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
            self.tell(answer_to, GO if waits else CANCEL, call_id, GRACE)
            return
        if self.resent and properties.correlation_id in self.resent:
            delivery = marked_as_resent(delivery)
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
        if attempts(delivery.properties.headers):  # a server had it, and died
            self.resent.setdefault(pending.id, 0)
        reason = bounce_reason(delivery.properties.headers)
        if reason == "expired":
            # Was nobody there, or were all busy? The look gets a grace of its own.
            self.expiring.add(pending.id)
            if not pending.request.if_busy_fail:
                self.deadlines.discard(pending.tick, pending)
                latest = pending.started + pending.timeout + _LATEST
                pending.tick = self.deadlines.add(min(self.loop.time() + GRACE, latest), pending)
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
            pending.body = content.body
            self.lookout.unroutable(pending)
