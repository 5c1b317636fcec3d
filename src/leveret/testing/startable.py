"""Something that a test starts and closes, by `with` or by `async with`."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self


class Startable(ABC):
    """Entering starts it, leaving closes it. `async with` does both in a thread."""

    @abstractmethod
    def start(self) -> Self:
        """Start it, and wait until it is ready."""

    @abstractmethod
    def close(self) -> None:
        """Stop it. Twice is fine."""

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return await asyncio.to_thread(self.start)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await asyncio.to_thread(self.close)
