"""Puts the client's calls together: the only file that knows all others of this folder.

`Client` is what lives on a `Link`. It opens the channel on each connection, and carries out what
`life.py` asks for. `lost_channel.py` says what becomes of the calls when the channel is gone:

- those that the broker has confirmed go on waiting: their replies wait in the reply queue;
- those that it has not confirmed are sent again on the next channel if they may be repeated; the
  others end with `ConnectionLost`, `executed` "maybe".

A confirmed request or its reply can still be lost: a broker that is killed loses what it
held in memory, and a socket that breaks loses what was in it. `monitor.py` finds out.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from typing import Final

from leveret.amqp.codes import ReplyCode
from leveret.amqp.properties import Properties
from leveret.body_parts import Body
from leveret.client.calls.asking import Asking, Question
from leveret.client.calls.channel_replacement import ChannelReplacement
from leveret.client.calls.control_sender import ControlSender
from leveret.client.calls.exchanges import Exchanges
from leveret.client.calls.flow import Flow
from leveret.client.calls.inbox import Inbox
from leveret.client.calls.inquiries import Inquiries, Inquiry
from leveret.client.calls.life import Act, Event, Pending, State
from leveret.client.calls.lost_channel import events
from leveret.client.calls.messenger import Messenger
from leveret.client.calls.monitor import SERVED_EVERY, SHORT, Monitor
from leveret.client.calls.probe import QueueProbe
from leveret.client.calls.publisher import Publisher
from leveret.client.calls.reconnected import Reconnected
from leveret.client.calls.reply_queue import ReplyQueue
from leveret.client.calls.request import Request
from leveret.client.calls.resends import Resends
from leveret.client.calls.returns import Returns
from leveret.client.calls.route import Route
from leveret.client.calls.routes import Routes
from leveret.client.calls.same_servers import SameServers
from leveret.client.calls.sinks import CONFIRMED, Sink
from leveret.client.calls.stream import Stream
from leveret.client.calls.streams import Streams
from leveret.client.calls.table import CallTable, Hook
from leveret.client.calls.tasks import Tasks
from leveret.client.calls.upload_channel import UploadChannel
from leveret.client.calls.vacancy import Vacancy
from leveret.errors import CallError, ConnectionLost, InvalidArgument, LeveretError
from leveret.transport.channel import Channel
from leveret.transport.connection import Connection
from leveret.transport.link import Link
from leveret.wire.channel_errors import (
    exchange_at_fault,
    forbidden,
    is_missing_exchange,
    size_at_fault,
)
from leveret.wire.dialect import ClientChannel
from leveret.wire.message import ReplyAddress
from leveret.wire.native.dialect import NativeClient
from leveret.wire.native.names import CONTROL_EXCHANGE, CREDIT, call_ids, reply_queue_name
from leveret.wire.native.topology import consume_replies, restore_exchanges
from leveret.wire.timing import LATEST_END, REPLY_GRACE

log = logging.getLogger("leveret.client")

_RESTORED_WITHIN: Final = 5.0
"""Seconds that restoring the client on a connection may take; then the link tries another one."""
_CONTROL_ROOM: Final = 1_000
"""How many control messages may wait for their channel, in addition to one for each call."""


class Client:
    """All calls of one connection: sent on one channel, answered in one reply queue.

    They outlive the connection that they were made on. Each is registered before it is published,
    and leaves the table in exactly one place, whatever ends it.

    :param on_transition: sees each step of each call.
    :param on_late: told of each reply for which no call waits.
    """

    held: bool
    """Whether callers have to wait in `ready` before they send."""

    def __init__(
        self,
        link: Link,
        *,
        name: str,
        max_in_flight: int,
        max_message_size: int,
        on_transition: Hook | None = None,
        on_late: Callable[[], None] = lambda: None,
    ) -> None:
        self.link = link
        self.loop = loop = link.loop
        self.takes_from: asyncio.AbstractEventLoop | None = loop
        """The event loop whose calls it takes; None once it is closed."""
        self.max_message_size = max_message_size
        self._name = name
        self._max_in_flight = max_in_flight
        self._connection: Connection | None = None
        routes = Routes()
        self.routes = routes.by_label
        """What the client knows of each queue, by "service.method"."""
        self.route = routes.route
        """What the client knows of the queue for a routing key: `route(key, dialect, label="")`."""
        self._was_attached = False
        self._attached_at = 0.0
        self._tasks = Tasks(loop)
        self._publisher = Publisher(on_refused=self._on_refused, on_taken=self._on_taken)
        self._messenger = Messenger(
            exchange=CONTROL_EXCHANGE,
            connection=lambda: self.connection,
            begin=self._tasks.begin,
            restore=self._restore_exchanges,
            call_later=loop.call_later,
            unbound=self._unbound,
            most=max_in_flight + _CONTROL_ROOM,
        )
        self._control = ControlSender(
            send=self._messenger.send,
            reply_to=lambda: self._publisher.outgoing.reply_to,
            is_open=self._may_send,
            time=loop.time,
            user=lambda: self._publisher.outgoing.user,
        )
        self._inquiries = Inquiries(ask=self._control.inquire, ready=self._ready_to_ask)
        self.inquiry = self._inquiries.open
        """Opens a question to servers about themselves: `inquiry(word, key)`."""
        self.query = self._control.query
        """Asks the servers of a queue what became of calls: `query(route, call_ids)`."""
        self._probe = QueueProbe(lambda: self.connection, self._tasks.begin, loop.time)
        self.count_servers = self._probe.count_servers
        """How many servers consume a queue: `await count_servers(queue, seconds)`."""
        self._asking = Asking(
            self,
            most=max_in_flight,
            time=loop.time,
            ready=self._ready_to_ask,
            probe=self._probe.probe,
            inquire=self._control.inquire,
            query=self.query,
            cancel=self._control.cancel_for_all,
        )
        self.ask_all = self._asking.ask
        """Has every server of a service run a call: `ask_all(question, timeout)`."""
        acts: dict[Act, Callable[[Pending], None]] = {}
        self.table = CallTable(
            loop,
            ids=call_ids(),
            is_unconfirmed=self._publisher.is_unconfirmed,
            acts=acts,
        )
        self._streams = Streams(
            loop,
            fire=self.table.fire,
            finished=self.table.finished,
            replied=lambda call, closing: self.table.replied(call, closing.reply),
            extend=self.table.extend,
            credit=self._control.credit,
            cancel=self._control.cancel_at,
        )
        self.uploads = UploadChannel(
            connection=lambda: self.connection,
            begin=self._tasks.begin,
            opened=self._streams.upload_again,
            unreachable=self._streams.unreachable,
            largest=lambda: self.max_message_size,
            too_large=self._upload_too_large,
        )
        """The channel that uploads leave by."""
        self._resends = Resends(loop, self._publisher, fire=self.table.fire, is_open=self._may_send)
        acts |= {
            Act.PUBLISH: self._resends.publish,
            Act.PUBLISH_DOUBTFUL: self._resends.publish_doubtful,
            Act.PUBLISH_LATER: self._resends.publish_later,
            Act.PUBLISH_LATER_DOUBTFUL: self._resends.publish_later_doubtful,
            Act.PROBE: self._explain,
            Act.DELIVER_CONFIRM: _deliver_confirm,
            Act.CANCEL: self._cancel,
            Act.ASK_AGAIN: self._streams.ask_again,
            Act.FAIL_BROKEN: self._cancel,
            Act.FAIL_TOO_LONG: self._cancel,
            Act.FAIL_BACKLOG: self._control.cancel,
        }
        self.table.on_transition = on_transition
        self._calls = self.table.by_id
        self._inbox = Inbox(
            get=self._calls.get,
            replied=self.table.replied,
            streamed=self._streams.received,
            fire=self.table.fire,
            time=loop.time,
            gathered=self._asking.take,
            answered=self._inquiries.answered,
            confirm=self._control.confirm,
            passed=self._passed,
            acknowledge=self._control.acknowledge,
            default_dialect=NativeClient(),
            on_late=on_late,
        )
        self.reply_queue = ReplyQueue(
            name_for=reply_queue_name,
            consume=consume_replies,
            on_delivery=self._inbox.on_delivery,
            on_renamed=self._replies_lost,
        )
        self._reconnected = Reconnected(self._calls, fire=self.table.fire, query=self.query)
        self._flow = Flow(
            loop,
            self,
            max_in_flight=max_in_flight,
            max_message_size=max_message_size,
            on_held=self._hold,
            on_open=lambda: self._resends.send_unsent(self._calls.values()),
        )
        self._replacement = ChannelReplacement(
            self._publisher, hold=self._flow.stop, release=self._flow.go
        )
        self._returns = Returns(
            begin=self._tasks.begin,
            fire=self.table.fire,
            probe=self._probe.probe,
            ask_servers=SameServers(self.inquiry, loop.time).ask,
            replace_channel=self._replacement.replace,
            unbound=self._control.ask_to_bind,
            time=loop.time,
        )
        self._monitor = Monitor(
            loop,
            self._calls,
            begin=self._tasks.begin,
            fire=self.table.fire,
            defer=self._defer,
            probe=self._probe.probe,
            check_broker=self._probe.check_broker,
            is_unconfirmed=self._publisher.is_unconfirmed,
            query=self.query,
            resend=self._resends.send_missing,
        )
        self._vacancy = Vacancy(loop, begin=self._tasks.begin, probe=self._probe.probe)
        self._exchanges = Exchanges(
            begin=self._tasks.begin,
            restore=self._restore_exchanges,
            hold=self._flow.stop,
            release=self._flow.go,
        )
        link.closed.add_done_callback(self._link_closed)

    def __str__(self) -> str:
        return str(self.reply_queue)

    # -- what is known from outside -----------------------------------------------------------

    @property
    def connection(self) -> Connection:
        """The current connection, or the last one. There is one once the client was attached."""
        assert self._connection is not None
        return self._connection

    @property
    def channel(self) -> ClientChannel:
        """The current channel as packers see it, or the last one."""
        return self._publisher.outgoing

    @property
    def failure(self) -> LeveretError | None:
        """Why there is no connection now, if there is none."""
        return self.link.failure

    @property
    def is_attached(self) -> bool:
        """Whether there is a channel for requests."""
        return self._publisher.is_attached

    @property
    def in_flight(self) -> int:
        """How many calls wait for their replies, or for a probe of their queue."""
        return len(self._calls) + self._vacancy.looking + len(self._asking)

    @property
    def sent(self) -> int:
        """How many calls were sent."""
        return self.table.opened

    @property
    def late(self) -> int:
        """How many messages were for no open call."""
        return self._inbox.late

    @property
    def unconfirmed(self) -> int:
        """How many publishes the broker has not confirmed, plus the calls still to be sent."""
        return self._publisher.unconfirmed + self.count(State.UNSENT)

    def count(self, *states: State) -> int:
        """How many calls are in one of these states."""
        return sum(call.state in states for call in self._calls.values())

    @property
    def at_servers(self) -> int:
        """How many calls are at a server, by the server's own notice."""
        return self.count(State.AT_SERVER, State.RUNNING)

    # -- it begins and ends -------------------------------------------------------------------

    async def start(self) -> None:
        """Open the channel and the reply queue.

        :raises LeveretError: why that is not possible.
        """
        while True:
            connection = await self.link.connected()
            try:
                await self.attach(connection)
            except LeveretError:
                denied = forbidden(connection.closed)
                if denied is not None:
                    raise denied from denied.__cause__
                if connection.closed is None or not self.link.reconnects:
                    raise
            else:
                return

    async def close(self) -> None:
        """End all calls and delete the reply queue.

        Servers are told of streams, whose handlers might not notice for seconds that nobody takes
        their items, or uploads more. Handlers of other calls run to their ends.
        """
        self.takes_from = None
        for call in list(self._calls.values()):
            if isinstance(call.sink, Stream):
                self._cancel(call)
        self.end(ConnectionLost("the client was closed"))
        self.table.close()
        self._monitor.close()
        self._streams.close()
        await self.link.release(self)
        connection = self._connection
        blocked = "" if connection is None else connection.blocked
        if not blocked:
            await self._messenger.close()
        await self._tasks.close()
        if blocked:
            return  # the broker hears nothing; the queue expires by itself
        if self.is_attached:
            channel = self._publisher.channel
            channel.on_cancel = None  # it is we who delete the queue
            await self.reply_queue.delete(self.connection)
            await channel.close()

    def _link_closed(self, closed: asyncio.Future[None]) -> None:
        error = closed.exception()
        assert isinstance(error, LeveretError)
        self.end(error)

    def end(self, error: LeveretError) -> None:
        """End all calls: no reply will come any more."""
        if self._flow.ended is None:
            self._flow.end(error)
            self._asking.end()
            self._inquiries.end(error)
            self.table.end_all(error)

    # -- the channel comes and goes -----------------------------------------------------------

    async def attach(self, connection: Connection) -> Channel:
        """Open the channel, consume from the reply queue, and send again the requests that need it.

        :raises LeveretError: why that is not possible on this connection; `ConnectionLost` if it
            takes longer than `_RESTORED_WITHIN` seconds.
        """
        again, self._was_attached = self._was_attached, True
        is_another_users = again and connection.user != self.reply_queue.user
        try:
            async with asyncio.timeout(_RESTORED_WITHIN if again else None):
                channel = await self.reply_queue.open(connection, again=again)
        except TimeoutError:
            raise ConnectionLost(
                f"{connection}: {self} was not restored in {_RESTORED_WITHIN:g} s"
            ) from None
        channel.on_cancel = self._on_cancel
        channel.on_close = self._on_close
        channel.on_return = self._inbox.on_return
        if is_another_users:
            self._reconnected.user_changed()
        if connection is not self._connection:
            self._note_broker_limit(None)  # which may be another one
        self._connection = connection
        self._publisher.attached(
            channel,
            ClientChannel(
                number=channel.number,
                frame_max=connection.frame_max,
                reply_to=ReplyAddress(exchange="", key=self.reply_queue.name),
                user=connection.user,
                name=self._name,
            ),
        )
        self._flow.watch(connection)
        self._attached_at = self.loop.time()
        if again:
            self._connected_again()
        self._flow.changed()
        return channel

    def _connected_again(self) -> None:
        self._probe.connection_changed()
        self._returns.connection_changed()
        self._monitor.connection_changed()
        self._streams.connection_changed()
        self._reconnected.connected_again()

    def _on_close(self, error: LeveretError) -> None:
        unconfirmed = self._publisher.detached()
        self._flow.changed()
        exchange, sizes = exchange_at_fault(error), size_at_fault(error)
        if exchange and is_missing_exchange(error):
            self._exchanges.missing(exchange)
        if sizes is not None:
            self._note_broker_limit(sizes[1])
        for call, event in events(unconfirmed, error, reconnects=self.link.reconnects):
            self.table.fire(call, event, error)
        self.link.restore(self)

    def too_large(self, route: Route, body: Body) -> CallError | None:
        """Why a body is not sent, if it is larger than this client or the broker takes."""
        return self._flow.too_large(route, body)

    def _note_broker_limit(self, size: int | None) -> None:
        """The broker takes no larger body than this; from now on the client refuses larger ones."""
        self._flow.broker_limit = size
        self.max_message_size = self._flow.max_size

    def _upload_too_large(self, size: int, most: int) -> None:
        """The broker takes no item of so many bytes: end the calls whose uploads have one."""
        self._note_broker_limit(most)
        for call, stream, number in self._streams.upload_refused(size):
            error = InvalidArgument(
                f"item {number} of the upload takes more than the {most} bytes that the broker"
                " takes (max_message_size in its configuration)",
                executed="yes",
                method=call.route.key,
            )
            error.call_id = call.id
            self.abandon(call)
            stream.fail(error)

    async def _restore_exchanges(self) -> None:
        await restore_exchanges(self.connection)

    def _on_cancel(self, _tag: str) -> None:
        """The reply queue was deleted, or its node went down: declare it on another channel."""
        reason = f"{self} was deleted on the broker"
        log.warning("%s; declaring it again", reason)
        self._tasks.begin(self._replacement.replace(reason, ReplyCode.NOT_FOUND))

    def _replies_lost(self, error: LeveretError) -> None:
        self._reconnected.replies_lost(self.reply_queue.name, error)

    # -- a call begins ------------------------------------------------------------------------

    async def ready(self, request: Request, timeout: float) -> float:
        """Wait until requests may go; returns what is left of `timeout`, in seconds.

        :raises CallError: if they may not within `timeout`, or the call does not want to wait.
        """
        while True:
            timeout = await self._flow.ready(request, timeout)
            if not request.looks_first:
                return timeout
            timeout = await self._vacancy.check(request, timeout)
            if not self.held:
                return timeout

    def _defer(self, callback: Callable[[], None]) -> None:
        self.connection.defer(callback)

    def _unbound(self, sent: Properties) -> bool:
        name = sent.correlation_id or ""
        if sent.type == CREDIT:
            self._streams.unreachable(name)
            return True
        return self._asking.unbound(name) or self._inquiries.unbound(name)

    async def _ready_to_ask(self, inquiry: Inquiry | Question, timeout: float) -> float:
        timeout = await self._flow.ready(inquiry, timeout)
        if not self._flow.is_open():
            raise self._flow.refusal(inquiry.route)
        return timeout

    def send(
        self,
        request: Request,
        body: Body,
        timeout: float,
        sink: Sink,
        headers: bytes = b"",
        ids: Iterator[str] | None = None,
    ) -> Pending:
        """Send one request; its reply or error goes to the sink.

        :param timeout: seconds from now to the deadline.
        :param headers: the headers of this call, packed by the request's dialect.
        :param ids: gives the call its id; None: a new one.
        :raises Busy: if too many calls are in flight, the body is too large, or the broker takes
            no publishes. :raises ConnectionLost: if there is no connection.
        :raises InvalidArgument: if the headers do not fit into a frame.
        """
        publisher = self._publisher
        if (
            (self.held and not self._flow.is_open())
            or len(self._calls) >= self._max_in_flight
            or len(body) > self.max_message_size
        ):
            raise self._flow.refusal(request.route, body)
        if request.channel is not publisher.outgoing:
            request.renew(publisher.outgoing)  # before it is registered: it may not fit any more
        if headers:
            request.check_headers(headers)
        call = self.table.open(request, body, timeout, sink, headers, ids)
        if request.one_way:  # nobody has to know who listens
            publisher.publish(call, timeout, body, request.headers + headers)
            return call
        if not self._monitor.is_watching or timeout < SHORT:
            self._monitor.watch(call)
        publisher.publish(call, timeout, body, request.headers + headers)
        if call.started - request.route.server_seen_at > SERVED_EVERY:
            self._monitor.probe_beside(request.route, call.started)  # after it, in the same write
        return call

    def abandon(self, call: Pending) -> None:
        """Nobody waits for a call any more. If it has not ended, tell its server so."""
        self.table.fire(call, Event.SENDER_GONE if call.request.one_way else Event.CALLER_GONE)
        if call.listener is not None:
            call.listener.stop()

    # -- acts ---------------------------------------------------------------------------------

    def _explain(self, call: Pending) -> None:
        """Find out why a request came back. An expired one gets a little more time for that."""
        if call.state is State.EXPIRED and not call.request.if_busy_fail:
            latest = call.started + call.timeout + LATEST_END
            self.table.extend(call, min(self.loop.time() + REPLY_GRACE, latest))
        self._returns.add(call)

    def _cancel(self, call: Pending) -> None:
        """Nobody waits for a call any more: tell the server that has it, or all that may."""
        server = self._streams.server_of(call)
        if server:
            self._control.cancel_at(server, call)
        else:
            self._control.cancel(call)

    def _may_send(self) -> bool:
        """Whether requests and control messages may go now."""
        return self._flow.is_open() and not self.loop.is_closed()

    # -- news ---------------------------------------------------------------------------------

    def _hold(self, held: bool) -> None:
        self.held = held

    def _on_taken(self, call: Pending) -> None:
        self.table.fire(call, Event.TAKEN)

    def _passed(self, call: Pending, stage: int) -> None:
        """A call has reached a later stage of its pipe: another queue, with other servers."""
        call.request = call.request.stages[stage - 1]
        self.table.fire(call, Event.PASSED)
        self._monitor.passed(call)
        if call.started < self._attached_at:  # what they said may have been lost before
            self.query(call.route, [call.id])

    def _on_refused(self, call: Pending) -> None:
        if self._returns.is_replacing and call.request.repeatable:
            self.table.fire(call, Event.NACK_BEFORE_CHANNEL)
        else:
            self.table.fire(call, Event.NACK)


def _deliver_confirm(call: Pending) -> None:
    """Tell the caller of a one-way call that the broker has its request."""
    if not call.sink.done():
        call.sink.set_result(CONFIRMED)
