"""Another prefetch for the consumers of one method, whenever `slots.py` says that it is wanted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol


class Consumes(Protocol):
    """A queue of the method, as far as its prefetch goes."""

    @property
    def changing(self) -> bool:
        """Whether another prefetch is being asked for."""
        ...

    @property
    def is_open(self) -> bool:
        """Whether requests come in."""
        ...

    async def change_prefetch(self, prefetch: int) -> None:
        """Have another prefetch."""


class Prefetch:
    """The prefetch of all queues of one method.

    :param changed: the prefetch that they are to have instead; None if it is to stay as it is.
    :param varies: whether it ever has to change.
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
        """Whether it ever has to change. Else `adjust` need not be called."""
        self.queues: list[Consumes] = []
        """The queues."""
        self._loop = loop
        self._changed = changed
        self._clock = clock
        self._changing: set[asyncio.Task[None]] = set()

    def adjust(self) -> None:
        """Have another prefetch where this one is too low, or far too high."""
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
