"""The service whose calls are counted twice: by its handlers, and by all that tells of calls."""

from __future__ import annotations

import asyncio

from leveret import Service, method
from tests.faults.diary import Diary
from tests.faults.work import EXPIRES


class Counted(Service):
    """Handlers that note each of their runs; the first letter of a key says how it is to end."""

    def __init__(self, diary: Diary) -> None:
        self._diary = diary

    @method(idempotent=True, timeout=60, concurrency=1_000, expires=EXPIRES)
    async def work(self, key: str, seconds: float = 0.0) -> str:
        """Work for a while; keys that begin with "b" go wrong, those with "l" never end."""
        self._diary.write(key, "began")
        try:
            if key.startswith("l"):
                await asyncio.Event().wait()
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            self._diary.write(key, "broke off")
            raise
        self._diary.write(key, "ended")
        if key.startswith("b"):
            raise OSError(key)
        return key
