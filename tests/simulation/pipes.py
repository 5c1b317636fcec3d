"""Pipes of a run."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any, ClassVar, Final, TypeAlias
from zlib import crc32

from leveret import CallError, Rabbit, Service, method
from tests.faults.diary import Entry
from tests.faults.judgement import LATE, could_not_say
from tests.simulation.deeds import Broken, Counted, Deed, Here
from tests.simulation.plan import PATIENT, PlannedDeed
from tests.simulation.work import MemoryDiary

_Ran: TypeAlias = tuple[str, str, Entry]
"""A stage, the way that its argument came and itself, and what its handler did."""

_METHODS: Final = ("again", "more", "once", "keyed")
_PATIENT: Final = PATIENT + 15
"""Seconds to the deadline of pipes that must have a result: a fault may begin a pipe anew, which
takes up to 6 s without any."""
_SECONDS: Final = (0.0, 0.0, 0.0, 0.0, 0.05, 0.05, 1.5, 1.5)
"""How long a handler takes, by chance: a server asks whether a caller waits for a second."""


class Stages(Service, name="stages"):
    """Methods that make pipes: each gives the way that its argument came, and itself."""

    def __init__(self, diary: MemoryDiary, server: str) -> None:
        self._diary = diary
        self._server = server

    @method(timeout=5, idempotent=True)
    async def again(self, way: str) -> str:
        return await self._work(way, "again")

    @method(timeout=5, idempotent=True)
    async def more(self, way: str) -> str:
        return await self._work(way, "more")

    @method(timeout=5)
    async def once(self, way: str) -> str:
        return await self._work(way, "once")

    @method(timeout=5, once=True)
    async def keyed(self, way: str) -> str:
        return await self._work(way, "keyed")

    async def _work(self, way: str, stage: str) -> str:
        way = f"{way}/{stage}"
        write = self._diary.write
        write(way, "began", self._server)
        seconds = _SECONDS[crc32(way.encode()) % len(_SECONDS)]
        try:
            if seconds:
                await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            write(way, "broke off", self._server)
            raise
        write(way, "ended", self._server)
        return way


class Piped(Deed):
    """A call of a pipe."""

    counted: ClassVar[Counted] = "pipes"

    def __init__(self, planned: PlannedDeed, here: Here) -> None:
        super().__init__(planned, here)
        dice = self.dice
        names = _METHODS[:2] if dice.random() < 0.3 else _METHODS
        self.stages = [dice.choice(names) for _ in range(dice.randint(2, 4))]
        self.repeats = all(name in _METHODS[:2] for name in self.stages)
        self.timeout = _PATIENT if self.repeats or planned.calm else dice.choice((0.3, 2.0, 5.0))
        self.result = ""

    def what(self) -> str:
        return f"{' | '.join(self.stages)}, {self.timeout:g} s"

    def _ways(self) -> Iterator[tuple[str, str]]:
        way = self.key
        for stage in self.stages:
            way = f"{way}/{stage}"
            yield stage, way

    async def do(self, rabbit: Rabbit) -> None:
        remote: Any = rabbit.remote(Stages)
        caller: Any = rabbit.with_options(timeout=self.timeout, wait_for_server=self.repeats)
        pipe = caller.pipe(*(getattr(remote, stage) for stage in self.stages))
        self.result = await pipe(self.key)

    def judged(self) -> Iterator[tuple[Broken, str]]:
        at = self.at
        entries = self.here.diary.entries
        ran = [(stage, way, entries.get(way, Entry())) for stage, way in self._ways()]
        for stage, way, entry in ran:
            if stage in ("once", "keyed") and len(entry.began) > 1:
                yield "ran_twice", f"{way}: {entry}"
        if at.left:
            return
        if isinstance(at.error, CallError):
            yield from self._failed_wrongly(at.error, ran)
        elif at.error is None and at.ended:
            yield from self._ended_wrongly(ran)
        late = at.ended - at.began - self.timeout
        if at.ended and late > LATE + self.here.paused(self.client, at.began, at.ended):
            yield "hung", f"{late:.3f} s late"

    def _failed_wrongly(self, error: CallError, ran: list[_Ran]) -> Iterator[tuple[Broken, str]]:
        killed_at = self.here.killed_at(self.client)
        said = [entry for _, _, entry in ran if not could_not_say(error, entry, killed_at)]
        if error.executed == "no" and any(entry.began for entry in said):
            yield "wrong_executed", f"it ran: {ran}"
        if error.executed == "yes" and not ran[0][2].began:
            yield "wrong_executed", "it never ran"
        must_end = self.repeats or self.planned.calm
        if must_end and self.at.failed:
            yield "pipes_lost", f"it must have a result: {ran}"

    def _ended_wrongly(self, ran: list[_Ran]) -> Iterator[tuple[Broken, str]]:
        if self.result != ran[-1][1]:
            yield "pipes_lost", f"it has another result: {self.result!r}"
        elif not all(entry.ended for _, _, entry in ran):
            yield "wrong_executed", f"it has a result, and did not run: {ran}"
