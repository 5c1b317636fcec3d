"""An answer that several browsers want at about the same time: asked for once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

__all__ = ["Recent"]

T = TypeVar("T")


class Recent(Generic[T]):
    """Asks where the last answer is older than some seconds.

    :param ask: gives a new answer.
    """

    def __init__(self, ask: Callable[[], Awaitable[T]], *, seconds: float = 1.0) -> None:
        self._ask = ask
        self._seconds = seconds
        self._kept: tuple[float, T] | None = None
        self._turn = asyncio.Lock()

    async def get(self) -> T:
        """The answer; raises what `ask` raises."""
        clock = asyncio.get_running_loop().time
        async with self._turn:
            if self._kept is None or clock() - self._kept[0] > self._seconds:
                self._kept = None
                answer = await self._ask()
                self._kept = clock(), answer
            return self._kept[1]

    def forget(self) -> None:
        """Have the next one ask again."""
        self._kept = None
