"""Restores exchanges, and bindings of a server's queues, that an operator deletes.

The broker does not tell a server that an exchange or a binding is gone; its queues just stay empty.
So the server checks every `CHECKED_EVERY` seconds whether both exchanges exist, and binds its
queues again, which changes nothing if they are bound. A client whose request did not reach an
existing queue asks for that at once (`bind`, docs/protocol.md, section Control).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from itertools import cycle, islice
from typing import Final, Protocol

from leveret.errors import LeveretError
from leveret.transport.channel import Channel
from leveret.transport.connection import Connection
from leveret.transport.link import Link

log = logging.getLogger("leveret.server")

CHECKED_EVERY: Final = 3.0
"""Seconds between two checks."""
_AT_A_TIME: Final = 10
"""How many queues one check binds; the next checks bind the others. A broker that replicates its
bindings has some work with each."""
_ASKED_EVERY: Final = 1.0
"""Seconds between two checks that clients ask for."""


class Bound(Protocol):
    """A queue of the server, which has bindings."""

    async def bind(self, channel: Channel) -> None:
        """Bind the queue, which exists.

        :raises LeveretError: if it cannot be bound.
        """


class TopologyCheck:
    """Checks the exchanges and the bindings of one server, from time to time and when asked.

    :param restore: declares the exchanges that are missing.
    :param queues: the queues to be bound, of which the first is bound at each check.
    """

    def __init__(
        self,
        link: Link,
        *,
        restore: Callable[[Connection], Awaitable[None]],
        queues: Callable[[], Sequence[Bound]],
    ) -> None:
        self._link = link
        self._restore = restore
        self._queues = queues
        self._asked = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._said = ""

    def start(self) -> None:
        """Check from now on."""
        self._task = self._link.loop.create_task(self._run())

    def ask(self) -> None:
        """Check soon, and bind all queues, as a client found one that is not bound."""
        if not self._asked.is_set():
            log.warning(
                "a client found that its requests do not reach their queue; binding all again"
            )
            self._asked.set()

    async def close(self) -> None:
        """Stop checking."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait((self._task,))

    async def _run(self) -> None:
        first, *others = self._queues()
        turns = cycle(others)
        while True:
            try:
                async with asyncio.timeout(CHECKED_EVERY):
                    await self._asked.wait()
            except TimeoutError:
                pass
            some = len(others) if self._asked.is_set() else min(len(others), _AT_A_TIME)
            await self._check((first, *islice(turns, some)))
            if self._asked.is_set():
                await asyncio.sleep(_ASKED_EVERY)
                self._asked.clear()

    async def _check(self, queues: Sequence[Bound]) -> None:
        connection = self._link.connection
        if connection.closed is not None or connection.blocked:
            return  # the next connection begins with all of this, and a blocked one answers nothing
        try:
            await self._restore(connection)
            await self._bind(connection, queues)
        except LeveretError as error:
            if str(error) != self._said:
                self._said = str(error)
                log.warning("the server's exchanges and bindings cannot be restored: %s", error)
        else:
            self._said = ""

    async def _bind(self, connection: Connection, queues: Sequence[Bound]) -> None:
        channel: Channel | None = None
        try:
            for queue in queues:
                if channel is None or channel.closed is not None:
                    channel = await connection.open_channel()
                try:
                    await queue.bind(channel)
                except LeveretError as error:
                    # The queue is missing, mostly. Who consumes from it is told, and restores it.
                    log.debug("%s is not bound now: %s", queue, error)
        finally:
            if channel is not None:
                channel.abandon()
