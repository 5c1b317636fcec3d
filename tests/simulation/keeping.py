"""One-way requests of a run that fail, and are kept with their errors."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any, ClassVar, Final

from leveret import Rabbit, Service, method
from tests.simulation.deeds import Broken, Counted, Deed, Here
from tests.simulation.plan import PlannedDeed
from tests.simulation.work import MemoryDiary

_SENT_WITHIN: Final = 4.0
"""Seconds for the confirm of the broker."""


class Notes(Service, name="notes"):
    """Methods whose failed requests are kept."""

    def __init__(self, diary: MemoryDiary, server: str) -> None:
        self._diary = diary
        self._server = server

    @method(timeout=5, one_way=True, keep_failed=True)
    async def once(self, key: str, seconds: float, fails: bool) -> None:
        await self._work(key, seconds, fails)

    @method(timeout=5, one_way=True, keep_failed=True, idempotent=True)
    async def again(self, key: str, seconds: float, fails: bool) -> None:
        await self._work(key, seconds, fails)

    async def _work(self, key: str, seconds: float, fails: bool) -> None:
        write = self._diary.write
        write(key, "began", self._server)
        try:
            if seconds:
                await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            write(key, "broke off", self._server)
            raise
        write(key, "ended", self._server)
        if fails:
            raise ArithmeticError(key)


class Kept(Deed):
    """A one-way request that is to be run, or kept."""

    counted: ClassVar[Counted] = "one_way"

    def __init__(self, planned: PlannedDeed, here: Here) -> None:
        super().__init__(planned, here)
        dice = self.dice
        self.idempotent = dice.random() < 0.5
        self.seconds = dice.choice((0.0, 0.0, 0.01, 0.05, 0.4))
        self.fails = dice.random() < 0.5
        self.sent = False
        """Whether the broker has it, by the word of the client."""

    def what(self) -> str:
        end = "fails" if self.fails else "ends well"
        return f"{'again' if self.idempotent else 'once'}, {self.seconds} s, {end}"

    async def do(self, rabbit: Rabbit) -> None:
        remote: Any = rabbit.remote(Notes).with_options(timeout=_SENT_WITHIN)
        send = rabbit.send(remote.again if self.idempotent else remote.once)
        await send(self.key, self.seconds, self.fails)
        self.sent = True

    def judged(self) -> Iterator[tuple[Broken, str]]:
        entry, is_kept = self.entry, self.here.is_kept(self.key)
        if not self.idempotent and len(entry.began) > 1:
            yield "ran_twice", f"{entry}"
        yield from self.told_wrongly(entry)
        must_be_kept = self.fails or not entry.ended
        is_excused = self.here.was_dropped(self.key, self.at.began)
        if self.sent and must_be_kept and not is_kept and not is_excused:
            yield "one_way_lost", f"it is neither done nor kept: {entry}"
        if self.planned.calm and not self.sent:
            yield "one_way_lost", "it was not sent"
        if self.planned.calm and (len(entry.ended) != 1 or is_kept != self.fails):
            yield "one_way_lost", f"it did not end once and as it should: {entry}"
