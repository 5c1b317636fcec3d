"""A server: its services from their first call to their last."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Coroutine, Iterable
from typing import Any, Final

from leveret.amqp.codes import ReplyCode
from leveret.contract import MethodSpec, Service
from leveret.errors import AMQPError, ChannelClosed, ConnectionLost, LeveretError
from leveret.once import MemoryOnce, OnceStore
from leveret.server.access import Access
from leveret.server.consumer import MethodConsumer
from leveret.server.control import Control
from leveret.server.execution import Executor
from leveret.server.lifespans import Lifespans
from leveret.server.options import GRACE, ServeOptions
from leveret.server.plain import PlainConsumer
from leveret.server.running import CallKey, EarlyCancels, Running
from leveret.server.servable import check_plain, read_services
from leveret.server.watchdog import Watchdog
from leveret.transport.connection import Connection
from leveret.transport.deadlines import Deadlines
from leveret.transport.link import Link
from leveret.wire.channel_errors import explained, is_down

log = logging.getLogger("leveret.server")

ANNOUNCE_AFTER: Final = 0.25
"""Seconds after which a caller is told that its handler runs."""
_SILENT: Final = 5.0
"""Seconds without a byte from the broker that owes answers, after which a drain gives it up."""
_LAST_WAIT: Final = 1.0
"""Seconds that handlers get to end once they are cancelled."""


class Server:
    """Serves some services over one link; `rabbit.serve` and `rabbit.serving` make one.

    :param name: what the server calls itself, for people who ask it.
    :param max_message_size: bytes of the largest body that it takes or sends.
    :raises ContractError: if a service cannot be served, or an option names nothing that is.
    """

    def __init__(
        self,
        link: Link,
        services: tuple[Service, ...],
        options: ServeOptions,
        *,
        name: str,
        max_message_size: int,
    ) -> None:
        self.link = link
        self.loop = link.loop
        self.name = name
        self.instance = secrets.token_hex(4)
        self.services = read_services(services)
        self.access = Access(
            options.allow, options.trusted_servers, self.services, link.connection.user
        )
        self.once: OnceStore = MemoryOnce() if options.once is None else options.once
        self.max_message_size = max_message_size
        self.send_tracebacks = options.send_tracebacks
        self.early_cancels = EarlyCancels()
        self.deadlines = Deadlines(self.loop, self._expire)
        self.consumers: list[MethodConsumer] = []
        self.failed: asyncio.Future[None] = self.loop.create_future()
        """Ends with an error when the server cannot go on: its connection never comes back."""
        self.control = Control(self)
        self._instances = services
        self._middleware = options.middleware
        self._concurrency = options.concurrency
        self._plain = options.plain
        check_plain(self._plain, self.services)
        self._lifespans = Lifespans()
        self._watchdog = Watchdog(self.loop, self.running)
        self.started = False
        """Whether it serves, or did: from then on what breaks is healed."""
        self.watching = False
        self._watch: asyncio.TimerHandle | None = None
        self._drained: asyncio.Task[None] | None = None
        self._hurried = asyncio.Event()
        self._healing: set[asyncio.Task[None]] = set()

    # -- start --------------------------------------------------------------------------------

    async def start(self) -> None:
        """Enter the services that are context managers, declare the queues, take calls.

        :raises TopologyError: if a queue exists with other options.
        """
        self.link.closed.add_done_callback(self._given_up)
        try:
            await self._lifespans.enter((self.once, *self._instances))
            for service, spec in zip(self._instances, self.services, strict=True):
                for method in spec.methods.values():
                    self._add(service, method)
            while not await self._attach(await self.link.connected()):
                pass  # the connection broke meanwhile: begin anew on the next one
            self.started = True
        except BaseException:
            await self._stop()
            raise
        log.info(
            "serving %s as instance %s", ", ".join(s.name for s in self.services), self.instance
        )

    async def _attach(self, connection: Connection) -> bool:
        """Serve over this connection; False if it breaks before that, and comes back."""
        try:
            prepared = await asyncio.gather(
                *(self._prepare(consumer, connection) for consumer in self.consumers),
                return_exceptions=True,
            )
            for outcome in prepared:
                if isinstance(outcome, BaseException):
                    raise outcome
            await self.control.attach(connection)
            for consumer, is_there in zip(self.consumers, prepared, strict=True):
                if is_there:
                    await consumer.start()
        except LeveretError:
            if connection.closed is None or not self.link.reconnects:
                raise
        return connection.closed is None

    async def _prepare(self, consumer: MethodConsumer, connection: Connection) -> bool:
        try:
            await consumer.prepare(connection)
        except ChannelClosed as error:
            if not is_down(error):
                raise
            self.link.restore(consumer)  # serves as soon as its node is back
            return False
        return True

    def _add(self, service: Service, method: MethodSpec) -> None:
        concurrency = self._concurrency or method.concurrency
        adaptive = None if self._concurrency else method.adaptive
        plain = [queue for queue, key in self._plain.items() if key == method.key]
        executor = Executor(service, method, concurrency, adaptive, shared=bool(plain))
        self.consumers.append(MethodConsumer(self, executor, self._middleware))
        for queue in plain:
            self.consumers.append(PlainConsumer(self, executor, self._middleware, queue))

    def deleted(self, consumer: MethodConsumer) -> None:
        """An operator deleted a request queue under us, or its node went down: declare it again."""
        log.warning("%s was deleted on the broker; declaring it again", consumer)
        task = self.loop.create_task(self._consume_again(consumer))
        self._healing.add(task)
        task.add_done_callback(self._healing.discard)

    async def _consume_again(self, consumer: MethodConsumer) -> None:
        try:
            await consumer.declare_beside()
            await consumer.start()
        except LeveretError as error:
            log.warning("%s is not restored yet: %s", consumer, error)
            consumer.channel.abandon()
            consumer.channel.end(error)

    def _given_up(self, given_up: asyncio.Future[None]) -> None:
        error = given_up.exception()
        if isinstance(error, LeveretError) and not self.failed.done():
            self.failed.set_exception(_lost(error))
            self.failed.exception()  # whoever waits gets it; nobody need

    # -- drain --------------------------------------------------------------------------------

    async def drain(self, grace: float = GRACE) -> None:
        """Take no more calls, end those that run, hand back the rest, confirm the replies.

        :param grace: seconds that running handlers get; after them they are cancelled. A call of
            an idempotent method is handed to another server then.
        """
        if self._drained is None:
            self._drained = self.loop.create_task(self._drain(grace))
        await asyncio.shield(self._drained)

    def hurry(self) -> None:
        """Cut the grace of a drain short: cancel what still runs, and wait no longer."""
        self._hurried.set()
        for running in self.running():
            running.consumer.stop(running, "drain")

    def running(self) -> list[Running]:
        """The calls whose handlers run now."""
        return [running for consumer in self.consumers for running in consumer.calls()]

    def asked(self, reply_to: str, call_ids: set[str]) -> None:
        """A client asks what became of its calls."""
        for consumer in self.consumers:
            consumer.asked(reply_to, call_ids)

    def _expire(self, running: Running) -> None:
        """A call's deadline has passed, or the time that its caller has to say that it waits."""
        if running.claimed:
            running.consumer.stop(running, "deadline")
        else:
            running.consumer.unclaimed(running)

    def go(self, key: CallKey) -> None:
        """A caller that was asked still waits."""
        for running in self.running():
            if running.key == key:
                running.consumer.claimed(running)
                return

    def control_key(self, spec: MethodSpec) -> str:
        """The routing key on the control exchange that reaches this very instance."""
        return f"{spec.service}.{self.instance}"

    def watch(self) -> None:
        """A call begins: see in a while whether it still runs."""
        if not self.watching:
            self.watching = True
            self._watchdog.watch()
            self._watch = self.loop.call_later(ANNOUNCE_AFTER, self._announce)

    def _announce(self) -> None:
        self.watching = False
        if self.running():
            older_than = self.loop.time() - ANNOUNCE_AFTER + 0.001
            for consumer in self.consumers:
                consumer.announce(older_than)
            self.watch()

    def cancel(self, key: CallKey, remember: float) -> None:
        """A caller waits no more. `remember`: for how many seconds its request may still come."""
        for running in self.running():
            if running.key == key:
                running.consumer.stop(running, "caller")
                return
        self.early_cancels.add(key, remember)

    async def _drain(self, grace: float) -> None:
        log.info("draining: %d calls run", len(self.running()))
        if self._healing:
            await asyncio.wait(self._healing, timeout=_LAST_WAIT)
        try:
            if not await self._while_heard(consumer.drain() for consumer in self.consumers):
                self.hurry()  # nobody can be answered, and the broker hands the calls to others
            await self._finish(grace)
            await self._while_heard(consumer.confirm() for consumer in self.consumers)
        finally:
            await self._stop()
        log.info("drained")

    @property
    def _hears(self) -> bool:
        """Whether the broker reads what is sent to it."""
        connection = self.link.connection
        return connection.closed is None and not connection.blocked

    async def _while_heard(self, steps: Iterable[Coroutine[Any, Any, None]]) -> bool:
        """Take a step for all consumers; False if the broker does not read, or stops to meanwhile.

        It can: our own words may be the publishes by which it notices that it is short of memory.
        One consumer whose channel broke does not stop the others.
        """
        tasks = [self.loop.create_task(step) for step in steps]

        def listen(_news: str) -> None:
            if not self._hears:
                for task in tasks:
                    task.cancel()

        news = self.link.connection.on_blocked
        news.append(listen)
        listen("")
        try:
            await self._answered(tasks)
            outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        finally:
            news.remove(listen)
        for outcome in outcomes:
            if isinstance(outcome, BaseException) and self._hears:
                log.error("the drain was cut short: %s", outcome)
        return self._hears

    async def _answered(self, tasks: list[asyncio.Task[None]]) -> None:
        """Wait for what needs the broker's answers; one that says nothing any more is given up."""
        connection = self.link.connection
        pending = set(tasks)
        while pending:
            reads = connection.reads
            _, pending = await asyncio.wait(pending, timeout=_SILENT)
            if pending and connection.reads == reads:
                connection.abort(f"nothing heard from the broker for {_SILENT:g} s")

    async def _finish(self, grace: float) -> None:
        finishing = asyncio.gather(*(consumer.finish() for consumer in self.consumers))
        hurried = self.loop.create_task(self._hurried.wait())
        try:
            await asyncio.wait(
                (finishing, hurried), timeout=grace, return_when=asyncio.FIRST_COMPLETED
            )
            if not finishing.done():
                if self.running():
                    log.warning("%d calls still run; cancelling them", len(self.running()))
                self.hurry()
                # A thread cannot be stopped, and a handler may refuse to be: neither holds us up.
                await asyncio.wait((finishing,), timeout=_LAST_WAIT)
                for running in self.running():
                    running.consumer.give_up(running)
        finally:
            finishing.cancel()
            hurried.cancel()
            await asyncio.wait((finishing, hurried))
            if not finishing.cancelled():
                finishing.exception()

    async def _stop(self) -> None:
        """Let go of everything, in whatever state."""
        self._watchdog.stop()
        self.deadlines.close()
        for task in tuple(self._healing):
            task.cancel()
        for consumer in self.consumers:
            await consumer.close()
        if self._watch is not None:
            self._watch.cancel()
        await self.control.close()
        self.link.closed.remove_done_callback(self._given_up)
        await self._lifespans.leave()


def _lost(error: LeveretError) -> LeveretError:
    """Why a server cannot go on: what the broker closed is lost, unless the user may not use it."""
    if isinstance(error, ChannelClosed) and error.reply_code == ReplyCode.ACCESS_REFUSED:
        return explained(error, "channel of a server")
    if not isinstance(error, AMQPError):
        return error
    lost = ConnectionLost(f"the broker ended the connection of this server: {error}")
    lost.__cause__ = error
    return lost
