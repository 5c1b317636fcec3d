"""What a client counts of its calls, method by method. Pure: it is told the moments."""

from __future__ import annotations

from bisect import bisect_left
from typing import Final

from msgspec import Struct, field

from leveret.errors import CallError, Code
from leveret.observe.histogram import BOUNDS, Histogram
from leveret.observe.server_counters import OK

_MOST: Final = 10_000
"""How many methods are told apart: a program may call any name."""
MOST_OUTCOMES: Final = 100
"""How many pairs of code and `executed` are told apart: servers may make up codes."""
OTHER: Final = "_other"
"""What further methods, and further codes, are counted as."""


class ClientCounters(Struct, eq=False, kw_only=True):
    """The calls of one method by one client, each with all its attempts."""

    started: int = 0
    """How many began."""
    handled: dict[tuple[str, str], int] = field(default_factory=dict)
    """How many ended, by code and `executed`. Those that succeeded are in `succeeded`."""
    succeeded: int = 0
    """How many ended with their result."""
    retries: int = 0
    """How many requests went beside or after the first of a call: retries and hedges."""
    seconds: Histogram = field(default_factory=Histogram)
    """How long they took, with all that they waited for."""

    def answered(self, seconds: float) -> None:
        """A call has its result."""
        self.succeeded += 1
        histogram = self.seconds
        histogram.counts[bisect_left(BOUNDS, seconds)] += 1
        histogram.total += seconds

    def failed(self, error: BaseException, seconds: float) -> None:
        """A call ended with an error: it counts by its `code` and its `executed`.

        Any that is not of Leveret is counted as the caller's own: it left, or made a mistake.
        """
        if isinstance(error, CallError):
            key = str(error.code), str(error.executed)
        elif isinstance(error, Exception):
            key = Code.INTERNAL.value, "no"
        else:
            key = Code.CANCELLED.value, "maybe"
        if key not in self.handled and len(self.handled) >= MOST_OUTCOMES:
            key = OTHER, key[1]
        self.handled[key] = self.handled.get(key, 0) + 1
        self.seconds.record(seconds)

    @property
    def in_flight(self) -> int:
        """How many calls have not ended."""
        return self.started - self.succeeded - sum(self.handled.values())

    def by_outcome(self) -> dict[tuple[str, str], int]:
        """How many ended, by code and `executed`; a result has `OK` and "yes"."""
        return {(OK, "yes"): self.succeeded, **self.handled}


class ClientMethods:
    """The counters of all methods that a client has called."""

    __slots__ = ("by_method",)

    def __init__(self) -> None:
        self.by_method: dict[str, ClientCounters] = {}

    def forget(self) -> None:
        """Begin at zero: this process was forked, and what its parent counted is the parent's."""
        for counters in self.by_method.values():
            counters.started = counters.succeeded = counters.retries = 0
            counters.handled, counters.seconds = {}, Histogram()

    def of(self, method: str) -> ClientCounters:
        """Those of a method, as "service.method"."""
        if method not in self.by_method and len(self.by_method) >= _MOST:
            method = OTHER
        return self.by_method.setdefault(method, ClientCounters())
