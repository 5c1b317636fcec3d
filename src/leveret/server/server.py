"""A server: serves its services from their first call to their last. This file wires its parts."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Callable, Iterable, Iterator

from leveret.amqp.codes import ReplyCode
from leveret.codec import TEXT, method_codec
from leveret.contract import MethodSpec, Service
from leveret.errors import AMQPError, ChannelClosed, ConnectionLost, LeveretError
from leveret.observe import PROCESS
from leveret.once import MemoryOnce, OnceStore
from leveret.server.access import Access
from leveret.server.access_log import log_call
from leveret.server.announcer import Announcer
from leveret.server.call_end import call_ended_of
from leveret.server.calls.endings import Endings
from leveret.server.calls.kept_replies import KeptReplies
from leveret.server.calls.life import Life, ServerCall, Stop
from leveret.server.calls.next_requests import NextRequests
from leveret.server.calls.table import CallTable, EarlyCancels
from leveret.server.calls.tracing import ServerTracing
from leveret.server.commands import Commands
from leveret.server.confirmed_messages import ConfirmedMessages
from leveret.server.contracts import ContractCheck
from leveret.server.control import Control, ControlHandlers
from leveret.server.drain import Drain
from leveret.server.failed_requests import FailedRequests
from leveret.server.for_all import CallsForAll
from leveret.server.handlers.execution import Executor
from leveret.server.lifespans import Lifespans
from leveret.server.method.shared import Shared
from leveret.server.method_server import MethodServer
from leveret.server.newcomers import Newcomers
from leveret.server.options import GRACE, ServeOptions, check_grace
from leveret.server.queues import Queues
from leveret.server.servable import check_plain, read_services
from leveret.server.started import StartedCalls
from leveret.server.status import QueueStatus, Status
from leveret.server.streams.inbox import Inbox
from leveret.server.streams.registry import Streams
from leveret.server.subscription import Subscription
from leveret.server.topology import Bound, TopologyCheck
from leveret.server.watchdog import Watchdog
from leveret.transport.connection import Connection
from leveret.transport.link import Link, Member
from leveret.transport.link import State as LinkState
from leveret.wire.channel_errors import explained, forbidden
from leveret.wire.dialect import ServerDialect
from leveret.wire.message import CallKey, ReplyAddress
from leveret.wire.native.dialect import NativeServer
from leveret.wire.native.stages import pack_next
from leveret.wire.native.topology import restore_exchanges
from leveret.wire.server_answers import Consumes
from leveret.wire.tutorial import TutorialServer

log = logging.getLogger("leveret.server")


class Server:
    """Serves some services over one link; `rabbit.serve` and `rabbit.serving` make one.

    :param name: the server's name for people.
    :param max_message_size: bytes of the largest body that it takes or sends.
    :param traced: gives what traces the calls of an instance, with a clock; None if nothing does.
    :raises ContractError: if a service cannot be served, or an option names something unknown.
    :ivar told_to_drain: done once an operator has had it drain by a control message; by then it has
        begun to drain.
    """

    def __init__(  # noqa: PLR0915 - a part of the server, a line
        self,
        link: Link,
        services: tuple[Service, ...],
        options: ServeOptions,
        *,
        name: str,
        max_message_size: int,
        traced: Callable[[str, Callable[[], float]], ServerTracing | None] = lambda *_: None,
    ) -> None:
        self._clock = clock = time.monotonic
        self._link = link
        self._loop = loop = link.loop
        # Whether it serves, or did: from then on what breaks is restored, and what broke before is.
        # And whether it has ended, and released what it served with.
        self._started = self._has_ended = False
        self._ended_early: list[Member] = []  # broke before it had started
        self.instance = secrets.token_hex(4)
        """The server's name for itself, which no other has."""
        self.failed: asyncio.Future[None] = loop.create_future()
        """Ends with an error when the server cannot go on: its connection never comes back."""
        self.life = Life(clock)
        """Takes calls from state to state; its `on_transition` sees each step."""
        self.methods: dict[str, MethodServer] = {}
        """What serves each method, by "service.method", once it has started."""
        self._queues = Queues(loop, self.methods, restore=self._restore)
        self.subscriptions = self._queues.subscriptions
        """The queues that it takes requests from."""
        self.queues = self._queues.statuses
        """How each of them stands, with its counters: `queues()`."""
        self.early_cancels = EarlyCancels(clock)
        """The calls that were cancelled before their requests came."""
        self._services = read_services(services)
        self._instances = services
        self._options = options
        self._max_message_size = max_message_size
        self._access = Access(
            options.allow, options.trusted_servers, self._services, options.operators
        )
        check_plain(options.plain, self._services)
        self._once: OnceStore = MemoryOnce() if options.once is None else options.once
        self._endings = _endings(options, clock)
        self._tracing = traced(self.instance, clock)
        self._table = CallTable()
        self._streams = Streams(loop, self._stream_left, clock)
        self._kept = KeptReplies(clock)
        self._next_requests = NextRequests(link.connected, pack_next)
        self._failed_requests = FailedRequests(
            loop, lambda: link.connection, instance=self.instance
        )
        self._confirmed_messages = ConfirmedMessages(loop, lambda: link.connection)
        self._lifespans = Lifespans()
        self._watchdog = Watchdog(loop, self.calls, blocked_after=options.blocked_after)
        self._announcer = Announcer(loop, self._announce, clock, self._watchdog.watch)
        self._for_all = CallsForAll(
            self.instance, is_here=lambda key: bool(self._table.find(key)), clock=clock
        )
        self._started_calls = StartedCalls(
            self._once,
            self.instance,
            self.methods,
            self._tell,
            loop,
            largest=lambda: self._control.largest,
        )
        status = Status(
            self.instance,
            name,
            self._services,
            self.queues,
            self.calls,
            clock,
            starts=lambda: self._started_calls.are_taken,
        )
        self._newcomers = Newcomers(
            self.instance, [spec.name for spec in self._services], self._say_begin, clock
        )
        self.control_handlers = self._made_handlers(status)
        """The handlers of control messages."""
        self._control = Control(
            self.control_handlers,
            self._control_keys(),
            self._restore,
            self._for_all.attached,
        )
        self._inbox = self._made_inbox()
        self._contracts = ContractCheck(
            mine=status.contracts, schemas=status.schemas, ask=self._control.ask
        )
        self._topology = TopologyCheck(
            link,
            restore=restore_exchanges,
            queues=self._bound,
        )
        self._drain: Drain | None = None
        self._drained: asyncio.Task[None] | None = None
        self.told_to_drain: asyncio.Future[None] = loop.create_future()

    def calls(self) -> list[ServerCall]:
        """The calls that are here: they run, wait, or their callers are being asked."""
        return self._table.all()

    # -- start --------------------------------------------------------------------------------

    async def start(self) -> None:
        """Enter the services that are context managers, declare the queues, take calls.

        If there is no connection, it waits for one first.

        :raises ContractError: if a method is to run in processes, or to be served as text, and
            cannot.
        :raises TopologyError: if a queue exists with other options.
        :raises LeveretError: for anything else that keeps it from serving.
        """
        self._link.closed.add_done_callback(self._fail)
        try:
            self._access.check_own_user((await self._connected()).user)
            await self._lifespans.enter((self._once, *self._instances))
            for service, spec in zip(self._instances, self._services, strict=True):
                for method in spec.methods.values():
                    self._add(service, method)
            for served in self.methods.values():
                await served.start()
            while not await self._attach(await self._connected()):
                pass  # the connection broke meanwhile: begin anew on the next one
            self._started = True
            for member in self._ended_early:
                self._link.restore(member)
            self._control.answer_questions()
            PROCESS.add_server(
                self, tuple((queue.spec.key, queue.counters) for queue in self.subscriptions)
            )
            self._topology.start()
            self._contracts.start()
        except BaseException:
            await self._give_up()
            raise
        log.info(
            "serving %s as instance %s", ", ".join(s.name for s in self._services), self.instance
        )

    async def _connected(self) -> Connection:
        """Wait for the current connection.

        :raises LeveretError: why there will be none.
        """
        try:
            return await self._link.connected()
        except ConnectionLost as error:
            failure = self._link.failure
            if failure is None or isinstance(failure, ConnectionLost):
                raise
            raise _lost(failure) from error

    def _add(self, service: Service, spec: MethodSpec) -> None:
        options = self._options
        executor = Executor(
            service, spec, options.concurrency or spec.concurrency, options.middleware
        )
        method = self.methods[spec.key] = MethodServer(
            spec,
            executor,
            Shared(
                life=self.life,
                table=self._table,
                kept=self._kept,
                streams=self._streams,
                early_cancels=self.early_cancels,
                announcer=self._announcer,
                once=self._once,
                instance=self.instance,
                user_of=self._access.user_of,
                reply_elsewhere=self._control.reply,
                publish_next=self._next_requests.publish,
                publish_confirmed=self._confirmed_messages,
                keep_failed=self._failed_requests.keep,
                failed_kept=self._failed_kept,
                max_message_size=self._max_message_size,
                send_tracebacks=options.send_tracebacks,
                endings=self._endings,
                tracing=self._tracing,
            ),
            adaptive=options.concurrency is None,
            guard=self._access.guard(spec),
            loop=self._loop,
        )
        native = self._subscribe(method, NativeServer(), remembers=True, dead_letters=False)
        native.beside = self._for_all.add(method, native.counters)
        for queue, plain in options.plain.items():
            if plain.method == spec.key:
                method_codec(TEXT, spec.parameters, spec.result)  # or it cannot be served as text
                self._subscribe(
                    method,
                    TutorialServer(queue, plain),
                    remembers=False,  # the tutorial's clients may use a call id again
                    dead_letters=plain.failed == "dead-letter",
                )

    def _subscribe(
        self, method: MethodServer, dialect: ServerDialect, *, remembers: bool, dead_letters: bool
    ) -> Subscription:
        subscription = Subscription(
            method.spec,
            dialect,
            method,
            remembers=remembers,
            dead_letters=dead_letters,
            keeps_failed=method.spec.keep_failed and remembers,
            publish_confirmed=self._confirmed_messages,
            ready=self._control.listening.wait,
            announce=self._newcomers.announce,
            restore=self._queues.channel_ended,
            deleted=self._queues.deleted,
        )
        method.serve_queue(subscription)
        self.subscriptions.append(subscription)
        return subscription

    async def _failed_kept(self) -> None:
        """Wait until failed requests are kept, and what must be confirmed is."""
        await self._failed_requests.kept()
        await self._confirmed_messages.finished()

    async def _attach(self, connection: Connection) -> bool:
        """Serve on this connection; False if it breaks first, and will come back."""
        self._ended_early.clear()
        try:
            prepared = await self._queues.prepare(connection)
            await self._control.attach(connection)
            if self._inbox is not None:
                await self._inbox.attach(connection)
            for queue in prepared:
                await queue.start()
            # The checks open one more, now and then. A user who may not is told so at the start.
            await (await connection.open_channel()).close()
        except LeveretError:
            denied = forbidden(connection.closed)
            if denied is not None:
                raise denied from denied.__cause__
            if connection.closed is None or not self._link.reconnects:
                raise
        return connection.closed is None

    # -- what breaks ----------------------------------------------------------------------------

    def _restore(self, member: Member) -> None:
        """The channel of a member has ended, or is not there yet."""
        if self._started:
            self._link.restore(member)
        else:
            self._ended_early.append(member)

    def _fail(self, closed: asyncio.Future[None]) -> None:
        error = closed.exception()
        if isinstance(error, LeveretError) and not self.failed.done():
            self.failed.set_exception(_lost(error))
            self.failed.exception()  # whoever waits gets it; nobody need

    # -- what is told and asked -------------------------------------------------------------------

    def _bound(self) -> list[Bound]:
        """The queues with bindings that an operator may delete."""
        inbox = [] if self._inbox is None else [self._inbox]
        return [self._control, *inbox, *self.subscriptions]

    def _control_keys(self) -> Iterator[str]:
        yield "all"
        for spec in self._services:
            yield spec.name
            yield f"{spec.name}.{self.instance}"

    def _made_inbox(self) -> Inbox | None:
        """The queue for uploads, if a method takes any."""
        methods = [spec for service in self._services for spec in service.methods.values()]
        keys = [f"{spec.key}@{self.instance}" for spec in methods if spec.upload is not None]
        if not keys:
            return None
        return Inbox(
            keys,
            self._streams.uploaded,
            listening=self._streams.listens_again,
            restore=self._restore,
        )

    def _made_handlers(self, status: Status) -> ControlHandlers:
        commands = Commands(
            self.instance,
            self.methods,
            self._table,
            self._streams,
            self._kept,
            self.early_cancels,
            status,
            operates=self._operates,
            unknown_stream=self._unknown_stream,
            drain=self._drain_for,
        )
        return ControlHandlers(
            cancel=commands.cancel,
            confirmed=commands.confirmed,
            credited=commands.credited,
            query=commands.query,
            call_for_all=self._for_all.take,
            rebind=self._rebind,
            ping=status.ping,
            info=status.info,
            stats=status.stats,
            contracts=status.contracts,
            calls=commands.calls,
            stop=commands.stop,
            drain=commands.drain,
            started=self._started_calls.asked,
            consumes=self._consumes,
            begins=self._newcomers.began,
            answered=self._answered,
        )

    async def _say_begin(self, services: Iterable[str]) -> None:
        """Tell the servers of these services that this one begins."""
        await self._control.say_begin(services, self.instance)

    def _consumes(self, queue: str) -> Consumes | None:
        """A client asks for how long this server has consumed a queue."""
        subscription = self._queues.find(queue)
        if subscription is None:
            return None
        service = subscription.spec.key.partition(".")[0]
        seconds = min(subscription.consumed_for(), self._newcomers.none_for(service))
        return Consumes(instance=self.instance, seconds=seconds)

    def _unknown_stream(self, key: CallKey) -> None:
        """The caller of a stream that is not here gives it credit."""
        self._control.unknown_stream(key)

    def _stream_left(self, call: ServerCall) -> None:
        """Stop a stream whose caller is silent, or whose caller's queue is gone."""
        self.methods[call.method].stop(call, Stop.CALLER)

    def _operates(self, user: str) -> bool:
        return self._access.operates(user, self._link.connection.user)

    def _drain_for(self, user: str) -> None:
        """An operator wants this server to drain."""
        if not self.told_to_drain.done():
            log.warning("user %r has this server drain, instance %s", user, self.instance)
            self.told_to_drain.set_result(None)
            self._begin_drain(self._options.grace)

    def _tell(self, reply_to: ReplyAddress, name: str, body: bytes) -> None:
        self._control.tell(reply_to, name, body)

    def _rebind(self) -> None:
        """A client found that its requests do not reach a queue."""
        self._topology.ask()

    def _answered(self, body: bytes) -> None:
        """Another server tells of its contracts."""
        self._contracts.answered(body)

    def _announce(self, before: float) -> bool:
        if not self._table:
            return False
        for method in self.methods.values():
            method.announce(before)
        return True

    def loads(self) -> Iterable[QueueStatus]:
        """How its queues stand, for metrics; empty once it has ended."""
        return () if self._has_ended else self.queues()

    @property
    def unready(self) -> str:
        """Why it takes no new calls at this moment; "" if it does."""
        if self._has_ended or self._drain is not None:
            return "draining"
        if not self._started:
            return "starting"
        if self.failed.done():
            return f"failed: {self.failed.exception()}"
        if self._link.state is not LinkState.CONNECTED:
            return f"{self._link.state}: {self._link.failure}"
        missing = self._queues.without_consumer()
        return f"no consumer of {', '.join(missing)}" if missing else ""

    # -- drain --------------------------------------------------------------------------------

    async def close(self) -> None:
        """Drain, with the grace of the server's options. Calling it twice is fine."""
        await self.drain(self._options.grace)

    async def drain(self, grace: float = GRACE) -> None:
        """Take no more calls, end those that run, hand back the rest, confirm the replies.

        :param grace: seconds that running handlers get; after them they are cancelled. A call of
            an idempotent method is handed to another server then.
        :raises ContractError: if the grace is no number of seconds.
        """
        await asyncio.shield(self._begin_drain(check_grace(grace)))

    def _begin_drain(self, grace: float) -> asyncio.Task[None]:
        if self._drained is None:
            self._drain = Drain(
                self._link,
                [(queue, self.methods[queue.spec.key]) for queue in self.subscriptions],
                self._table,
                cancel_running=self._stop_calls,
                abandon_running=self._abandon_running,
                clock=self._clock,
            )
            self._drained = self._loop.create_task(self._drain_and_stop(self._drain, grace))
        return self._drained

    def cancel_running(self) -> None:
        """Cut the grace of a drain short: cancel the calls that still run, and wait no longer.

        Past the grace, it cancels the `__aexit__` of the service that is being left.
        """
        if self._drain is not None:
            self._drain.cut_short()
        self._stop_calls()
        self._lifespans.hurry()

    async def _drain_and_stop(self, drain: Drain, grace: float) -> None:
        try:
            await drain.run(grace, self._queues.declaring)
        finally:
            await self._stop()
        log.info("drained")

    def _stop_calls(self) -> None:
        for call in self.calls():
            self.methods[call.method].stop(call, Stop.DRAIN)

    def _abandon_running(self) -> None:
        for call in self.calls():
            self.methods[call.method].abandon(call)

    async def _give_up(self) -> None:
        """Stop a server that could not start. Some of its queues may have brought calls already."""
        if any(queue.is_open for queue in self.subscriptions) or self._table:
            await asyncio.shield(self._begin_drain(0.0))
        else:
            await self._stop()

    async def _stop(self) -> None:
        """Release everything, in whatever state."""
        self._has_ended = True
        try:
            await self._topology.close()
            await self._contracts.close()
            self._watchdog.stop()
            self._queues.declare_no_more()
            self._streams.close()
            for method in self.methods.values():
                method.close()
            await self._failed_requests.close()
            await self._confirmed_messages.close()
            for queue in self.subscriptions:
                await self._link.release(queue)
                await queue.close()
            await self._next_requests.close()
            self._announcer.close()
            await self._started_calls.close()
            if self._inbox is not None:
                await self._link.release(self._inbox)
                await self._inbox.close()
            await self._link.release(self._control)
            await self._for_all.close()
            await self._control.close()
            self._link.closed.remove_done_callback(self._fail)
        finally:
            await self._lifespans.leave()


def _endings(options: ServeOptions, clock: Callable[[], float]) -> Endings | None:
    """Tells how calls end; None if nobody wants to know."""
    told = call_ended_of(options.middleware)
    if options.access_log:
        told = (*told, log_call)
    return Endings(told, clock) if told else None


def _lost(error: LeveretError) -> LeveretError:
    """Why a server cannot go on: `ConnectionLost`, unless its user is not permitted."""
    denied = forbidden(error)
    if denied is not None:
        return denied
    if isinstance(error, ChannelClosed) and error.reply_code == ReplyCode.ACCESS_REFUSED:
        return explained(error, "channel of a server")
    if not isinstance(error, AMQPError):
        return error
    lost = ConnectionLost(f"the broker ended the connection of this server: {error}")
    lost.__cause__ = error
    return lost
