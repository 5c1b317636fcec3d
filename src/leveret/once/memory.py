"""Replies in the memory of one process: no other server sees them, and they end with it."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Final, NamedTuple, Self

from leveret.errors import Busy
from leveret.once.limits import MAX_BODY, check_owner, check_seconds, fitted, key_bytes, size_of
from leveret.once.store import Abandoned, Begun, Outcome, Recorded, Taken

__all__ = ["MemoryOnce"]

log = logging.getLogger("leveret.once")

_BEGUN: Final = Begun()


class _Claim:
    """A key that an owner runs, or began and never finished."""

    __slots__ = ("ended", "forget_at", "lease_until", "owner")

    def __init__(self, owner: str, lease_until: float, forget_at: float) -> None:
        self.owner = owner
        self.lease_until = lease_until
        self.forget_at = forget_at
        self.ended: asyncio.Event | None = None
        """Made by the first who waits."""


class _Done(NamedTuple):
    """A key with its record."""

    owner: str
    recorded: Recorded
    forget_at: float
    size: int


class MemoryOnce:
    """A `OnceStore` in memory, and bounded: what finished first is dropped first.

    A server that starts anew has forgotten everything, and each server remembers only what it ran
    itself; `shared` is False. Claims are never dropped before they lapse: where there are only
    claims left, `begin` raises `Busy`.

    :param max_entries: claims and records together.
    :param max_bytes: bytes of all records' bodies, metadata and keys.
    :param max_body: bytes of a body above which only its size is recorded.
    :param clock: seconds that only grow.
    """

    def __init__(
        self,
        max_entries: int = 10_000,
        max_bytes: int = 64 * 1024 * 1024,
        *,
        max_body: int = MAX_BODY,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.dropped = 0
        """How many records had to go before their time; each can be run once more."""
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._max_body = max_body
        self._clock = clock
        self._claims: dict[str, _Claim] = {}
        self._done: dict[str, _Done] = {}
        """By the order in which they finished."""
        self._bytes = 0
        self._next_lapse = math.inf
        """No claim lapses before: looking through all of them at every call would be slow."""

    @property
    def shared(self) -> bool:
        """No: each process has its own."""
        return False

    async def begin(
        self, key: str, *, owner: str, lease: float, keep: float, takeover: bool = False
    ) -> Outcome:
        """Claim a key, or say what is known of it; see `OnceStore.begin`.

        :raises Busy: there are `max_entries` claims.
        """
        key_bytes(key)
        check_owner(owner)
        check_seconds(lease=lease, keep=keep)
        now = self._clock()
        if (done := self._record(key, now)) is not None:
            return done.recorded
        claim = self._claim(key, now)
        if claim is None:
            self._make_room(now)
            claim = self._claims[key] = _Claim(owner, 0.0, 0.0)
        elif claim.owner != owner:
            if claim.lease_until > now:
                return Taken(owner=claim.owner, remaining=claim.lease_until - now)
            if not takeover:
                return Abandoned(owner=claim.owner)
            claim.owner = owner
        claim.lease_until = now + lease
        claim.forget_at = now + lease + keep
        self._next_lapse = min(self._next_lapse, claim.forget_at)
        return _BEGUN

    async def finish(self, key: str, *, owner: str, recorded: Recorded, keep: float) -> bool:
        """Record the reply of a request that ran; see `OnceStore.finish`."""
        length = len(key_bytes(key))
        check_owner(owner)
        check_seconds(keep=keep)
        recorded = replace(
            fitted(recorded, min(self._max_body, self._max_bytes - length)), owner=owner
        )
        now = self._clock()
        if (done := self._record(key, now)) is not None:
            return done.owner == owner
        claim = self._claim(key, now)
        if claim is None or claim.owner != owner:
            return False
        self._end(key)
        size = size_of(recorded) + length
        self._drop_past(now)
        while self._done and self._bytes + size > self._max_bytes:
            self._drop_oldest()
        self._done[key] = _Done(owner, recorded, now + keep, size)
        self._bytes += size
        return True

    async def release(self, key: str, *, owner: str) -> None:
        """Forget this owner's claim; see `OnceStore.release`."""
        key_bytes(key)
        check_owner(owner)
        claim = self._claims.get(key)
        if claim is not None and claim.owner == owner:
            self._end(key)

    async def wait(self, key: str, timeout: float) -> Recorded | None:
        """Wait for the record of a request that another task runs; see `OnceStore.wait`."""
        key_bytes(key)
        loop = asyncio.get_running_loop()
        give_up = loop.time() + timeout
        while True:
            now = self._clock()
            if (done := self._record(key, now)) is not None:
                return done.recorded
            claim = self._claim(key, now)
            left = give_up - loop.time()
            if claim is None or claim.lease_until <= now or left <= 0:
                return None
            claim.ended = claim.ended or asyncio.Event()
            try:
                async with asyncio.timeout(min(left, claim.lease_until - now)):
                    await claim.ended.wait()
            except TimeoutError:
                pass  # the next look says which of the two it was

    async def close(self) -> None:
        """Forget everything."""
        for key in list(self._claims):
            self._end(key)
        self._done.clear()
        self._bytes = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    # -- what is known of a key ---------------------------------------------------------------

    def _record(self, key: str, now: float) -> _Done | None:
        done = self._done.get(key)
        if done is not None and done.forget_at <= now:
            self._drop(key)
            return None
        return done

    def _claim(self, key: str, now: float) -> _Claim | None:
        claim = self._claims.get(key)
        if claim is not None and claim.forget_at <= now:
            self._end(key)
            return None
        return claim

    # -- what goes ----------------------------------------------------------------------------

    def _end(self, key: str) -> None:
        """Remove a claim, and wake the tasks that wait for its end."""
        claim = self._claims.pop(key)
        if claim.ended is not None:
            claim.ended.set()

    def _drop(self, key: str) -> None:
        self._bytes -= self._done.pop(key).size

    def _drop_past(self, now: float) -> None:
        """Drop the oldest records whose time is over."""
        while self._done:
            key, done = next(iter(self._done.items()))
            if done.forget_at > now:
                return
            self._drop(key)

    def _drop_oldest(self) -> None:
        """Drop a record before its time."""
        self._drop(next(iter(self._done)))
        self.dropped += 1
        if self.dropped == 1:
            log.warning(
                "MemoryOnce is full (max_entries=%d, max_bytes=%d) and begins to drop replies"
                " before their time; requests that are repeated after that run again. Give it more"
                " room, keep replies for less time, or use RedisOnce or PostgresOnce",
                self._max_entries,
                self._max_bytes,
            )

    def _make_room(self, now: float) -> None:
        """Make room for one more entry."""
        if len(self._done) + len(self._claims) < self._max_entries:
            return
        self._drop_past(now)
        if now >= self._next_lapse:
            for key in [key for key, claim in self._claims.items() if claim.forget_at <= now]:
                self._end(key)
            self._next_lapse = min(
                (claim.forget_at for claim in self._claims.values()), default=math.inf
            )
        if len(self._done) + len(self._claims) < self._max_entries:
            return
        if not self._done:
            raise Busy(
                f"{self._max_entries} requests with idempotency keys run at once, as many as"
                " MemoryOnce takes; give it a larger max_entries"
            )
        self._drop_oldest()
