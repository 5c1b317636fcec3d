"""A service, one of whose methods streams."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated

from leveret import Meta, Service, method


class Countdown(Service):
    def __init__(self) -> None:
        self._last: int | None = None

    @method
    async def down(
        self, start: Annotated[int, Meta(ge=1, le=100)], pause: float = 1.0
    ) -> AsyncIterator[int]:
        self._last = start
        for n in range(start, 0, -1):
            yield n
            await asyncio.sleep(pause)

    @method(idempotent=True)
    async def last(self) -> int:
        """From where the last countdown began."""
        if self._last is None:
            raise LookupError("there was none yet")
        return self._last
