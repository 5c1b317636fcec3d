"""Publishes messages of a server that must be at the broker before the server does the next step.

Two kinds are. A copy of a request that nobody waits for: if it finds no place, nobody would hear of
it, so the server keeps the original until the broker has confirmed the copy. And the notice to a
caller whose request expires at once: its handler must not begin before the notice is in the reply
queue, in front of all that the broker says of the request should this server die.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, TypeAlias

from leveret.errors import LeveretError
from leveret.transport.confirmed import ConfirmedPublisher, OpensChannels, Outcome

_MOST: Final = 1_000
"""How many may wait for their confirms; the broker has none of the further ones."""

PublishConfirmed: TypeAlias = Callable[[bytes, str, Callable[[bool], None]], None]
"""Publishes a message, with its correlation id, and tells whether the broker has it."""


class ConfirmedMessages:
    """Publishes such messages of one server.

    :param connection: the current connection.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, connection: Callable[[], OpensChannels]
    ) -> None:
        self._loop = loop
        self._connection = connection
        self._publisher: ConfirmedPublisher | None = None
        self._opening = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()

    def __call__(self, frames: bytes, name: str, then: Callable[[bool], None], /) -> None:
        """Publish a message.

        :param frames: its frames, packed for any channel.
        :param name: its correlation id.
        :param then: is told whether the broker has it.
        """
        if len(self._tasks) >= _MOST:
            then(False)
            return
        task = self._loop.create_task(self._publish(frames, name, then))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def finished(self) -> None:
        """Wait until all are confirmed or refused."""
        while self._tasks:
            await asyncio.wait(tuple(self._tasks))

    async def close(self) -> None:
        """Stop publishing. Nobody is told any more."""
        for task in tuple(self._tasks):
            task.cancel()
        await self.finished()
        if self._publisher is not None:
            await self._publisher.close()

    async def _publish(self, frames: bytes, name: str, then: Callable[[bool], None]) -> None:
        taken = False
        try:
            publisher = await self._open_publisher()
            taken = await publisher.repeat(frames, name) is Outcome.TAKEN
        except LeveretError:
            pass  # the broker may have it all the same: whoever gets the original runs it as well
        then(taken)

    async def _open_publisher(self) -> ConfirmedPublisher:
        """:raises LeveretError: if no channel can be opened."""
        async with self._opening:
            if self._publisher is None or not self._publisher.is_open:
                self._publisher = await ConfirmedPublisher.open(self._connection())
            return self._publisher
