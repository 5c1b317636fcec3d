"""Streams under faults: what is streamed, what consumers got, and what of it breaks the promise.

The promise: items 1 to n once each and in order, then the end; or a typed error that says how many
items were received. No stream hangs once its broker and its servers are back.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from leveret import CallError, Item, Rabbit, Service, current_call, method
from tests.faults.work import EXPIRES

HUNG: Final = 150.0
"""Seconds after which a stream that has not ended hangs: a side that hears nothing of the other for
30 s gives it up, one that resumes is tried again for 30 s after that, and until then faults may go
on."""
_FIRST_ITEM: Final = 30.0

Consume = Callable[[], Awaitable[None]]


class Counting(Service):
    """Streams numbers, so that whoever gets them sees what is missing and what is double."""

    @method(timeout=_FIRST_ITEM, concurrency=1000, expires=EXPIRES)
    async def count(self, n: int, pause: float, padding: int) -> AsyncIterator[tuple[int, str]]:
        """1 to n."""
        for number in range(1, n + 1):
            if pause:
                await asyncio.sleep(pause)
            yield number, "x" * padding

    @method(timeout=_FIRST_ITEM, concurrency=1000, expires=EXPIRES, resume=True)
    async def follow(self, n: int, pause: float) -> AsyncIterator[tuple[int, int]]:
        """1 to n, and the process that sends; another server can go on."""
        for number in range(int(current_call().cursor or 0) + 1, n + 1):
            if pause:
                await asyncio.sleep(pause)
            yield Item((number, os.getpid()), cursor=str(number))

    @method(timeout=_FIRST_ITEM, concurrency=1000, expires=EXPIRES)
    async def check(self, numbers: AsyncIterator[int]) -> list[int]:
        """How many numbers came, how many were missing, and how many came again."""
        tally = Tally()
        async for number in numbers:
            tally.take(number)
        return [tally.received, tally.lost, tally.doubled]

    @method(timeout=_FIRST_ITEM, concurrency=1000, expires=EXPIRES)
    async def echo(self, numbers: AsyncIterator[int]) -> AsyncIterator[int]:
        """Each number that comes."""
        async for number in numbers:
            yield number


@dataclass(slots=True)
class Tally:
    """What came of the numbers 1, 2, 3, ..."""

    received: int = 0
    lost: int = 0
    doubled: int = 0
    _last: int = 0

    def take(self, number: int) -> None:
        """A number came."""
        self.received += 1
        if number <= self._last:
            self.doubled += 1
        else:
            self.lost += number - self._last - 1
            self._last = number


@dataclass(slots=True, kw_only=True)
class StreamVerdict:
    """How many streams there were, and how many items broke which part of the promise."""

    streams: int = 0
    whole: int = 0
    """How many came to their ends."""
    lost: int = 0
    doubled: int = 0
    hung: int = 0
    wrong_executed: int = 0
    """How many were told that their handlers did not run, though items of them had come."""
    complaints: list[str] = field(default_factory=list)

    def complain(self, what: str, kind: str, why: str, count: int = 1) -> None:
        """Note what is wrong; nothing if the count is 0."""
        if count:
            setattr(self, kind, getattr(self, kind) + count)
            self.complaints.append(f"{kind}: {what}: {why}")


class StreamJudge:
    """Consumes streams and judges them."""

    def __init__(self) -> None:
        self.verdict = StreamVerdict()

    async def any_stream(self, client: Rabbit, dice: random.Random) -> None:
        """One stream of some kind, of some length and pace."""
        n = dice.choice((0, 1, 5, 256, 257, 300))
        pause = dice.choice((0.0, 0.0, 0.002, 0.02))
        match dice.randrange(5):
            case 0:
                await self.upload(client, n, pause)
            case 1:
                await self.dialogue(client, n, pause)
            case 2:
                await self.resumed(client, n, pause)
            case _:
                stop = dice.randint(1, n) if n and dice.random() < 0.1 else None
                padding = dice.choice((0, 0, 100, 20_000))
                await self.results(client, n, pause, padding=padding, stop=stop)

    async def results(
        self,
        client: Rabbit,
        n: int,
        pause: float = 0.0,
        *,
        padding: int = 0,
        stop: int | None = None,
    ) -> None:
        """A stream of results.

        :param stop: the item after which its consumer leaves, if it does.
        """
        what = f"count({n}, {pause}, {padding}), left after {stop}"
        tally = Tally()

        async def consume() -> None:
            async with client.remote(Counting).count(n, pause, padding) as items:  # type: ignore[attr-defined]
                async for number, _ in items:
                    tally.take(number)
                    if tally.received == stop:
                        return
            self._ended(what, tally.received, n)

        await self._judged(what, consume, tally)

    async def upload(self, client: Rabbit, n: int, pause: float = 0.0) -> None:
        """A stream of arguments."""
        what = f"check of {n} numbers, {pause}"

        async def send() -> None:
            received, lost, doubled = await client.remote(Counting).check(_numbers(n, pause))
            self.verdict.complain(what, "lost", "numbers did not arrive", lost)
            self.verdict.complain(what, "doubled", "numbers arrived twice", doubled)
            self._ended(what, received, n)

        await self._judged(what, send, None)

    async def dialogue(self, client: Rabbit, n: int, pause: float = 0.0) -> None:
        """Both at once."""
        what = f"echo of {n} numbers, {pause}"
        tally = Tally()

        async def talk() -> None:
            async for number in client.remote(Counting).echo(_numbers(n, pause)):
                tally.take(number)
            self._ended(what, tally.received, n)

        await self._judged(what, talk, tally)

    async def resumed(self, client: Rabbit, n: int, pause: float = 0.0) -> None:
        """A stream of results that goes on at another server."""
        what = f"follow({n}, {pause})"
        tally = Tally()

        async def consume() -> None:
            async for number, _ in client.remote(Counting).follow(n, pause):
                tally.take(number)
            self._ended(what, tally.received, n)

        await self._judged(what, consume, tally)

    def _ended(self, what: str, received: int, n: int) -> None:
        self.verdict.whole += 1
        self.verdict.complain(what, "lost", f"it ended after {received} of {n}", received != n)

    async def _judged(self, what: str, consume: Consume, tally: Tally | None) -> None:
        verdict = self.verdict
        verdict.streams += 1
        try:
            async with asyncio.timeout(HUNG):
                await consume()
        except CallError as error:  # a `DeadlineExceeded` is a `TimeoutError` as well
            if tally is not None and error.received != tally.received:
                told = f"{tally.received} items came, and {error.received} were told of: {error!r}"
                verdict.complain(what, "lost", told)
            if tally is not None and tally.received and error.executed == "no":
                verdict.complain(what, "wrong_executed", f"{tally.received} items came: {error!r}")
        except TimeoutError:
            verdict.complain(what, "hung", f"it has not ended after {HUNG:g} s")
        if tally is not None:
            verdict.complain(what, "lost", "numbers did not arrive", tally.lost)
            verdict.complain(what, "doubled", "numbers arrived twice", tally.doubled)


async def _numbers(n: int, pause: float) -> AsyncIterator[int]:
    for number in range(1, n + 1):
        if pause:
            await asyncio.sleep(pause)
        yield number
