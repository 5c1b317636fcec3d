"""The queues that a server takes requests from: declared, consumed, and restored when they break.

`subscription.py` is one of them. This file has what concerns all of them: it prepares them at the
same time, declares a queue again that an operator deleted, and reports how each of them stands.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Protocol

from leveret.errors import ChannelClosed, LeveretError
from leveret.server.calls.life import ServerCall, State
from leveret.server.status import QueueStatus
from leveret.server.subscription import Subscription
from leveret.transport.connection import Connection
from leveret.transport.link import Member
from leveret.wire.channel_errors import is_down, is_missing_exchange

__all__ = ["Queues"]

log = logging.getLogger("leveret.server")


class Slots(Protocol):
    """How many calls of a method may run at a time."""

    @property
    def limit(self) -> int:
        """How many calls may run at a time."""
        ...

    @property
    def adapts(self) -> bool:
        """Whether that number follows the load."""
        ...


class Method(Protocol):
    """What this file needs of what serves a method."""

    @property
    def draining(self) -> bool:
        """Whether it takes no more requests."""
        ...

    @property
    def calls(self) -> Collection[ServerCall]:
        """The calls that are here."""
        ...

    @property
    def slots(self) -> Slots:
        """The places for its calls."""
        ...


class Queues:
    """The queues of one server.

    :param methods: what serves each method, by "service.method".
    :param restore: has the link attach a queue, as soon as that is possible.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        methods: Mapping[str, Method],
        *,
        restore: Callable[[Member], None],
    ) -> None:
        self.subscriptions: list[Subscription] = []
        """The queues, in the order of the methods."""
        self.declaring: set[asyncio.Task[None]] = set()
        """The tasks that declare a queue again at this moment."""
        self._loop = loop
        self._methods = methods
        self._restore = restore

    # -- they are attached, and break -------------------------------------------------------------

    async def prepare(self, connection: Connection) -> list[Subscription]:
        """Open the channels of all queues, and declare the queues.

        :returns: those that are there. A queue whose node is down serves as soon as that is back.
        :raises LeveretError: why that is not possible.
        """
        prepared = await asyncio.gather(
            *(self._prepare(queue, connection) for queue in self.subscriptions),
            return_exceptions=True,
        )
        there = []
        for queue, outcome in zip(self.subscriptions, prepared, strict=True):
            if isinstance(outcome, BaseException):
                raise outcome
            if outcome:
                there.append(queue)
        return there

    async def _prepare(self, queue: Subscription, connection: Connection) -> bool:
        try:
            await queue.prepare(connection)
        except ChannelClosed as error:
            if not is_down(error):
                raise
            self._restore(queue)
            return False
        return True

    def channel_ended(self, queue: Subscription) -> None:
        """The channel of a queue has ended: attach it again, unless its method drains."""
        if not self._methods[queue.spec.key].draining:
            self._restore(queue)

    def deleted(self, queue: Subscription) -> None:
        """An operator deleted a queue that is consumed, or its node went down."""
        log.warning("%s was deleted on the broker; declaring it again", queue)
        task = self._loop.create_task(self._consume_again(queue))
        self.declaring.add(task)
        task.add_done_callback(self.declaring.discard)

    async def _consume_again(self, queue: Subscription) -> None:
        try:
            try:
                await queue.declare_again()
            except ChannelClosed as error:
                if not is_missing_exchange(error):
                    raise
                await queue.declare_again()  # its exchange was deleted as well, and is back now
            await queue.start()
        except LeveretError as error:
            log.warning("%s is not restored yet: %s", queue, error)
            queue.abandon(error)

    def declare_no_more(self) -> None:
        """The server stops: leave what was deleted as it is."""
        for task in tuple(self.declaring):
            task.cancel()

    # -- how they stand ---------------------------------------------------------------------------

    def statuses(self) -> Iterator[QueueStatus]:
        """How each queue stands, with its counters."""
        for queue in self.subscriptions:
            method = self._methods[queue.spec.key]
            sources = [source for source in (queue.source, queue.beside) if source is not None]
            # A copy, made in one step: a thread that collects metrics may look as well.
            calls = [call for call in tuple(method.calls) if call.source in sources]
            waiting = sum(call.state is State.WAITING for call in calls)
            yield QueueStatus(
                queue=queue.queue,
                method=queue.spec.key,
                finished=sum(source.finished for source in sources),
                failed=sum(source.failed for source in sources),
                running=len(calls) - waiting,
                waiting=waiting,
                concurrency=method.slots.limit,
                adapts=method.slots.adapts,
                counters=queue.counters,
            )

    def find(self, name: str) -> Subscription | None:
        """The queue of this name; None if it is another's."""
        return next((queue for queue in self.subscriptions if queue.queue == name), None)

    def without_consumer(self) -> list[str]:
        """The sorted names of the queues that the server does not consume now."""
        return sorted(queue.queue for queue in self.subscriptions if not queue.consumes)
