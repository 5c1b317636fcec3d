"""What a server counts of the requests of one queue. Pure: it is told the moments.

`ended` is what each call comes by. So it is one function, and finds with one look-up each what it
adds to.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Final

from msgspec import Struct, field

from leveret.observe.callers import Callers
from leveret.observe.histogram import BOUNDS, Histogram

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


class ServerCounters(Struct, eq=False, kw_only=True):
    """The requests of one queue, since the server began."""

    started: int = 0
    """How many came, however they came."""
    handled: dict[str, int] = field(default_factory=dict)
    """How many calls ended here, by the code of their error, `OK` without one."""
    handed_back: int = 0
    """How many requests went to another server, or back to the broker."""
    redelivered: int = 0
    """How many came that were delivered before, to this server or another one."""
    handler: Histogram = field(default_factory=Histogram)
    """How long calls had a place: middleware, handler, and the record of the reply. Those that
    stream are left out, as they take as long as their callers."""
    queue: Histogram = field(default_factory=Histogram)
    """How long calls were on their way, in the queue, and waiting here for a place; as far as
    their requests say when they were sent."""
    bytes_in: int = 0
    """Bytes of arguments."""
    bytes_out: int = 0
    """Bytes of replies, with the frames around them, and of the items of streams."""
    items_in: int = 0
    """Items of uploads, of calls that have ended."""
    items_out: int = 0
    """Items of streams, of calls that have ended."""
    callers: Callers = field(default_factory=Callers)
    """Who called."""
    last_error: LastError | None = None
    """The last error; None if there was none."""

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
        handled = self.handled
        handled[code] = handled.get(code, 0) + 1
        queue = self.queue
        queue.counts[bisect_left(BOUNDS, queued)] += 1
        queue.total += queued
        if ran is not None:
            handler = self.handler
            handler.counts[bisect_left(BOUNDS, ran)] += 1
            handler.total += ran
        self.bytes_in += size_in
        self.bytes_out += size_out
        counts = self.callers.by_name.get(caller) or self.callers.new(caller)
        counts.handled += 1
        counts.last = now
        if code != OK:
            counts.failed += 1
