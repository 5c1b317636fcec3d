"""Calls of a run that all servers run, or one by its name; and what handlers report meanwhile."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from typing import Any, ClassVar, Final

from leveret import Answers, CallError, Progress, Rabbit, Service, current_call, method
from leveret.wire.timing import REPLY_GRACE
from tests.faults.judgement import LATE
from tests.simulation.deeds import Broken, Counted, Deed, Here
from tests.simulation.plan import PlannedDeed
from tests.simulation.work import MemoryDiary

_SURVEY: Final = 2.0
"""Seconds in which it is known which servers there are."""
_LONG: Final = 5.0
"""Seconds that a call may take where no fault is."""


class Crowd(Service, name="crowd"):
    """Methods that say which server has run them."""

    def __init__(self, diary: MemoryDiary, server: str) -> None:
        self._diary = diary
        self._server = server

    @method(timeout=_LONG, idempotent=True)
    async def tell(self, key: str, seconds: float, steps: int) -> tuple[str, str]:
        """The key, and the server."""
        return await self._work(key, seconds, steps)

    @method(timeout=_LONG)
    async def act(self, key: str, seconds: float, steps: int) -> tuple[str, str]:
        """The same, and not twice."""
        return await self._work(key, seconds, steps)

    async def _work(self, key: str, seconds: float, steps: int) -> tuple[str, str]:
        write = self._diary.write
        write(key, "began", self._server)
        try:
            for step in range(steps):
                current_call().progress(step / steps, f"{key} {self._server}")
                await asyncio.sleep(seconds / steps)
        except BaseException:
            write(key, "broke off", self._server)
            raise
        write(key, "ended", self._server)
        return key, self._server


class Asked(Deed):
    """A call of all servers, of one by its name, or of any."""

    counted: ClassVar[Counted] = "calls"

    def __init__(self, planned: PlannedDeed, here: Here) -> None:
        super().__init__(planned, here)
        dice, calm = self.dice, planned.calm
        self.whom = dice.choice(("all", "all", "one", "any"))
        self.idempotent = dice.random() < 0.5
        self.seconds = dice.choice((0.0, 0.0, 0.05, 0.4, 1.5))
        self.steps = dice.choice((1, 1, 3, 10))
        self.timeout = _LONG if calm else dice.choice((0.1, 0.5, 2.0, _LONG))
        self.stall = 2.0 if calm else dice.choice((0.3, 2.0))
        self.answers: Answers[tuple[str, str]] | None = None
        """What came of a call of all servers."""
        self.told: list[tuple[str, str]] = []
        """The results."""
        self._reported: dict[str, float] = {}
        """How far the call was at each server, as last reported."""
        self._strange: list[str] = []
        """What was reported that should not have been."""

    def what(self) -> str:
        name = "tell" if self.idempotent else "act"
        took = f"{self.seconds} s in {self.steps}, timeout {self.timeout}, stall {self.stall}"
        return f"{self.whom} {name}, {took}, {self.answers or self.told}"

    async def do(self, rabbit: Rabbit) -> None:
        remote = rabbit.remote(Crowd).with_options(timeout=self.timeout, on_progress=self._hear)
        chosen: Any = remote.tell if self.idempotent else remote.act
        given = self.key, self.seconds, self.steps
        match self.whom:
            case "all":
                ask = rabbit.ask_all(chosen, stall=self.stall, allow_effects=True)
                self.answers = answers = await ask(*given)
                self.told = list(answers.results.values())
            case "one":
                servers = (await rabbit.servers(Crowd)).servers
                if servers:
                    names = sorted(server.instance for server in servers)
                    ask_one = rabbit.ask_one(chosen, self.dice.choice(names))
                    self.told = [await ask_one(*given)]
            case _:
                self.told = [await chosen(*given)]

    def _hear(self, progress: Progress) -> None:
        key, _, server = progress.text.partition(" ")
        fraction = progress.fraction or 0.0
        if key != self.key or self.at.ended or fraction < self._reported.get(server, 0.0):
            self._strange.append(f"{self.here.now}: {progress}")
        if self.whom != "any":
            self._reported[server] = fraction

    def judged(self) -> Iterator[tuple[Broken, str]]:
        at, entry = self.at, self.entry
        yield from self.told_wrongly(entry)
        if self._strange:
            yield "lost", f"it was reported what is not so: {self._strange}"
        most = max(Counter(entry.servers).values(), default=0)
        if self.whom != "all":
            most = len(entry.began)
        if most > 1 and not (self.whom == "any" and self.idempotent):
            yield "ran_twice", f"{entry}"
        names = [server for _, server in self.told]
        if any(key != self.key for key, _ in self.told) or len(set(names)) < len(names):
            yield "lost", "it has results of others"
        if not set(names) <= set(entry.servers) or len(names) > len(entry.ended):
            yield "wrong_executed", f"there are results of what never ended: {entry}"
        yield from self._told_of_others(names)
        limit = self.timeout + REPLY_GRACE + LATE + (_SURVEY if self.whom == "one" else 0.0)
        late = at.ended - at.began - limit
        if at.ended and late > self.here.paused(self.client, at.began, at.ended):
            yield "hung", f"{late:.3f} s late"
        if self.planned.calm and not at.left and (at.error is not None or not self.told):
            yield "lost", f"it must have a result: {entry}"

    def allowed(self) -> Iterator[str]:
        yield from super().allowed()
        if self.answers is not None:
            others = len(set(self.entry.servers)) - len(self.told)
            errors = self.answers.errors.values()
            if others > self.answers.missing + sum(error.executed != "no" for error in errors):
                yield "ask, run by a server that was not known"

    def _told_of_others(self, names: list[str]) -> Iterator[tuple[Broken, str]]:
        """What a call of all servers says of those without a result."""
        if self.answers is None:
            return
        errors = self.answers.errors.values()
        for error in errors:
            if not isinstance(error, CallError):
                yield "hung", f"a server's error is none of a call: {error!r}"
        others = set(self.entry.servers) - set(names)
        if self.planned.calm and (errors or self.answers.missing or others):
            yield "lost", f"not all servers have answered: {self.entry}"
