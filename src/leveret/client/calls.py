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
from leveret.amqp.properties import Properties
from leveret.client import verdicts
from leveret.client.arrivals import Arrivals
from leveret.client.attachment import Attachment
from leveret.client.flow import Flow
from leveret.client.look import FIRST_LOOK, Lookout
from leveret.client.pending import GRACE, LOOK_EVERY, Pending, Request, Route, Template
from leveret.client.returned import Returned
from leveret.errors import (
    CallError,
    ConnectionLost,
    LeveretError,
)
from leveret.transport.channel import Channel
from leveret.transport.deadlines import Deadlines
from leveret.transport.link import Link
from leveret.wire.before import IF_BUSY_FAIL
from leveret.wire.control import CANCEL, QUERY
from leveret.wire.native.names import CONTROL_EXCHANGE, QUEUE_PREFIX, call_ids, reply_queue_name

_SOON: Final = 0.005
_SHORT: Final = 2 * FIRST_LOOK
"""Seconds; a call with less time is looked after sooner than others."""
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
    `take`, whatever ends it: a reply, a bounce, a refusal, its deadline, its caller.
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
        self.accepted: dict[str, float] = {}
        """Pending calls whose server said that it has them, and when (the loop's clock)."""
        self.begun: set[str] = set()
        """Those of them whose handlers run."""
        self.resent: dict[str, int] = {}
        """Pending calls that were sent more than once, and how often again."""
        self.keys: dict[str, str | None] = {}
        """Pending calls whose idempotency key is no longer what a server would make of the request:
        the key, or None if it was another user's, so that the request cannot be sent again."""
        self.expiring: set[str] = set()
        """Pending calls whose requests came back as nobody took them in time."""
        self.epoch = 0
        """Changes with the channel: the templates of before are of no use then."""
        self.routes: dict[str, Route] = {}
        self.deadlines = Deadlines(self.loop, self.expired)
        self.lookout = Lookout(self)
        self.returned = Returned(self)
        self.attachment = Attachment(self)
        self.arrivals = Arrivals(self)
        self._channel: Channel | None = None
        self._confirms: Confirms[Pending] = Confirms()
        self.flow = Flow(self)
        self.ended: LeveretError | None = None
        """Why no reply will come any more."""

    async def start(self) -> None:
        """Open the channel and the reply queue."""
        self.link.closed.add_done_callback(self._given_up)
        while True:
            connection = await self.link.connected()
            try:
                await self.attachment.attach(connection)
            except LeveretError:
                if connection.closed is None or not self.link.reconnects:
                    raise
            else:
                return

    async def close(self) -> None:
        """End all pending calls and delete the reply queue."""
        self.end(ConnectionLost("the client was closed"))
        self.deadlines.close()
        await self.link.release(self.attachment)
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

    @property
    def has_channel(self) -> bool:
        """Whether that one is open."""
        return self._channel is not None and self._channel.closed is None

    def check_loop(self) -> None:
        """:raises RuntimeError: in another event loop than that of the connection."""
        if asyncio.get_running_loop() is not self.loop:
            raise RuntimeError(
                "this connection belongs to another event loop, or to one that has ended;"
                " connect in the loop that makes the calls"
            )

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
        self.connection = self.link.connection
        self._confirms = Confirms()
        self.epoch += 1
        channel.on_confirm = self._on_confirm
        channel.on_return = self.arrivals.on_return
        self.flow.watch(self.connection)

    def detached(self) -> list[Pending]:
        """The channel is gone; returns the pending calls that the broker has not confirmed."""
        unconfirmed = [p for p in self._confirms.open() if self.pending.get(p.id) is p]
        self._confirms = Confirms()
        self.flow.changed()
        return unconfirmed

    async def answered(self) -> None:
        """Return when the broker has answered for all requests on this channel."""
        channel = self.channel
        # Confirms are the hot path: they set no event.
        while self._confirms and channel.closed is None:  # noqa: ASYNC110
            await asyncio.sleep(_SOON)

    def unconfirmed(self) -> set[str]:
        """The ids of the calls whose requests the broker is not known to have."""
        return {pending.id for pending in self._confirms.open()} | self.attachment.unsent.keys()

    def is_unconfirmed(self, pending: Pending) -> bool:
        """Whether the broker is not known to have the request of this call."""
        return (
            self._confirms.noted(pending.number) is pending or pending.id in self.attachment.unsent
        )

    def _given_up(self, given_up: asyncio.Future[None]) -> None:
        error = given_up.exception()
        assert isinstance(error, LeveretError)
        self.end(error)

    def end(self, error: LeveretError) -> None:
        """No reply will come any more: end all calls."""
        if self.ended is not None:
            return
        self.ended = error
        unconfirmed = self.unconfirmed()
        for pending in list(self.pending.values()):
            confirmed = pending.id not in unconfirmed
            self.fail(pending, verdicts.lost(pending, error, confirmed=confirmed))
        self.flow.changed()

    # -- a call begins ------------------------------------------------------------------------

    def send(self, request: Request, body: bytes, timeout: float) -> Pending:
        """Send one request; its `future` ends with the reply or an error.

        :raises Busy: if too many calls are in flight, the body is too large, or the broker takes
            no publishes. :raises ConnectionLost: if there is no connection.
        """
        calls = self.pending
        route = request.route
        if (
            (self.flow.held and not self.flow.is_open())
            or len(calls) >= self.max_in_flight
            or len(body) > self.max_message_size
        ):
            raise self.flow.refusal(route, body)
        if request.epoch != self.epoch:
            request.renew()  # before the call is registered: it may not fit any more
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
        if not self.lookout.watching or timeout < _SHORT:
            self.lookout.watch(min(FIRST_LOOK, timeout / 2))
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
        pending.number = self._confirms.add(pending)

    def resend(self, pending: Pending, *, doubtful: bool = True) -> None:
        """Send the request of a pending call again, as far as its deadline allows.

        :param doubtful: whether a server may have the one that was sent before.
        """
        remaining = pending.started + pending.timeout - self.loop.time()
        if self.pending.get(pending.id) is not pending or remaining <= 0 or not self.flow.is_open():
            return
        key = self.keys.get(pending.id, "")
        if key is None:
            other = ConnectionLost("the connection is another user's now, whose keys are others")
            self.fail(pending, verdicts.lost(pending, other, confirmed=True))
            return
        if doubtful:
            self.resent[pending.id] = self.resent.get(pending.id, 0) + 1
        self.forget_word(pending.id)
        pending.back_at = 0.0
        try:
            template = pending.request.make(doubtful and pending.request.marked, key)
            self._publish(pending, template, remaining, pending.body or b"")
        except CallError as error:  # its metadata does not fit into the frames of another broker
            self.fail(pending, error)

    # -- a call ends --------------------------------------------------------------------------

    def take(self, call_id: str | None) -> Pending | None:
        """The pending call of this id, now off the tables; None if there is none (any more)."""
        pending = self.pending.pop(call_id, None)  # type: ignore[arg-type]
        if pending is None:
            return None
        self.deadlines.discard(pending.tick, pending)
        if self.accepted:
            self.forget_word(pending.id)
        if self.resent:
            self.resent.pop(pending.id, None)
        if self.expiring:
            self.expiring.discard(pending.id)
        if self.attachment.unsent:
            self.attachment.unsent.pop(pending.id, None)
        if self.keys:
            self.keys.pop(pending.id, None)
        return None if pending.future.done() else pending

    def forget_word(self, call_id: str) -> None:
        """What a server said of a call holds no more."""
        self.accepted.pop(call_id, None)
        self.begun.discard(call_id)

    def fail(self, pending: Pending, error: CallError) -> None:
        """End a call with an error, if it has not ended."""
        resent = pending.id in self.resent
        if self.take(pending.id) is not None:
            error.method = pending.route.key
            if resent and error.executed == "no":  # of the request that was sent last
                error.executed = "maybe"
            pending.future.set_exception(error)

    def abandon(self, pending: Pending) -> None:
        """The caller was cancelled: tell the server that has the request, if one has."""
        self.take(pending.id)
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
            self.tell(route.service, QUERY, "", LOOK_EVERY, body)

    def tell(self, key: str, kind: str, call_id: str, timeout: float, body: bytes = b"") -> None:
        """Say something to a server, or to all of a service, on the control exchange."""
        if self.flow.is_open() and not self.loop.is_closed():
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
        unconfirmed = self.is_unconfirmed(pending)
        self.fail(pending, verdicts.silence(pending, self, unconfirmed=unconfirmed))

    def _on_confirm(self, number: int, multiple: bool, ok: bool) -> None:
        if ok:
            self._confirms.confirm(number, multiple)
            return
        for pending in self._confirms.settle(number, multiple):
            self.returned.refused(pending)
