"""Calls of a run whose handlers call another method, on the connection that they are served on."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any, ClassVar, Final

from leveret import Rabbit, Service, method
from tests.faults.diary import Entry
from tests.simulation.deeds import Broken, Counted, Deed, Here
from tests.simulation.plan import PlannedDeed
from tests.simulation.work import KINDS, MemoryDiary, Work, answer_to

_LONG: Final = 5.0
"""Seconds that a call may take where no fault is."""
_SERVICES: Final = {kind.__name__: kind for kind in KINDS}


class Front(Service, name="front"):
    """Methods that have others do the work.

    :param rabbit: the connection that it is served on, once there is one.
    """

    def __init__(self, diary: MemoryDiary, server: str) -> None:
        self.rabbit: Rabbit | None = None
        self._diary = diary
        self._server = server

    @method(timeout=_LONG)
    async def once(self, key: str, service: str, again: bool, seconds: float) -> str:
        return await self._have_done(key, service, again, seconds)

    @method(timeout=_LONG, idempotent=True)
    async def again(self, key: str, service: str, again: bool, seconds: float) -> str:
        return await self._have_done(key, service, again, seconds)

    async def _have_done(self, key: str, service: str, again: bool, seconds: float) -> str:
        write = self._diary.write
        write(key, "began", self._server)
        try:
            assert self.rabbit is not None
            remote = self.rabbit.remote(_SERVICES[service])
            inner = remote.again if again else remote.once
            result = await inner(inner_key(key), seconds, "", "")
        except BaseException:
            write(key, "broke off", self._server)
            raise
        write(key, "ended", self._server)
        return result


def inner_key(key: str) -> str:
    """The key of the call that the handler of this one makes."""
    return f"{key}/inner"


class Nested(Deed):
    """A call whose handler makes one."""

    counted: ClassVar[Counted] = "calls"

    def __init__(self, planned: PlannedDeed, here: Here) -> None:
        super().__init__(planned, here)
        dice, calm = self.dice, planned.calm
        self.service: type[Work] = dice.choice(planned.kinds)
        self.idempotent = dice.random() < 0.5
        self.inner_idempotent = dice.random() < 0.5
        self.seconds = dice.choice((0.0, 0.0, 0.01, 0.05, 0.4))
        self.timeout = _LONG if calm else dice.choice((0.1, 0.5, 2.0, _LONG))
        self.gives_up: float | None = None
        """Seconds after which its caller goes away, if it does."""
        if not calm and dice.random() < 0.1:
            self.gives_up = dice.uniform(0.0, 0.5)
        self.result = ""

    def what(self) -> str:
        outer = "again" if self.idempotent else "once"
        inner = "again" if self.inner_idempotent else "once"
        return f"{outer} of {self.service.__name__}.{inner}, {self.seconds} s of {self.timeout}"

    @property
    def inner(self) -> Entry:
        """What the handler did of the call that its handler made."""
        return self.here.diary.entries.get(inner_key(self.key), Entry())

    async def do(self, rabbit: Rabbit) -> None:
        remote: Any = rabbit.remote(Front).with_options(timeout=self.timeout)
        chosen = remote.again if self.idempotent else remote.once
        given = self.key, self.service.__name__, self.inner_idempotent, self.seconds
        if self.gives_up is None:
            self.result = await chosen(*given)
            return
        task = asyncio.ensure_future(chosen(*given))
        done, _ = await asyncio.wait((task,), timeout=self.gives_up)
        if done:
            self.result = task.result()
            return
        self.at.left = True
        task.cancel()
        await asyncio.wait((task,))

    def judged(self) -> Iterator[tuple[Broken, str]]:
        at, entry, inner = self.at, self.entry, self.inner
        yield from self.told_wrongly(entry)
        if len(entry.began) > 1 and not self.idempotent:
            yield "ran_twice", f"{entry}"
        if len(inner.began) > max(1, len(entry.began)) and not self.inner_idempotent:
            yield "ran_twice", f"the inner call: {inner}"
        if self.result and (self.result != answer_to(inner_key(self.key), "") or not inner.ended):
            yield "wrong_executed", f"its result {self.result!r} is not that of {inner}"
        if self.planned.calm and not at.left and (at.error is not None or not self.result):
            yield "lost", f"it must have a result: {entry}, {inner}"
