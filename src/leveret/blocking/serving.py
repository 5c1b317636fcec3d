"""`Serving`: services that a connection without asyncio serves."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Self

__all__ = ["Serving"]


class Serving:
    """Services that are served; `close`, or the end of a `with` block, drains them."""

    def __init__(self, close: Callable[[], None]) -> None:
        self._close = close

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Take no more calls, finish those that run, and leave the services. Twice is fine."""
        self._close()
