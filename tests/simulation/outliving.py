"""What outlives its client in a run: one-way requests and started calls."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any, ClassVar, Final

from leveret import CallHandle, Cancelled, DeadlineExceeded, InvalidArgument, MaybeExecuted, Rabbit
from leveret.errors import CallError
from tests.faults.diary import Entry
from tests.faults.judgement import GIVEN_UP
from tests.simulation.deeds import Broken, Counted, Deed, Here
from tests.simulation.plan import PlannedDeed
from tests.simulation.work import Work, answer_to

KEPT: Final = 600.0
"""Seconds for which started calls are kept: longer than a run."""
_SENT_WITHIN: Final = 4.0
"""Seconds for the confirm of the broker."""
_LONG: Final = 20.0
"""Seconds in which a started call ends where no fault is."""
_PATIENT: Final = 60.0
"""Seconds in which a started call ends once the faults are over."""
_LOOKED_FOR: Final = 1.0
"""Seconds for which the outcome is asked for of one that need not end."""
_ATTEMPTS: Final = 6
"""Servers that may die with a request before it is given up."""


class _Outliving(Deed):
    """What is done by methods of `Work`, without its client."""

    def __init__(self, planned: PlannedDeed, here: Here) -> None:
        super().__init__(planned, here)
        dice = self.dice
        self.service: type[Work] = dice.choice(planned.kinds)
        self.idempotent = dice.random() < 0.6
        self.seconds = dice.choice((0.0, 0.0, 0.01, 0.05, 0.4))
        self.sent = False
        """Whether the broker has it, by the word of the client."""

    def what(self) -> str:
        name = "again" if self.idempotent else "once"
        return f"{type(self).__name__} {self.service.__name__}.{name}, {self.seconds} s"

    def _method(self, rabbit: Rabbit) -> Any:
        remote = rabbit.remote(self.service).with_options(timeout=_SENT_WITHIN)
        return remote.again if self.idempotent else remote.once

    def _arguments(self, padding: str = "") -> tuple[str, float, str, str]:
        return self.key, self.seconds, padding, ""

    def allowed(self) -> Iterator[str]:
        yield from super().allowed()
        entry = self.entry
        if self.sent and not entry.ended and not self.is_cancelled:
            dropped = self.here.was_dropped(self.key, self.at.began)
            why = "dropped at the broker" if dropped else "no server may run it again"
            yield f"{self.planned.verb}, taken and not run: {why}"

    @property
    def is_cancelled(self) -> bool:
        """Whether somebody did not want it any more."""
        return False

    def _is_excused(self, entry: Entry) -> bool:
        """Whether the broker was told to forget it, or each of its servers was killed."""
        died = len(entry.began) - len(entry.ended)
        return self.here.was_dropped(self.key, self.at.began) or died >= _ATTEMPTS


class OneWay(_Outliving):
    """A one-way request."""

    counted: ClassVar[Counted] = "one_way"

    async def do(self, rabbit: Rabbit) -> None:
        await rabbit.send(self._method(rabbit))(*self._arguments())
        self.sent = True

    def judged(self) -> Iterator[tuple[Broken, str]]:
        entry = self.entry
        if not self.idempotent and len(entry.began) > 1:
            yield "ran_twice", f"{entry}"
        yield from self.told_wrongly(entry)
        if self.sent and self.idempotent and not entry.ended and not self._is_excused(entry):
            yield "one_way_lost", f"it did not run: {entry}"
        if self.sent and self.planned.calm and len(entry.ended) != 1:
            yield "one_way_lost", f"it did not run once: {entry}"
        if self.planned.calm and not self.sent:
            yield "one_way_lost", "it was not sent"


class Started(_Outliving):
    """A started call: started perhaps twice, and asked for by others, who may cancel it."""

    counted: ClassVar[Counted] = "started"

    def __init__(self, planned: PlannedDeed, here: Here) -> None:
        super().__init__(planned, here)
        dice = self.dice
        self.waits: float | None = dice.choice((None, 0.5, _LONG))
        """For how many seconds its client waits for the result; None for not at all."""
        self.again: float | None = dice.uniform(0.0, 0.5) if dice.random() < 0.3 else None
        """Seconds after which its client starts it once more, if it does."""
        self.other = dice.random() < 0.5
        """Whether it then has other arguments."""
        self.cancels: float | None = None
        """Seconds after which it is cancelled, if it is."""
        if not planned.calm and dice.random() < 0.15:
            self.cancels = dice.uniform(0.0, 0.5)
        self.told: list[object] = []
        """Its outcomes, as anybody was told."""
        self.other_told: list[object] = []
        """What the second start with other arguments was told."""
        self.may_be_other = False
        """Whether the first one to begin may have been the start with other arguments."""
        self.being_started = 0
        """How many starts neither succeeded nor failed: their client was killed meanwhile."""
        self.other_handle: CallHandle[str] | None = None
        """What the start with other arguments has given its client."""
        self.other_last: object = None
        """Its outcome once all faults are over, if its client still lives."""
        self.last: object = None  # never asked for, where the run ended early
        """Its outcome once all faults are over."""

    async def do(self, rabbit: Rabbit) -> None:
        starts = [self._start(rabbit, 0.0, "")]
        if self.again is not None:
            starts.append(self._start(rabbit, self.again, "z" if self.other else ""))
        if self.cancels is not None:
            starts.append(self._cancel(rabbit))
        done = await asyncio.gather(*starts, return_exceptions=True)
        for error in done:
            if error is not None and not isinstance(error, CallError):
                raise error
        if isinstance(done[0], CallError):
            raise done[0]

    async def _start(self, rabbit: Rabbit, after: float, padding: str) -> None:
        await asyncio.sleep(after)
        if padding:
            self.may_be_other = True
        start = rabbit.start(self._method(rabbit), key=self.key, keep=KEPT)
        self.being_started += 1
        try:
            handle = await start(*self._arguments(padding))
        except CallError:
            self.being_started -= 1
            raise
        self.being_started -= 1
        self.sent = True
        if padding:
            self.other_handle = handle
        if self.waits is None:
            return
        try:
            outcome: object = await handle.result(timeout=self.waits)
        except CallError as error:
            outcome = error
        (self.other_told if padding else self.told).append(outcome)

    async def _cancel(self, rabbit: Rabbit) -> None:
        assert self.cancels is not None
        await asyncio.sleep(self.cancels)
        await rabbit.attach(self._method(rabbit), self.key).cancel()

    @property
    def is_cancelled(self) -> bool:
        return self.cancels is not None

    async def fetch(self, rabbit: Rabbit) -> None:
        """Get its outcome, once all faults are over."""
        must_end = self.sent and not self._is_excused(self.entry)
        handle = rabbit.attach(self._method(rabbit), self.key)
        try:
            self.last = await handle.result(timeout=_PATIENT if must_end else _LOOKED_FOR)
        except CallError as error:
            self.last = error

    async def fetch_other(self, handle: CallHandle[str]) -> None:
        """Get the outcome of the start with other arguments, where it was made."""
        try:
            self.other_last = await handle.result(timeout=_PATIENT)
        except CallError as error:
            self.other_last = error

    def judged(self) -> Iterator[tuple[Broken, str]]:
        entry = self.entry
        if not self.idempotent and len(entry.began) > 1:
            yield "ran_twice", f"{entry}"
        if self.again is None:
            yield from self.told_wrongly(entry)
        if self.sent and self.last is not None and not self._is_excused(entry):
            yield from self._ended_wrongly(entry)
        right = answer_to(self.key, "")
        for told in (*self.told, *self.other_told, self.last):
            if isinstance(told, str) and told != right:
                yield "started_lost", f"it has another result: {told!r}"
            if isinstance(told, str) and not entry.ended:
                yield "wrong_executed", f"it has a result, and did not run: {entry}"
        if self.planned.calm and self.again is not None and self.other:
            told = (*self.told, *self.other_told)
            if self.waits == _LONG and not any(isinstance(it, InvalidArgument) for it in told):
                yield "started_lost", f"the same key with other arguments is not refused: {told}"
        if isinstance(self.last, Cancelled) and right in self.told:
            yield "started_lost", "it had a result, and is cancelled"

    def _ended_wrongly(self, entry: Entry) -> Iterator[tuple[Broken, str]]:
        last = self.last
        if isinstance(self.other_last, DeadlineExceeded):
            yield "started_lost", f"who gave other arguments is not told its end: {entry}"
        if isinstance(last, str):
            return
        if self.cancels is not None and isinstance(last, Cancelled):
            return
        if self.cancels is not None and self.may_be_other and isinstance(last, InvalidArgument):
            return  # one was cancelled while its server was dead, and had the key still
        if self.cancels is not None and self.being_started and isinstance(last, DeadlineExceeded):
            return  # one was cancelled, and the servers expect the next one, which was never sent
        # A broker that goes away while its server drains cuts the grace short.
        is_maybe = isinstance(last, MaybeExecuted | Cancelled) and last.executed == "maybe"
        may_fail = not self.idempotent or GIVEN_UP.search(str(last))
        if is_maybe and may_fail and not self.planned.calm:
            return
        shown = f"{last!r}, executed={getattr(last, 'executed', None)!r}"
        yield "started_lost", f"its end is {shown}: {entry}"
