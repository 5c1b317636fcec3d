"""Waits for another's record by looking again and again, ever more seldom."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Final

from leveret.once.store import Abandoned, Recorded, Taken

_FIRST_PAUSE: Final = 0.01
_LONGEST_PAUSE: Final = 0.25
_GROWTH: Final = 1.5

Found = Recorded | Taken | Abandoned | None
"""What a look finds; None where nobody claimed the key."""


async def poll(look: Callable[[], Awaitable[Found]], timeout: float) -> Recorded | None:
    """Look until there is a record, or until nobody runs it any more, or the time is over.

    A record is found at most 0.25 s late: a poll in 10 ms, then in longer and longer pauses, each
    with some jitter so that waiters do not all come at once.
    """
    if timeout <= 0:
        return _record(await look())
    pause = _FIRST_PAUSE
    try:
        async with asyncio.timeout(timeout):
            while isinstance(found := await look(), Taken):
                await asyncio.sleep(min(pause * random.uniform(0.5, 1), found.remaining + 0.001))
                pause = min(pause * _GROWTH, _LONGEST_PAUSE)
            return _record(found)
    except TimeoutError:
        return None


def _record(found: Found) -> Recorded | None:
    return found if isinstance(found, Recorded) else None
