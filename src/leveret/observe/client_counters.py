"""What a client counts of its calls, method by method. Pure: it is told the moments."""

from __future__ import annotations

import threading
from typing import Final, TypeAlias

from leveret.errors import CallError, Code
from leveret.observe.histogram import Exemplar, Histogram
from leveret.observe.server_counters import OK
from leveret.observe.uncounted import BATCH, Uncounted

_MOST: Final = 10_000
"""How many methods are told apart: a program may call any name."""
MOST_OUTCOMES: Final = 100
"""How many pairs of code and `executed` are told apart: servers may make up codes."""
OTHER: Final = "_other"
"""What further methods, and further codes, are counted as."""

_Failure: TypeAlias = tuple[tuple[str, str], float]
"""Code and `executed` of a call that failed, and its seconds."""


class ClientCounters:
    """The calls of one method by one client, each with all its attempts.

    :param started: how many began.
    :param retries: how many requests went beside or after the first of a call.
    """

    __slots__ = (
        "_answered",
        "_failed",
        "_handled",
        "_seconds",
        "_succeeded",
        "records",
        "retries",
        "started",
    )

    def __init__(self, *, started: int = 0, retries: int = 0) -> None:
        self.started = started
        """How many began."""
        self.retries = retries
        """How many requests went beside or after the first of a call: retries and hedges."""
        self._succeeded = 0
        self._handled: dict[tuple[str, str], int] = {}
        self._seconds = Histogram()
        counting = threading.Lock()
        self._answered: Uncounted[float] = Uncounted(self._count_answered, counting)
        self._failed: Uncounted[_Failure] = Uncounted(self._count_failed, counting)
        self.records = self._answered.records
        """The seconds of calls that got their results of late: who cannot afford `answered` appends
        to them, and calls `count_some` where there are `BATCH`."""

    def answered(self, seconds: float) -> None:
        """A call has its result."""
        self.records.append(seconds)
        if len(self.records) >= BATCH:
            self.count_some()

    def count_some(self) -> None:
        """Add records to the sums, unless that goes on already."""
        self._answered.count_some()

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
        self._failed.records.append((key, seconds))
        self._failed.count_some()

    @property
    def handled(self) -> dict[tuple[str, str], int]:
        """How many ended, by code and `executed`. Those that succeeded are in `succeeded`."""
        self._failed.count()
        return self._handled

    @property
    def succeeded(self) -> int:
        """How many ended with their result."""
        self._answered.count()
        return self._succeeded

    @property
    def seconds(self) -> Histogram:
        """How long they took, with all that they waited for."""
        self._answered.count()
        self._failed.count()
        return self._seconds

    def exemplify(self, exemplar: Exemplar | None) -> None:
        """Keep what leads to a call that was counted, if there is anything."""
        if exemplar is not None:
            self._seconds.exemplify(exemplar)

    @property
    def in_flight(self) -> int:
        """How many calls have not ended."""
        return self.started - self.succeeded - sum(self.handled.copy().values())

    def by_outcome(self) -> dict[tuple[str, str], int]:
        """How many ended, by code and `executed`; a result has `OK` and "yes"."""
        return {(OK, "yes"): self.succeeded, **self.handled}

    def _count_answered(self, records: list[float]) -> None:
        self._succeeded += len(records)
        self._seconds.record_all(sorted(records))

    def _count_failed(self, records: list[_Failure]) -> None:
        for key, seconds in records:
            self._fail(key)
            self._seconds.record(seconds)

    def _fail(self, key: tuple[str, str]) -> None:
        handled = self._handled
        if key not in handled and len(handled) >= MOST_OUTCOMES:
            key = OTHER, key[1]
        handled[key] = handled.get(key, 0) + 1


class ClientMethods:
    """The counters of all methods that a client has called."""

    __slots__ = ("by_method",)

    def __init__(self) -> None:
        self.by_method: dict[str, ClientCounters] = {}

    def forget(self) -> None:
        """Begin at zero: this process was forked, and what its parent counted is the parent's."""
        for counters in self.by_method.values():
            counters.__init__()  # type: ignore[misc]  # calls hold on to these

    def of(self, method: str) -> ClientCounters:
        """Those of a method, as "service.method"."""
        if method not in self.by_method and len(self.by_method) >= _MOST:
            method = OTHER
        return self.by_method.setdefault(method, ClientCounters())
