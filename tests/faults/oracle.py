"""The oracle: makes calls, and judges each by the promise, from what the handlers really did.

The promise: every call ends by its deadline plus 100 ms with a result or a typed error whose
`executed` is true to what happened; no idempotent call is lost while servers and brokers come back
within its deadline; no other call's handler runs twice. And no handler begins when the deadline is
over.

A call is late only if the loop came to a timer that was due at the last moment, and to what follows
from it, before the call ended: the meter of the loop's lag does not see all of it.

`executed` "no" is true where the diary has no beginning of the call, ever; "yes" where it has one;
"maybe" always, so those are counted. What the loop itself was late is measured and allowed for.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import secrets
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, Self, TypedDict, Unpack

from leveret import CallError, Rabbit
from leveret.errors import Executed
from tests.faults.diary import Diary, Entry
from tests.faults.lag import LagMeter
from tests.faults.work import Work, answer_to

log = logging.getLogger("leveret.tests.faults")

LATE: Final = 0.1
"""Seconds after its deadline by which a call has to have ended."""
_HUNG: Final = 5.0
"""Seconds after its deadline at which the oracle waits no longer."""
_LATEST: Final = 0.5
"""Seconds after its deadline at which a request cannot begin to run any more."""
_SENT: Final = 0.25
"""Seconds in which a call is on its way: until then, a late loop delays its deadline."""
_LOOP: Final = 0.02
"""Seconds before the deadline from which on a late loop delays its end."""
_PASSES: Final = 6
"""Passes of the loop in which a call ends that a timer of its client ends: the timer, the future,
the task; a few more where several requests race."""


class Details(TypedDict, total=False):
    """How a call may be made."""

    seconds: float
    """For how long its handler works."""
    padding: int
    """Bytes of its request."""
    reply: int
    """Bytes of its reply."""
    kept: bool
    """Whether it must have a result, and waits for a server; by default idempotent calls do."""
    service: type[Work]
    options: dict[str, Any]
    """As for `with_options`."""


class How(Details):
    """How a call is made."""

    idempotent: bool
    timeout: float
    """Seconds."""


@dataclass(slots=True)
class Call:
    """One call and its end. Times are those of the loop's clock."""

    key: str
    idempotent: bool
    timeout: float
    kept: bool
    """Whether it must have a result."""
    how: str
    """The service that was called, and the options."""
    began: float
    ended: float = 0.0
    overdue: bool = False
    """Whether the loop had come to all that was due for it to end in time, and it had not ended."""
    error: BaseException | None = None
    right: bool = True
    """Whether the result is this call's."""
    cancelled: bool = False
    """Whether its caller went away: then it only must not run twice."""

    def __str__(self) -> str:
        kind = "idempotent" if self.idempotent else "plain"
        took = f"{self.ended - self.began:.3f} s of {self.timeout:g} s" if self.ended else "no end"
        if isinstance(self.error, CallError):
            end = f"{type(self.error).__name__}({self.error}), executed={self.error.executed!r}"
        else:
            end = repr(self.error) if self.error is not None else "a result"
        return f"{self.key} ({kind}, {self.how}, {took}): {end}"


@dataclass(slots=True)
class Verdict:
    """How many calls there were, and how many broke which part of the promise."""

    calls: int = 0
    results: int = 0
    faults: int = 0
    lost: int = 0
    hung: int = 0
    ran_twice: int = 0
    wrong_executed: int = 0
    maybe: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    complaints: list[str] = field(default_factory=list)

    def add(self, other: Verdict) -> None:
        """Sum up."""
        for name in ("calls", "results", "faults", "lost", "hung", "ran_twice", "wrong_executed"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.maybe += other.maybe
        self.errors += other.errors
        self.complaints += other.complaints[:20]

    @property
    def kept(self) -> bool:
        """Whether the promise was kept in each call."""
        return not (self.lost or self.hung or self.ran_twice or self.wrong_executed)

    def counts(self) -> dict[str, int]:
        """The numbers that `make chaos` prints."""
        names = ("calls", "faults", "lost", "hung", "ran_twice", "wrong_executed")
        return {name: getattr(self, name) for name in names}

    def __str__(self) -> str:
        shown = "\n  ".join(self.complaints[:20])
        return f"{self.counts()}, maybe: {self.maybe}, {dict(self.errors)}\n  {shown}"


class Oracle:
    """Makes calls to `Work` and judges them; one for a scenario. Use it with `async with`."""

    def __init__(self, diary: Diary) -> None:
        self.diary = diary
        self.faults = 0
        """How many faults the scenario caused; it counts them itself."""
        self.lag = LagMeter()
        self._loop = asyncio.get_running_loop()
        self._calls: list[Call] = []
        self._names = map("".join, zip(itertools.repeat(f"{secrets.token_hex(2)}-"), _words()))
        self._remotes: dict[object, Work] = {}
        self._tasks: set[asyncio.Task[Call]] = set()

    async def __aenter__(self) -> Self:
        self.lag.__enter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.lag.__exit__(kind, error, traceback)

    # -- calls ----------------------------------------------------------------------------------

    async def call(self, rabbit: Rabbit, **how: Unpack[How]) -> Call:
        """Make one call, and return it when it has ended."""
        return await self._make(self._note(how), rabbit, how)

    def begin(self, rabbit: Rabbit, **how: Unpack[How]) -> asyncio.Task[Call]:
        """The same in a task that the oracle owns."""
        task = asyncio.create_task(self._make(self._note(how), rabbit, how))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _note(self, how: How) -> Call:
        idempotent = how["idempotent"]
        kept = how.get("kept", idempotent)
        details = f"{how.get('service', Work).__name__} {how.get('options', {})}"
        now = self._loop.time()
        call = Call(next(self._names), idempotent, how["timeout"], kept, details, now)
        self._calls.append(call)
        return call

    async def _make(self, call: Call, rabbit: Rabbit, how: How) -> Call:
        remote = self._remote(rabbit, call, how)
        method = remote.again if call.idempotent else remote.once
        reply = how.get("reply", 0)
        call.began = self._loop.time()
        last_moment = self._loop.call_at(
            call.began + call.timeout + LATE, self._pass, call, _PASSES
        )
        try:
            async with asyncio.timeout(call.timeout + _HUNG):
                result = await method(
                    call.key, how.get("seconds", 0.0), "x" * how.get("padding", 0), reply
                )
            call.right = result == answer_to(call.key, reply)
        except asyncio.CancelledError:
            call.cancelled = True
            raise
        except Exception as error:
            call.error = error
        finally:
            call.ended = self._loop.time()
            last_moment.cancel()
        return call

    def _pass(self, call: Call, passes: int) -> None:
        """The last moment has come for a call to end. Whatever is due takes so many passes."""
        if call.ended:
            return
        if passes:
            self._loop.call_soon(self._pass, call, passes - 1)
        else:
            call.overdue = True

    def _remote(self, rabbit: Rabbit, call: Call, how: How) -> Work:
        """Kept, as users keep theirs: to make one takes as long as ten calls."""
        options = {"wait_for_server": call.kept, **how.get("options", {})}
        service = how.get("service", Work)
        key = (rabbit, service, call.timeout, *sorted(options.items()))
        remote = self._remotes.get(key)
        if remote is None:
            remote = rabbit.remote(service).with_options(timeout=call.timeout, **options)
            self._remotes[key] = remote
        return remote

    async def handlers_began(self) -> None:
        """Wait until the handlers of all calls have begun, but of those that have ended."""
        while waiting := [call for call in self._calls if not call.ended]:
            began = self.diary.read()
            if all(call.key in began for call in waiting):
                return
            await asyncio.sleep(0.005)

    async def ended(self) -> None:
        """Wait until all calls that were begun have ended."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    # -- the judgement --------------------------------------------------------------------------

    async def verdict(self) -> Verdict:
        """Wait until nothing that was said not to have run can begin any more, and judge."""
        await self.ended()
        unrun = [call for call in self._calls if _executed(call) == "no"]
        last = max((call.began + call.timeout + _LATEST for call in unrun), default=0.0)
        await asyncio.sleep(max(0.0, last - self._loop.time()))
        await self.handlers_ended()
        return self._judge(self.diary.read())

    async def fair(self) -> Verdict:
        """Judge, and fail the test if the promise was not kept."""
        verdict = await self.verdict()
        log.info("%s", verdict)
        assert verdict.kept, f"the promise was not kept: {verdict}"
        return verdict

    async def handlers_ended(self) -> None:
        """Those of servers that were killed never say so; 2 s are for the others."""
        for _ in range(20):
            if not any(entry.runs_now for entry in self.diary.read().values()):
                return
            await asyncio.sleep(0.1)

    def _judge(self, diary: dict[str, Entry]) -> Verdict:
        verdict = Verdict(calls=len(self._calls), faults=self.faults)
        for call in self._calls:
            entry = diary.get(call.key, Entry())
            for name, broken in self._broken(call, entry):
                setattr(verdict, name, getattr(verdict, name) + 1)
                verdict.complaints.append(f"{name}: {call}: {broken}")
            executed = _executed(call)
            verdict.maybe += executed == "maybe"
            verdict.results += executed == "yes" and call.error is None
            if call.error is not None:
                verdict.errors[f"{type(call.error).__name__} {executed}"] += 1
        return verdict

    def _broken(self, call: Call, entry: Entry) -> Iterable[tuple[str, str]]:
        yield from self._ran_wrongly(call, entry)
        if not call.cancelled:
            yield from self._ended_wrongly(call, entry)

    def _ran_wrongly(self, call: Call, entry: Entry) -> Iterable[tuple[str, str]]:
        if not call.idempotent and len(entry.began) > 1:
            yield "ran_twice", f"it ran: {entry}"
        on_its_clock = time.time() - self._loop.time()
        end = call.began + call.timeout
        late = max(entry.began, default=0.0) - on_its_clock - end
        at_its_begin = self.lag.between(end - _LOOP, end + late)
        if late > LATE + self._sent_late(call) + at_its_begin:
            yield "hung", f"its handler began {late:.3f} s after its deadline"

    def _ended_wrongly(self, call: Call, entry: Entry) -> Iterable[tuple[str, str]]:
        end = call.began + call.timeout
        at_its_end = self.lag.between(end - _LOOP, call.ended)
        allowed = LATE + self._sent_late(call) + at_its_end
        if call.overdue and call.ended > end + allowed:
            yield "hung", f"{call.ended - end:.3f} s late, allowed are {allowed:.3f} s"
        if call.error is not None and not isinstance(call.error, CallError):
            yield "hung", "it ended without a typed error"
        if call.kept and call.error is not None:
            yield "lost", f"the diary says: {entry}"
        if not call.right:
            yield "lost", "it got another call's result"
        executed = _executed(call)
        if executed == "no" and entry.began:
            yield "wrong_executed", f"it ran: {entry}"
        if executed == "yes" and not entry.began:
            yield "wrong_executed", "it never ran"
        if call.error is None and not entry.ended:
            yield "wrong_executed", "it has a result, and its handler did not end"

    def _sent_late(self, call: Call) -> float:
        """By how many seconds the loop may have sent it late."""
        return self.lag.between(call.began, call.began + _SENT)


def _executed(call: Call) -> Executed | None:
    """What the caller was told; None if it went away, or the end says nothing."""
    if call.cancelled:
        return None
    if call.error is None:
        return "yes"
    return call.error.executed if isinstance(call.error, CallError) else None


def _words() -> Iterable[str]:
    """Keys that differ in more than one character: a falsified one is nobody else's."""
    return (f"{n:x}{n * 7 % 997:03d}" for n in itertools.count(1))
