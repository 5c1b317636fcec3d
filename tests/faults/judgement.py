"""The judgement: whether a call ended as the promise says, by what its handler really did. Pure.

`executed` "no" is true where the diary has no beginning of the call, ever; "yes" where it has one;
"maybe" always, so those are counted. What the caller's loop itself was late is allowed for.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Final

from leveret import CallError, NoServer
from leveret.errors import Executed
from tests.faults.diary import Entry
from tests.faults.one_way import OneWayJudge
from tests.faults.pipes import PipeJudge
from tests.faults.started import StartedJudge
from tests.faults.streams import StreamVerdict

LATE: Final = 0.1
"""Seconds after its deadline by which a call has to have ended."""
SENT: Final = 0.25
"""Seconds in which a call is on its way: until then, a late loop delays its deadline."""
GIVEN_UP: Final = re.compile(r"the request was taken ([6-9]|\d\d+) times, ")
"""What is said of a request that may have killed six servers: that one is not lost."""
LOOP: Final = 0.02
"""Seconds before the deadline from which on a late loop delays its end."""
TOLD_AND_KILLED: Final = "NoServer no, and it ran: its client was killed, and could not say so"
"""The kind of a call whose request ran for nobody."""

BROKEN: Final = (
    *("lost", "hung", "ran_twice", "wrong_executed"),
    *("items_lost", "items_doubled", "started_lost", "pipes_lost", "one_way_lost"),
)
"""The counts that are 0 where the promise was kept."""
_COUNTED: Final = ("calls", "streams", "started", "pipes", "one_way", "faults", *BROKEN)
"""What `make chaos` prints."""


@dataclass(slots=True, eq=False)
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
    streams: int = 0
    items_lost: int = 0
    items_doubled: int = 0
    started: int = 0
    started_lost: int = 0
    pipes: int = 0
    pipes_lost: int = 0
    one_way: int = 0
    """Requests that the broker has confirmed."""
    one_way_lost: int = 0
    maybe: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    allowed: Counter[str] = field(default_factory=Counter)
    """What the promise allows and nobody likes, by kind: the known limits, counted."""
    complaints: list[str] = field(default_factory=list)

    def add(self, other: Verdict) -> None:
        """Sum up."""
        for name in (*_COUNTED, "results"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.maybe += other.maybe
        self.errors += other.errors
        self.allowed += other.allowed
        self.complaints += other.complaints[:20]

    @property
    def kept(self) -> bool:
        """Whether the promise was kept in each call."""
        return not any(getattr(self, name) for name in BROKEN)

    def counts(self) -> dict[str, int]:
        """The numbers that `make chaos` prints."""
        return {name: getattr(self, name) for name in _COUNTED}

    def add_streams(self, streams: StreamVerdict) -> None:
        """What became of the streams of a round."""
        self.streams += streams.streams
        self.items_lost += streams.lost
        self.items_doubled += streams.doubled
        self.hung += streams.hung
        self.wrong_executed += streams.wrong_executed
        self.complaints += streams.complaints[:20]

    def add_started(self, judge: StartedJudge) -> None:
        """What became of the started calls of a round."""
        self.started += len(judge.started)
        self.started_lost += judge.lost
        self.ran_twice += judge.ran_twice
        self.complaints += judge.complaints[:20]

    def add_pipes(self, judge: PipeJudge) -> None:
        """What became of the pipes of a round."""
        self.pipes += len(judge.pipes)
        self.pipes_lost += judge.lost
        self.hung += judge.hung
        self.ran_twice += judge.ran_twice
        self.wrong_executed += judge.wrong_executed
        self.complaints += judge.complaints[:20]

    def add_one_way(self, judge: OneWayJudge) -> None:
        """What became of the one-way requests of a round."""
        self.one_way += judge.confirmed
        self.one_way_lost += judge.lost
        self.ran_twice += judge.ran_twice
        self.wrong_executed += judge.wrong_executed
        self.complaints += judge.complaints[:20]

    def __str__(self) -> str:
        shown = "\n  ".join(self.complaints[:20])
        return f"{self.counts()}, maybe: {self.maybe}, {dict(self.errors)}\n  {shown}"


class Judge:
    """Compares what callers were told with what handlers did. All times are on one clock.

    :param lag: the seconds of a span in which the caller's loop ran nobody's timers.
    :param begins_late: seconds after its deadline and `LATE` at which a handler may still begin, as
        the clocks of servers are not those of their callers.
    :param killed_at: when the process of a caller was killed; infinity if it was not.
    """

    def __init__(
        self,
        lag: Callable[[Call, float, float], float],
        *,
        begins_late: float = 0.0,
        killed_at: Callable[[Call], float] = lambda _call: inf,
    ) -> None:
        self._lag = lag
        self._begins_late = begins_late
        self._killed_at = killed_at

    def verdict(self, calls: Iterable[Call], diary: Mapping[str, Entry], faults: int) -> Verdict:
        """Judge all of them."""
        verdict = Verdict(faults=faults)
        for call in calls:
            verdict.calls += 1
            entry = diary.get(call.key, Entry())
            for name, broken in self.broken(call, entry):
                setattr(verdict, name, getattr(verdict, name) + 1)
                verdict.complaints.append(f"{name}: {call}: {broken}")
            verdict.allowed.update(self._allowed(call, entry))
            executed = told(call)
            verdict.maybe += executed == "maybe"
            verdict.results += executed == "yes" and call.error is None
            if call.error is not None:
                verdict.errors[f"{type(call.error).__name__} {executed}"] += 1
        return verdict

    def broken(self, call: Call, entry: Entry) -> Iterable[tuple[str, str]]:
        """Which parts of the promise were not kept, and how."""
        yield from self._ran_wrongly(call, entry)
        if not call.cancelled:
            yield from self._ended_wrongly(call, entry)

    def _ran_wrongly(self, call: Call, entry: Entry) -> Iterable[tuple[str, str]]:
        if not call.idempotent and len(entry.began) > 1:
            yield "ran_twice", f"it ran: {entry}"
        end = call.began + call.timeout
        late = max(entry.began, default=0.0) - end
        at_its_begin = self._lag(call, end - LOOP, end + late)
        if late > LATE + self._begins_late + self._sent_late(call) + at_its_begin:
            yield "hung", f"its handler began {late:.3f} s after its deadline"

    def _ended_wrongly(self, call: Call, entry: Entry) -> Iterable[tuple[str, str]]:
        end = call.began + call.timeout
        at_its_end = self._lag(call, end - LOOP, call.ended)
        allowed = LATE + self._sent_late(call) + at_its_end
        if call.overdue and call.ended > end + allowed:
            yield "hung", f"{call.ended - end:.3f} s late, allowed are {allowed:.3f} s"
        if call.error is not None and not isinstance(call.error, CallError):
            yield "hung", "it ended without a typed error"
        if call.kept and call.error is not None and not GIVEN_UP.search(str(call.error)):
            yield "lost", f"the diary says: {entry}"
        if not call.right:
            yield "lost", "it got another call's result"
        executed = told(call)
        if executed == "no" and entry.began and not self._could_not_say(call, entry):
            yield "wrong_executed", f"it ran: {entry}"
        if executed == "yes" and not entry.began:
            yield "wrong_executed", "it never ran"
        if call.error is None and not entry.ended:
            yield "wrong_executed", "it has a result, and its handler did not end"

    def _could_not_say(self, call: Call, entry: Entry) -> bool:
        return could_not_say(call.error, entry, self._killed_at(call))

    def _allowed(self, call: Call, entry: Entry) -> Iterable[str]:
        """What of the call the promise allows, though one would rather have it otherwise."""
        if call.idempotent and len(entry.began) > 1:
            yield "idempotent, ran again"
        if call.cancelled:
            return
        end = call.began + call.timeout
        if call.overdue and call.ended > end + LATE:
            yield "ended late, its process stood still"
        if max(entry.began, default=0.0) > end + LATE:
            yield "begun after its deadline, by a clock that is behind or stood still"
        if self._could_not_say(call, entry):
            yield TOLD_AND_KILLED
        if call.error is not None and GIVEN_UP.search(str(call.error)):
            yield "given up after six servers"
        elif told(call) == "maybe":
            ran = "ended" if entry.ended else "begun" if entry.began else "not begun"
            kind = "idempotent" if call.idempotent else "plain"
            yield f"{kind}, {type(call.error).__name__} maybe, {ran}"

    def _sent_late(self, call: Call) -> float:
        """By how many seconds the loop may have sent it late."""
        return self._lag(call, call.began, call.began + SENT)


def could_not_say(error: BaseException | None, entry: Entry, killed_at: float) -> bool:
    """Whether a request ran whose caller had heard that there is no server, and was killed then.

    Servers ask such a caller. One that finds that another server had the request, and perhaps lost
    it before it knew, runs it if it hears nothing for a second.
    """
    told_no = isinstance(error, NoServer) and error.executed == "no"
    return told_no and bool(entry.began) and min(entry.began) > killed_at


def told(call: Call) -> Executed | None:
    """What the caller was told; None if it went away, or the end says nothing."""
    if call.cancelled:
        return None
    if call.error is None:
        return "yes"
    return call.error.executed if isinstance(call.error, CallError) else None
