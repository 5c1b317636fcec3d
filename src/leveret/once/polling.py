"""Waits for another owner's record by polling, with pauses that grow."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from itertools import count
from typing import Final

from leveret.backoff import Backoff
from leveret.once.store import Abandoned, Recorded, Taken

_PAUSES: Final = Backoff(first=0.01, most=0.25, growth=1.5, jitter=0.5)
"""Between two looks, in seconds."""

Found = Recorded | Taken | Abandoned | None
"""What a look finds; None where nobody claimed the key."""


async def poll(look: Callable[[], Awaitable[Found]], timeout: float) -> Recorded | None:
    """Look for a record until there is one, nobody runs the call any more, or the time is over.

    A record is found at most 0.25 s late. The pauses grow from 10 ms, with some jitter, so that
    waiters do not all come at once.
    """
    if timeout <= 0:
        return _record(await look())
    try:
        async with asyncio.timeout(timeout):
            for attempt in count(1):
                found = await look()
                if not isinstance(found, Taken):
                    return _record(found)
                await asyncio.sleep(min(_PAUSES.pause(attempt), found.remaining + 0.001))
    except TimeoutError:
        pass
    return None


def _record(found: Found) -> Recorded | None:
    return found if isinstance(found, Recorded) else None
