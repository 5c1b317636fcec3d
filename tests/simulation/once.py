"""The store of idempotency keys that simulated servers share, across a network that may fail."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Final, Self

from leveret.once import Abandoned, MemoryOnce, OnceUnavailable, Outcome, Recorded, Taken

_LATENCY: Final = 0.001
"""Seconds that a question and its answer take at most, each."""
_LOOK: Final = 0.05
"""Seconds between two looks for a record that is waited for."""


class SharedRecords:
    """The store's own process.

    :param clock: its clock.
    """

    def __init__(self, clock: Callable[[], float], dice: random.Random) -> None:
        self.records = MemoryOnce(max_entries=100_000, clock=clock)
        self._clock = clock
        self.away = False
        """Whether it answers nobody."""
        self.dice = dice

    def look(self, key: str) -> Recorded | Taken | Abandoned | None:
        """What is known of a key, as a store that lasts says it."""
        records, now = self.records, self._clock()
        done = records._record(key, now)
        if done is not None:
            return done.recorded
        claim = records._claim(key, now)
        if claim is None:
            return None
        left = claim.lease_until - now
        return (
            Taken(owner=claim.owner, remaining=left) if left > 0 else Abandoned(owner=claim.owner)
        )


class SimulatedOnce:
    """One server's access to the shared records."""

    shared = True

    def __init__(self, store: SharedRecords) -> None:
        self._store = store

    async def _travel(self) -> None:
        await asyncio.sleep(_LATENCY * self._store.dice.random())
        if self._store.away:
            raise OnceUnavailable.because("simulated", "it does not answer")

    async def begin(
        self, key: str, *, owner: str, lease: float, keep: float, takeover: bool = False
    ) -> Outcome:
        await self._travel()
        outcome = await self._store.records.begin(
            key, owner=owner, lease=lease, keep=keep, takeover=takeover
        )
        await self._travel()
        return outcome

    async def finish(self, key: str, *, owner: str, recorded: Recorded, keep: float) -> bool:
        await self._travel()
        done = await self._store.records.finish(key, owner=owner, recorded=recorded, keep=keep)
        await self._travel()
        return done

    async def release(self, key: str, *, owner: str) -> None:
        await self._travel()
        await self._store.records.release(key, owner=owner)
        await self._travel()

    async def look(self, key: str) -> Recorded | Taken | Abandoned | None:
        await self._travel()
        found = self._store.look(key)
        await self._travel()
        return found

    async def wait(self, key: str, timeout: float) -> Recorded | None:
        loop = asyncio.get_running_loop()
        end = loop.time() + timeout
        while True:
            await self._travel()
            record = await self._store.records.wait(key, 0)
            if record is not None or loop.time() >= end:
                return record
            await asyncio.sleep(min(_LOOK, max(0.0, end - loop.time())))

    async def close(self) -> None:
        """Nothing is open."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
