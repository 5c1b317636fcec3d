"""Streams of a run: what is streamed, what consumers got, and what of it breaks the promise."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import ClassVar, Final, Literal

from leveret import Item, Rabbit, Service, current_call, method
from leveret.errors import CallError
from tests.faults.streams import Tally
from tests.simulation.deeds import Broken, Counted, Deed, Here
from tests.simulation.plan import PATIENT, PlannedDeed
from tests.simulation.work import MemoryDiary

_FIRST_ITEM: Final = 8.0
"""Seconds to the first item of a stream that does not go on elsewhere."""
_SIZES: Final = (*(0, 1, 2, 3, 5, 5, 8, 8, 12, 20) * 3, 60, 300)
_CALM_SIZES: Final = (1, 20, 300, 700)
"""More than a window, and so many that one item of each window makes a difference."""
_PAUSES: Final = (0.0, 0.0, 0.001, 0.01, 0.1)
_SHORT_PAUSES: Final = (0.0, 0.002)
_LARGE: Final = 20_000
_LARGEST: Final = 150_000
"""Bytes of padding with which an item travels alone."""
_FEW: Final = 8
"""Items of which some may be as large: more of them would take long."""
_PADDED_EVERY: Final = 3
"""One of so many items is padded: small ones travel several in a message, a large one alone."""


def filler(number: int, padding: int) -> str:
    """What an item has beside its number."""
    return "x" * padding if number % _PADDED_EVERY == 0 else ""


class _Streaming(Service):
    """Handlers that stream, and write into the diary."""

    def __init__(self, diary: MemoryDiary, server: str) -> None:
        self._diary = diary
        self._server = server

    def _write(self, key: str, what: Literal["began", "ended", "broke off"]) -> None:
        self._diary.write(key, what, self._server)


class Feed(_Streaming, name="feed"):
    """Streams of results."""

    @method(timeout=_FIRST_ITEM)
    async def count(
        self, key: str, n: int, pause: float, padding: int, fails: bool
    ) -> AsyncIterator[tuple[str, int, str]]:
        """1 to n; then it may fail."""
        self._write(key, "began")
        try:
            for number in range(1, n + 1):
                if pause:
                    await asyncio.sleep(pause)
                yield key, number, filler(number, padding)
        except BaseException:
            self._write(key, "broke off")
            raise
        self._write(key, "ended")
        if fails:
            raise ArithmeticError(key)

    @method(timeout=PATIENT, resume=True, idempotent=True)
    async def resumed(
        self, key: str, n: int, pause: float, padding: int, fails: bool
    ) -> AsyncIterator[tuple[str, int, str]]:
        """1 to n, going on wherever its consumer is; `fails` is of no use here."""
        self._write(key, "began")
        try:
            for number in range(int(current_call().cursor or 0) + 1, n + 1):
                if pause:
                    await asyncio.sleep(pause)
                yield Item((key, number, filler(number, padding)), cursor=str(number))
        except BaseException:
            self._write(key, "broke off")
            raise
        self._write(key, "ended")


class Talk(_Streaming, name="talk"):
    """Streams of arguments, and both at once."""

    @method(timeout=_FIRST_ITEM)
    async def check(self, key: str, pause: float, numbers: AsyncIterator[int]) -> int:
        """How many numbers came."""
        self._write(key, "began")
        tally = Tally()
        try:
            async for number in numbers:
                tally.take(number)
                if pause:
                    await asyncio.sleep(pause)
            self._diary.uploads.setdefault(key, []).append(tally)
        except BaseException:
            self._write(key, "broke off")
            raise
        finally:
            self._diary.tallies.append((key, tally))
        self._write(key, "ended")
        return tally.received

    @method(timeout=_FIRST_ITEM, idempotent=True)
    async def echo(
        self, key: str, pause: float, numbers: AsyncIterator[int]
    ) -> AsyncIterator[tuple[str, int, str]]:
        """Each number that comes."""
        self._write(key, "began")
        tally = Tally()
        try:
            async for number in numbers:
                tally.take(number)
                if pause:
                    await asyncio.sleep(pause)
                yield key, number, ""
            self._diary.uploads.setdefault(key, []).append(tally)
        except BaseException:
            self._write(key, "broke off")
            raise
        finally:
            self._diary.tallies.append((key, tally))
        self._write(key, "ended")


class SourceFailed(Exception):
    """What a source of an upload raises."""


class _Stream(Deed):
    """A stream, and what its consumer got of it."""

    counted: ClassVar[Counted] = "streams"

    def __init__(self, planned: PlannedDeed, here: Here) -> None:
        super().__init__(planned, here)
        dice = self.dice
        calm = planned.calm
        self.n = dice.choice(_CALM_SIZES if calm else _SIZES)
        self.pause = dice.choice(_PAUSES) if self.n < 100 else 0.0
        self.taking = dice.choice(_PAUSES if self.n < 100 else _SHORT_PAUSES)
        """Seconds that the other side takes for an item."""
        self.padding = dice.choice((0, 0, 0, 100, _LARGE))
        if self.padding == _LARGE and self.n <= _FEW:
            self.padding = _LARGEST
        self.leaves_after: int | None = None
        """The item after which its consumer leaves, if it does."""
        self.gives_up: float | None = None
        """Seconds after which its consumer is cancelled, if it is."""
        if not calm and dice.random() < 0.15:
            self.leaves_after = dice.randint(0, self.n)
        if not calm and dice.random() < 0.1:
            self.gives_up = dice.uniform(0.0, 1.0)
        self.tally = Tally()
        self.strange = 0
        """How many items were another stream's."""
        self.whole = False
        """Whether the stream came to its end."""
        self.sources_open = 0
        """How many sources of its upload are not closed."""

    async def _consume(self, items: AsyncIterator[tuple[str, int, str]]) -> None:
        tally = self.tally
        async for key, number, padding in items:
            tally.take(number)
            self.strange += key != self.key or padding != filler(number, self._padding_of_items)
            if tally.received == self.leaves_after:
                self.at.left = True
                return
            if self.taking:
                await asyncio.sleep(self.taking)
        self.whole = True

    @property
    def _padding_of_items(self) -> int:
        return 0

    async def do(self, rabbit: Rabbit) -> None:
        if self.gives_up is None:
            await self.stream(rabbit)
            return
        task = asyncio.ensure_future(self.stream(rabbit))
        asyncio.get_running_loop().call_later(self.gives_up, task.cancel)
        try:
            await task
        except asyncio.CancelledError:
            self.at.left = True
            if not task.cancelled():
                task.cancel()
                raise

    async def stream(self, rabbit: Rabbit) -> None:
        """Open it, and consume it."""
        raise NotImplementedError

    def judged(self) -> Iterator[tuple[Broken, str]]:
        tally, error = self.tally, self.at.error
        if tally.lost:
            yield "items_lost", f"{tally.lost} items did not come"
        if tally.doubled:
            yield "items_doubled", f"{tally.doubled} items came again"
        if self.strange:
            yield "items_lost", f"{self.strange} items were others"
        if self.whole and tally.received != self.n:
            yield "items_lost", f"it ended after {tally.received} of {self.n}"
        if isinstance(error, CallError) and error.received != tally.received:
            yield "items_lost", f"{tally.received} items came, and {error.received} were told of"
        yield from self.told_wrongly(self.entry)
        if self.whole and not self.entry.ended:
            yield "items_lost", f"it ended, and its handler did not: {self.entry}"


class Results(_Stream):
    """A stream of results."""

    def __init__(self, planned: PlannedDeed, here: Here) -> None:
        super().__init__(planned, here)
        self.resumes = self.dice.random() < 0.4
        self.fails = not self.resumes and not planned.calm and self.dice.random() < 0.15

    def what(self) -> str:
        name = "resumed" if self.resumes else "count"
        given = f"{self.n}, {self.pause}, {self.padding}, {self.fails}"
        return f"{name}({given}), taking {self.taking}, leaves after {self.leaves_after}"

    @property
    def _padding_of_items(self) -> int:
        return self.padding

    async def stream(self, rabbit: Rabbit) -> None:
        feed = rabbit.remote(Feed)
        if self.resumes:
            feed = feed.with_options(wait_for_server=True)
        stream = feed.resumed if self.resumes else feed.count
        async with stream(self.key, self.n, self.pause, self.padding, self.fails) as items:  # type: ignore[attr-defined]
            await self._consume(items)

    def judged(self) -> Iterator[tuple[Broken, str]]:
        yield from super().judged()
        entry, at = self.entry, self.at
        if not self.resumes and len(entry.began) > 1:
            yield "ran_twice", f"{entry}"
        if self.fails and self.whole:
            yield "lost", f"its handler failed, and its consumer heard of nothing: {entry}"
        must_end = self.resumes or self.planned.calm
        if must_end and not at.left and at.failed:
            yield "lost", f"it must come to its end: {entry}"


class Uploads(_Stream):
    """An upload, and perhaps a stream of results at the same time."""

    def __init__(self, planned: PlannedDeed, here: Here) -> None:
        super().__init__(planned, here)
        self.is_dialogue = self.dice.random() < 0.5
        self._source: AsyncIterator[int]  # held, as callers may: what nobody closes stays open
        self.fails_at: int | None = None
        """The item in whose place the source fails, if it does."""
        if not planned.calm and self.dice.random() < 0.15:
            self.fails_at = self.dice.randint(1, self.n + 1)

    def what(self) -> str:
        name = "echo" if self.is_dialogue else "check"
        return f"{name}({self.n}, {self.pause}), taking {self.taking}, fails at {self.fails_at}"

    @property
    def is_own(self) -> bool:
        return isinstance(self.at.error, SourceFailed)

    async def stream(self, rabbit: Rabbit) -> None:
        talk = rabbit.remote(Talk)
        self._source = self._numbers()
        if self.is_dialogue:
            async with talk.echo(self.key, self.taking, self._source) as items:  # type: ignore[attr-defined]
                await self._consume(items)
            return
        self.tally.received = await talk.check(self.key, self.taking, self._source)
        self.whole = True

    async def _numbers(self) -> AsyncIterator[int]:
        self.sources_open += 1
        try:
            for number in range(1, self.n + 2):
                if number == self.fails_at:
                    raise SourceFailed(self.key)
                if number > self.n:
                    break
                if self.pause:
                    await asyncio.sleep(self.pause)
                yield number
        finally:
            self.sources_open -= 1

    def judged(self) -> Iterator[tuple[Broken, str]]:
        if self.is_dialogue or self.whole:
            yield from super().judged()
        else:
            yield from self.told_wrongly(self.entry)
        entry, at = self.entry, self.at
        if not self.is_dialogue and len(entry.began) > 1:
            yield "ran_twice", f"{entry}"
        for tally in self.here.diary.uploads.get(self.key, ()):
            if tally.received != self.n or self.fails_at is not None:
                yield "items_lost", f"its handler saw the end after {tally.received} of {self.n}"
        for key, tally in self.here.diary.tallies:
            if key == self.key and tally.lost:
                yield "items_lost", f"{tally.lost} items did not come to its handler"
            if key == self.key and tally.doubled:
                yield "items_doubled", f"{tally.doubled} items came to its handler again"
        if self.planned.calm and not at.left and at.error is not None:
            yield "lost", f"it must come to its end: {entry}"
