"""A service with a request that kills each of its servers."""

from __future__ import annotations

import os
import signal

from leveret import Service, method
from tests.faults.diary import Diary
from tests.faults.work import EXPIRES


class Poison(Service):
    """Handlers that kill their process, as one that runs out of memory is killed."""

    def __init__(self, diary: Diary) -> None:
        self._diary = diary

    @method(timeout=20, idempotent=True, expires=EXPIRES)
    async def again(self, key: str) -> None:
        self._die(key)

    @method(timeout=20, expires=EXPIRES)
    async def once(self, key: str) -> None:
        self._die(key)

    def _die(self, key: str) -> None:
        self._diary.write(key, "began")
        os.kill(os.getpid(), signal.SIGKILL)
