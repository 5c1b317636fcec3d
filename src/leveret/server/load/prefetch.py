"""Changes the prefetch of one method's consumers, whenever `slots.py` says so."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol


class Consumes(Protocol):
    """What this file needs of a queue of the method."""

    @property
    def changing(self) -> bool:
        """Whether its prefetch is being changed."""
        ...

    @property
    def is_open(self) -> bool:
        """Whether requests come in."""
        ...

    async def change_prefetch(self, prefetch: int) -> None:
        """Change the prefetch."""


class Prefetch:
    """The prefetch of all queues of one method.

    :param changed: gives the prefetch that they must have instead; None if it stays as it is.
    :param varies: whether it ever changes.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        changed: Callable[[float], int | None],
        clock: Callable[[], float],
        *,
        varies: bool,
    ) -> None:
        self.varies = varies
        """Whether it ever changes. If not, `adjust` need not be called."""
        self.queues: list[Consumes] = []
        """The queues."""
        self._loop = loop
        self._changed = changed
        self._clock = clock
        self._changing: set[asyncio.Task[None]] = set()

    def adjust(self) -> None:
        """Change the prefetch if it is too low, or far too high."""
        if any(queue.changing for queue in self.queues):
            return
        prefetch = self._changed(self._clock())
        if prefetch is not None:
            for queue in self.queues:
                if queue.is_open:
                    task = self._loop.create_task(queue.change_prefetch(prefetch))
                    self._changing.add(task)
                    task.add_done_callback(self._changing.discard)

    async def settled(self) -> None:
        """Return when nothing is being changed any more."""
        if self._changing:
            await asyncio.wait(tuple(self._changing))
