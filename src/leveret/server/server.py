"""A server: its services from their first call to their last."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Coroutine, Iterable, Mapping
from typing import Any, Final

from leveret.amqp.codes import ReplyCode
from leveret.contract import MethodSpec, Service
from leveret.errors import AMQPError, ChannelClosed, ConnectionLost, LeveretError
from leveret.server.consumer import MethodConsumer
from leveret.server.control import Control
from leveret.server.execution import Executor, Middleware
from leveret.server.lifespans import Lifespans
from leveret.server.plain import PlainConsumer
from leveret.server.running import CallKey, EarlyCancels, Running
from leveret.server.servable import check_concurrency, check_plain, read_services
from leveret.transport.channel import Channel
from leveret.transport.connection import Connection
from leveret.transport.deadlines import Deadlines
from leveret.wire.topology import declare_exchanges, explained

log = logging.getLogger("leveret.server")

GRACE: Final = 30.0
"""Seconds that running calls get to end when a server drains."""
ANNOUNCE_AFTER: Final = 0.25
"""Seconds after which a caller is told that its handler runs."""
_LAST_WAIT: Final = 1.0
"""Seconds that handlers get to end once they are cancelled."""


class Server:
    """Serves some services over one connection; `rabbit.serve` and `rabbit.serving` make one.

    :param plain: queue names to "service.method": methods that are served by the tutorial's
        protocol as well, with text bodies.
    """

    def __init__(
        self,
        connection: Connection,
        services: tuple[Service, ...],
        *,
        name: str,
        max_message_size: int,
        middleware: tuple[Middleware, ...] = (),
        concurrency: int | None = None,
        send_tracebacks: bool = False,
        plain: Mapping[str, str] | None = None,
    ) -> None:
        self.loop = connection.loop
        self.name = name
        self.instance = secrets.token_hex(4)
        self.services = read_services(services)
        self.max_message_size = max_message_size
        self.send_tracebacks = send_tracebacks
        self.early_cancels = EarlyCancels()
        self.deadlines = Deadlines(self.loop)
        self.consumers: list[MethodConsumer] = []
        self.failed: asyncio.Future[None] = self.loop.create_future()
        """Ends with an error when the server cannot go on: its connection or a channel is lost."""
        self._connection = connection
        self._instances = services
        self._middleware = middleware
        self._concurrency = concurrency
        self._plain = dict(plain or {})
        check_concurrency(concurrency)
        check_plain(self._plain, self.services)
        self._lifespans = Lifespans()
        self._control_channel: Channel | None = None
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
        self._connection.on_lost.append(self._fail)
        try:
            await declare_exchanges(self._connection)
            await self._lifespans.enter(self._instances)
            for service, spec in zip(self._instances, self.services, strict=True):
                for method in spec.methods.values():
                    await self._add(service, method)
            self._control_channel = await self._open_channel()
            await Control(self, self._control_channel).start()
            for consumer in self.consumers:
                await consumer.start()
        except BaseException:
            await self._stop()
            raise
        log.info(
            "serving %s as instance %s", ", ".join(s.name for s in self.services), self.instance
        )

    async def _add(self, service: Service, method: MethodSpec) -> None:
        concurrency = self._concurrency or method.concurrency
        executor = Executor(service, method, concurrency)
        await self._own(
            MethodConsumer(self, executor, await self._open_channel(), self._middleware)
        )
        for queue, key in self._plain.items():
            if key == method.key:
                channel = await self._open_channel()
                await self._own(PlainConsumer(self, executor, channel, self._middleware, queue))

    async def _open_channel(self) -> Channel:
        channel = await self._connection.open_channel()
        channel.on_close = self._fail
        return channel

    async def _own(self, consumer: MethodConsumer) -> None:
        self.consumers.append(consumer)
        await consumer.declare()
        consumer.channel.on_cancel = lambda _tag: self._deleted(consumer)
        consumer.channel.on_close = lambda error: self._broken(consumer, error)

    def _broken(self, consumer: MethodConsumer, error: LeveretError) -> None:
        consumer.detach()
        self._fail(error)

    def _deleted(self, consumer: MethodConsumer) -> None:
        """An operator deleted a request queue under us: declare it again."""
        log.warning("the queue %s was deleted on the broker; declaring it again", consumer.queue)
        task = self.loop.create_task(self._consume_again(consumer))
        self._healing.add(task)
        task.add_done_callback(self._healing.discard)

    async def _consume_again(self, consumer: MethodConsumer) -> None:
        try:
            await consumer.declare()
            await consumer.start()
        except LeveretError as error:
            self._fail(error)

    def _fail(self, error: LeveretError) -> None:
        if not self.failed.done():
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
        return [running for consumer in self.consumers for running in consumer.running.values()]

    def go(self, key: CallKey) -> None:
        """A caller that was asked still waits."""
        for consumer in self.consumers:
            for running in consumer.running.values():
                if running.key == key:
                    consumer.claimed(running)
                    return

    def control_key(self, spec: MethodSpec) -> str:
        """The routing key on the control exchange that reaches this very instance."""
        return f"{spec.service}.{self.instance}"

    def watch(self) -> None:
        """A call begins: see in a while whether it still runs."""
        if not self.watching:
            self.watching = True
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
        for consumer in self.consumers:
            for running in consumer.running.values():
                if running.key == key:
                    consumer.stop(running, "caller")
                    return
        self.early_cancels.add(key, remember)

    async def _drain(self, grace: float) -> None:
        log.info("draining: %d calls run", len(self.running()))
        try:
            if self._hears:
                await self._each(consumer.drain() for consumer in self.consumers)
            else:
                self.hurry()  # nobody can be answered, and the broker hands the calls to others
            await self._finish(grace)
            if self._hears:
                await self._each(consumer.confirm() for consumer in self.consumers)
        finally:
            await self._stop()
        log.info("drained")

    @property
    def _hears(self) -> bool:
        """Whether the broker reads what is sent to it."""
        return self._connection.lost is None and not self._connection.blocked

    async def _each(self, steps: Iterable[Coroutine[Any, Any, None]]) -> None:
        """Take a step for all consumers; one whose channel broke does not stop the others."""
        for outcome in await asyncio.gather(*steps, return_exceptions=True):
            if isinstance(outcome, BaseException):
                log.error("the drain was cut short: %s", outcome)

    async def _finish(self, grace: float) -> None:
        finishing = asyncio.gather(*(consumer.finish() for consumer in self.consumers))
        hurried = self.loop.create_task(self._hurried.wait())
        try:
            await asyncio.wait(
                (finishing, hurried), timeout=grace, return_when=asyncio.FIRST_COMPLETED
            )
            if not finishing.done():
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
        self.deadlines.close()
        for task in tuple(self._healing):
            task.cancel()
        for consumer in self.consumers:
            consumer.executor.close()
            consumer.detach()
            consumer.channel.on_close = None
            await consumer.channel.close()
        if self._watch is not None:
            self._watch.cancel()
        if self._control_channel is not None:
            self._control_channel.on_close = None
            await self._control_channel.close()
        if self._fail in self._connection.on_lost:
            self._connection.on_lost.remove(self._fail)
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
