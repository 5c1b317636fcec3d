"""Publishes requests again that nobody waits for, and acknowledges the originals.

If a copy finds no place, the broker tells the client, which sends its request once more. Nobody
would hear of the copy of a one-way request or of a started call. So the server keeps the original
until the broker has confirmed the copy.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from leveret.errors import LeveretError
from leveret.transport.confirmed import ConfirmedPublisher, OpensChannels, Outcome

_MOST: Final = 1_000
"""How many may wait for their confirms; further ones are handed back uncounted."""


class PutBack:
    """Publishes requests of one server again.

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
        """Publish a copy.

        :param frames: the copy, mandatory, packed for any channel.
        :param name: its correlation id.
        :param then: is told whether the broker has it.
        """
        if len(self._tasks) >= _MOST:
            then(False)
            return
        task = self._loop.create_task(self._put_back(frames, name, then))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def finished(self) -> None:
        """Wait until all copies are confirmed or refused."""
        while self._tasks:
            await asyncio.wait(tuple(self._tasks))

    async def close(self) -> None:
        """Stop publishing: the broker has the originals back."""
        for task in tuple(self._tasks):
            task.cancel()
        await self.finished()
        if self._publisher is not None:
            await self._publisher.close()

    async def _put_back(self, frames: bytes, name: str, then: Callable[[bool], None]) -> None:
        taken = False
        try:
            publisher = await self._open_publisher()
            taken = await publisher.repeat(frames, name) is Outcome.TAKEN
        except LeveretError:
            pass  # the broker may have the copy: whoever gets the original runs it as well
        then(taken)

    async def _open_publisher(self) -> ConfirmedPublisher:
        """:raises LeveretError: if no channel can be opened."""
        async with self._opening:
            if self._publisher is None or not self._publisher.is_open:
                self._publisher = await ConfirmedPublisher.open(self._connection())
            return self._publisher
