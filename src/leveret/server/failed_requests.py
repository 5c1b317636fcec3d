"""Keeps the one-way requests of a server that failed, in the queues of `@method(keep_failed=True)`.

A request is acknowledged only once the broker has confirmed its copy in that queue. Until then the
server tries again, with growing pauses, and holds the request. If the request's channel ends, the
broker has the request back, and the next server handles it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Final, Protocol

from leveret.amqp.properties import Properties
from leveret.backoff import Backoff
from leveret.contract import MethodSpec
from leveret.errors import CallError, LeveretError
from leveret.server.calls.life import ServerCall
from leveret.server.calls.way_back import Settle, WayBack
from leveret.transport.channel import Channel
from leveret.transport.confirmed import ConfirmedPublisher, Outcome
from leveret.wire.log_fields import fields_of, shown
from leveret.wire.native.failed import declare_failed_queue, failed_properties, failure_of

log = logging.getLogger("leveret.server")

_PAUSES: Final = Backoff(first=0.05, most=2.0)
"""The pauses, in seconds, between two attempts to keep a failed request."""
_SAID_AFTER: Final = 3
"""Attempts after which the log says that a failed request cannot be kept."""
_FRAME: Final = 64
"""Bytes of a header frame in addition to the properties, with some to spare."""


class OpensChannels(Protocol):
    """What this file needs of a connection."""

    frame_max: int
    """The largest frame in bytes that the broker takes; 0 for no limit."""

    async def open_channel(self) -> Channel:
        """Open a channel."""
        ...


class FailedRequests:
    """Moves failed requests into their queues.

    :param connection: the current connection.
    :param instance: the server's name for itself.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        connection: Callable[[], OpensChannels],
        *,
        instance: str,
    ) -> None:
        self._loop = loop
        self._connection = connection
        self._instance = instance
        self._publisher: ConfirmedPublisher | None = None
        self._opening = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()

    def keep(self, spec: MethodSpec, call: ServerCall, error: CallError, key: str) -> None:
        """Move the request of a call into the queue of failed ones, and then acknowledge it.

        :param key: its idempotency key, "" if it has none.
        """
        answers, tag, request = call.source.answers, call.tag, call.incoming
        failure = failure_of(
            error,
            request,
            at=time.time_ns() // 1_000_000,
            instance=self._instance,
            key=key,
        )
        frame_max = self._connection().frame_max
        properties = failed_properties(
            request,
            failure,
            user=call.user,
            own_user=answers.own_user,
            room=frame_max - _FRAME if frame_max else 1 << 62,
        )
        task = self._loop.create_task(
            self._keep(spec, call, answers, tag, properties, request.body or b"")
        )
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def kept(self) -> None:
        """Wait until all failed requests are kept."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def close(self) -> None:
        """Stop keeping requests: the broker has back those that are not kept yet."""
        for task in self._tasks:
            task.cancel()
        await self.kept()
        if self._publisher is not None:
            await self._publisher.close()

    async def _keep(
        self,
        spec: MethodSpec,
        call: ServerCall,
        answers: WayBack[ServerCall],
        tag: int,
        properties: Properties,
        body: bytes,
    ) -> None:
        attempt = 0
        while answers.is_open:
            attempt += 1
            try:
                publisher = await self._open_publisher()
                outcome = await publisher.publish("", spec.failed_queue_name, properties, body)
                if outcome is Outcome.TAKEN:
                    answers.settle(tag, Settle.ACK)
                    return
                why = f"its queue refuses it ({outcome.value})"
                if outcome is Outcome.UNROUTED:
                    why = "its queue was not there"
                    await self._declare(spec)
            except LeveretError as error:
                why = str(error)
            if attempt == _SAID_AFTER:
                log.error(
                    "%s: its failed request cannot be kept in %s: %s; trying on",
                    *(shown(call), spec.failed_queue_name, why),
                    extra=fields_of(call),
                )
            if attempt > 1:
                await asyncio.sleep(_PAUSES.pause(attempt - 1))

    async def _open_publisher(self) -> ConfirmedPublisher:
        """:raises LeveretError: if no channel can be opened."""
        async with self._opening:
            if self._publisher is None or not self._publisher.is_open:
                self._publisher = await ConfirmedPublisher.open(self._connection())
            return self._publisher

    async def _declare(self, spec: MethodSpec) -> None:
        """:raises LeveretError: if the queue cannot be declared."""
        channel = await self._connection().open_channel()
        try:
            await declare_failed_queue(channel, spec)
        finally:
            channel.abandon()
