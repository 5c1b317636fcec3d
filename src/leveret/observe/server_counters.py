"""What a server counts of the requests of one queue. Pure: it is told the moments."""

from __future__ import annotations

from collections import Counter
from typing import Final, TypeAlias

from msgspec import Struct

from leveret.observe.callers import Callers
from leveret.observe.histogram import Histogram
from leveret.observe.uncounted import BATCH, Uncounted

OK: Final = "OK"
"""What stands where a call that failed has the code of its error."""


class LastError(Struct, frozen=True, kw_only=True):
    """The last error that a call of a queue ended with."""

    code: str
    """Its code."""
    message: str
    """What it says, shortened."""
    call_id: str
    """The call, "" if it has no id."""
    at: float
    """When, in seconds since 1970."""
    trace_id: str = ""
    """The trace of the call, 32 hexadecimal digits; "" if its caller named none."""


Record: TypeAlias = tuple[str, str, float, float, float | None, int, int]
"""A call that ended: what `ended` is told, in its order."""


class ServerCounters:
    """The requests of one queue, since the server began."""

    __slots__ = (
        "_bytes_in",
        "_bytes_out",
        "_callers",
        "_ended",
        "_handled",
        "_handler",
        "_queue",
        "handed_back",
        "items_in",
        "items_out",
        "last_error",
        "records",
        "redelivered",
        "started",
    )

    def __init__(
        self,
        *,
        started: int = 0,
        handed_back: int = 0,
        redelivered: int = 0,
        items_in: int = 0,
        items_out: int = 0,
    ) -> None:
        self.started = started
        """How many came, however they came."""
        self.handed_back = handed_back
        """How many requests went to another server, or back to the broker."""
        self.redelivered = redelivered
        """How many came that were delivered before, to this server or another one."""
        self.items_in = items_in
        """Items of uploads, of calls that have ended."""
        self.items_out = items_out
        """Items of streams, of calls that have ended."""
        self.last_error: LastError | None = None
        """The last error; None if there was none."""
        self._handled: dict[str, int] = {}
        self._handler = Histogram()
        self._queue = Histogram()
        self._bytes_in = self._bytes_out = 0
        self._callers = Callers()
        self._ended: Uncounted[Record] = Uncounted(self._count)
        self.records = self._ended.records
        """Those of calls that ended of late: who cannot afford `ended` appends to them, and calls
        `count_some` where there are `BATCH`."""

    def ended(
        self,
        code: str,
        caller: str,
        now: float,
        queued: float,
        ran: float | None,
        size_in: int,
        size_out: int,
    ) -> None:
        """A call ended here.

        :param code: `OK`, or that of its error.
        :param now: the moment, by a steady clock.
        :param queued: seconds before it had a place, or until it ended without one.
        :param ran: seconds for which it had a place; None if they are not to count.
        :param size_in: bytes of its arguments.
        :param size_out: bytes of its reply and items.
        """
        self.records.append((code, caller, now, queued, ran, size_in, size_out))
        if len(self.records) >= BATCH:
            self.count_some()

    def count_some(self) -> None:
        """Add records to the sums, unless that goes on already."""
        self._ended.count_some()

    @property
    def handled(self) -> dict[str, int]:
        """How many calls ended here, by the code of their error, `OK` without one."""
        self._ended.count()
        return self._handled

    @property
    def handler(self) -> Histogram:
        """How long calls had a place: middleware, handler, and the record of the reply.

        Those that stream are left out, as they take as long as their callers.
        """
        self._ended.count()
        return self._handler

    @property
    def queue(self) -> Histogram:
        """How long calls were on their way, in the queue, and waiting here for a place.

        Where requests do not say when they were sent, what came before them is left out.
        """
        self._ended.count()
        return self._queue

    @property
    def bytes_in(self) -> int:
        """Bytes of arguments."""
        self._ended.count()
        return self._bytes_in

    @property
    def bytes_out(self) -> int:
        """Bytes of replies, with the frames around them, and of the items of streams."""
        self._ended.count()
        return self._bytes_out

    @property
    def callers(self) -> Callers:
        """Who called."""
        self._ended.count()
        return self._callers

    def sent(self, size: int) -> None:
        """Bytes were sent for a call that ends at another server."""
        self._ended.count()
        self._bytes_out += size

    def _count(self, records: list[Record]) -> None:
        codes, names, moments, queued, ran, sizes_in, sizes_out = zip(*records, strict=True)
        self._queue.record_all(sorted(queued))
        self._handler.record_all(sorted(seconds for seconds in ran if seconds is not None))
        self._bytes_in += sum(sizes_in)
        self._bytes_out += sum(sizes_out)
        name, code, number = names[0], codes[0], len(records)
        if names.count(name) == codes.count(code) == number:  # as mostly: it takes half of the time
            self._add(name, code, number, moments[-1])
            return
        last = dict(zip(names, moments, strict=True))
        for (name, code), number in Counter(zip(names, codes, strict=True)).items():
            self._add(name, code, number, last[name])

    def _add(self, name: str, code: str, number: int, last: float) -> None:
        self._handled[code] = self._handled.get(code, 0) + number
        counts = self._callers.by_name.get(name) or self._callers.new(name)
        counts.handled += number
        counts.last = last
        if code != OK:
            counts.failed += number
