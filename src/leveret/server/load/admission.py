"""Which requests are begun: those that can still be finished in time.

What overload does to a queue. Say that a server runs 250 calls/s, is sent 2,500, and callers wait
0.5 s. The queue grows until its oldest request is 0.5 s old; from then on the broker drops requests
at the queue's head as they expire. So the head is always about to expire, and the head is what a
server gets: it works on requests that have a millisecond left, all the time, and finishes none. The
server is busy, and its goodput is nil.

So a server does not begin what it cannot finish, and answers it at once, as one that waited for too
long ("queue"); the next request at the head is a little younger. Soon the head is as old as a
request may be that still can be finished, and the server finishes all that it begins.

How long a handler takes is measured, over the latest `WINDOW` calls, of which two lengths count:

- the *fastest* result. A request that has less time left than that is refused, however long it has
  waited: none of the latest calls was that fast.
- what is *usual*: nineteen of twenty calls took less, those counted in that were cut off by their
  deadlines. Handlers' times vary, and under overload every request is begun with exactly as little
  time left as it may have; were that the fastest call's, nearly all would be cut off. But one call
  in twenty may always be slow, or hang. So this length refuses only requests that have waited for
  more than half of the time they had: those that come when nothing waits are never refused for it,
  and under overload it costs nothing, since there are younger requests to take instead.

Once many are refused, a request must also have a quarter of its time left. That costs no goodput
either, and a reply that is slow to travel, for the broker and the callers have much to do as well,
still comes in time.

No method starves by this: nothing is refused before `ENOUGH` calls were measured, nor when the last
of them is so old that the handler may be faster again (`_trusted`), and a call that comes fresh is
held only to the fastest.

Why first in, first out. Newest first would give those that are served a shorter wait, for the same
goodput. But a server sees only the head of the broker's queue, which is in order of age, and all at
the head have about the same time left; to choose the newest it would have to hold all of the queue
itself, which no other server could take then, and which would be `MaybeExecuted` when it dies.
Order also is what callers expect. Whoever wants short waits under overload bounds the queue,
`max_length=`: the broker then turns away what is too much at once, as `Busy`, and that costs the
servers nothing. Or the caller asks not to wait, `if_busy="fail"`.

Refusing has to be fast. With prefetch = concurrency, a place that becomes free would take one
request from the broker at a time, nine of ten of them to be refused, each for a round trip: places
would be empty for longer than it takes to fill them. So a server that refuses many takes
`LOOK_AHEAD` more than it runs (see `slots.py`): they are refused by the dozen, and one that is fit
waits when a place becomes free. Once few are refused for `_CALM`, the prefetch is as before: while
other servers are free, nothing shall wait in one that is not.
"""

from __future__ import annotations

from collections import deque
from math import inf
from typing import Final

from leveret.errors import DeadlineExceeded

WINDOW: Final = 128
"""How many of the latest calls count for a handler's time."""
ENOUGH: Final = 20
"""Calls that must have been measured before anything is refused."""
LOOK_AHEAD: Final = 32
"""Requests that a server takes on top of those it runs while it refuses many."""

_USUAL: Final = 0.95
_MARGIN: Final = 1.2
"""Seconds in addition to the usual time, for delays of the loop and for the reply's way."""
_CUT_OFF: Final = 1.25
"""A call that was cut off counts as longer by this factor, as its real length is unknown."""
_SLACK: Final = 0.25
"""The part of its time that a request must have left under overload."""
_RENEWED: Final = 0.25
"""Seconds between two judgements while requests are refused."""
_TRUSTED: Final = 1.0
"""Seconds, in addition to ten times the usual length, for which measurements are valid."""
_MANY: Final = 8
"""Refused requests within `_MANY_WITHIN` that count as an overload."""
_MANY_WITHIN: Final = 0.25
_CALM: Final = 2.0
"""Seconds without many refused requests after which an overload is over."""

_Length = tuple[float, bool]
"""How long a call took, in seconds, and whether it was cut off then."""


class Admission:
    """Measures one method's calls, and refuses requests that have too little time left.

    All times are seconds on a clock that goes on steadily, handed in.
    """

    def __init__(self) -> None:
        self._fresh: deque[_Length] = deque(maxlen=WINDOW)
        self._lengths: deque[_Length] = deque(maxlen=WINDOW)
        self.fastest = 0.0
        """The fastest of the latest calls, in seconds; 0 while it is not known."""
        self.usual = 0.0
        """The time that nineteen of twenty of the latest calls took at most, in seconds; 0 if
        unknown."""
        self.refused = 0
        """How many requests were refused."""
        self._judged = -inf
        self._measured = -inf
        self._counted_since = -inf
        self._counted = 0
        self._overload_until = -inf

    def record(self, seconds: float) -> None:
        """A call ended by itself, this long after it got its place."""
        self._fresh.append((seconds, False))  # each call comes by here

    def record_cut_off(self, seconds: float) -> None:
        """A call was cut off by its deadline, this long after it got its place."""
        self._fresh.append((seconds, True))

    def judge(self, now: float) -> float:
        """Look at the latest measurements.

        :returns: seconds; requests with less time left must be given to `check`.
        """
        self._judged = now
        if self._fresh:
            self._measured = now
            self._lengths.extend(self._fresh)
            self._fresh.clear()
            if len(self._lengths) >= ENOUGH:
                ended = (seconds for seconds, cut_off in self._lengths if not cut_off)
                self.fastest = min(ended, default=0.0)
                lengths = sorted(
                    seconds * _CUT_OFF if cut_off else seconds for seconds, cut_off in self._lengths
                )
                self.usual = lengths[int(len(lengths) * _USUAL)] * _MARGIN
        if self.overloaded(now):
            return inf
        return max(self.fastest, self.usual) if self._trusted(now) else 0.0

    def check(self, remaining: float, budget: float, now: float) -> None:
        """Check whether a request has enough time left.

        :param remaining: the seconds until its deadline.
        :param budget: the seconds that it had when it was sent.
        :raises DeadlineExceeded: if it has not.
        """
        if remaining <= 0:
            self._count(now)
            raise DeadlineExceeded(
                "the deadline had passed when a server took the request", where="queue"
            )
        if now - self._judged > _RENEWED:
            self.judge(now)
        if not self._trusted(now) or remaining >= self.needed(budget, now):
            return
        self._count(now)
        raise DeadlineExceeded(
            f"the request waited in the queue until too little time was left: {_ms(remaining)} of"
            f" {_ms(budget)}; of late the handler took {_ms(self.fastest)} at the least, so it was"
            " not begun",
            where="queue",
        )

    def needed(self, budget: float, now: float) -> float:
        """The seconds that a request with this `budget` must have left."""
        usual = max(self.usual, budget * _SLACK) if self.overloaded(now) else self.usual
        return max(self.fastest, min(usual, budget / 2))

    def overloaded(self, now: float) -> bool:
        """Whether many requests are refused, or were a moment ago."""
        return now < self._overload_until

    def _trusted(self, now: float) -> bool:
        return now - self._measured <= _TRUSTED + 10 * self.usual

    def _count(self, now: float) -> None:
        self.refused += 1
        if now - self._counted_since > _MANY_WITHIN:
            self._counted_since = now
            self._counted = 0
        self._counted += 1
        if self._counted >= _MANY:
            self._overload_until = now + _CALM


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"
