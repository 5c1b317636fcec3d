"""What one process has counted until a moment, by method: it can be added to that of another one.

Pure. It is what metrics are made of; workers send it to their supervisor as JSON.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from msgspec import Struct, field

from leveret.observe.client_counters import OTHER, ClientCounters
from leveret.observe.histogram import Histogram
from leveret.observe.server_counters import ServerCounters

MOST_METHODS: Final = 10_000
"""How many methods are told apart. What others count goes to `OTHER`."""


class Served(Struct, eq=False, kw_only=True):
    """The requests of one method, at all servers of a process."""

    started: int = 0
    """How many came."""
    handled: dict[str, int] = field(default_factory=dict)
    """How many calls ended, by code."""
    handed_back: int = 0
    """How many went to another server, or back to the broker."""
    redelivered: int = 0
    """How many came that were delivered before."""
    handler: Histogram = field(default_factory=Histogram)
    """How long calls had a place."""
    queue: Histogram = field(default_factory=Histogram)
    """How long they were on their way, in the queue, and waiting for a place."""
    bytes_in: int = 0
    """Bytes of arguments."""
    bytes_out: int = 0
    """Bytes of replies, and of the items of streams."""
    items_in: int = 0
    """Items of uploads."""
    items_out: int = 0
    """Items of streams."""
    running: int = 0
    """How many calls have a place now."""
    waiting: int = 0
    """How many wait for one now."""
    concurrency: int = 0
    """How many may have one at a time now."""

    def count(self, counters: ServerCounters | Served) -> None:
        """Add what was counted of a queue, or by another process; not what is so now."""
        self.started += counters.started
        _add(self.handled, counters.handled)
        self.handed_back += counters.handed_back
        self.redelivered += counters.redelivered
        self.handler.merge(counters.handler)
        self.queue.merge(counters.queue)
        self.bytes_in += counters.bytes_in
        self.bytes_out += counters.bytes_out
        self.items_in += counters.items_in
        self.items_out += counters.items_out


class Called(Struct, eq=False, kw_only=True):
    """The calls of one method, by all clients of a process."""

    started: int = 0
    """How many began."""
    handled: dict[str, dict[str, int]] = field(default_factory=dict)
    """How many ended, by code, and then by `executed`."""
    retries: int = 0
    """How many requests went beside or after the first of a call."""
    seconds: Histogram = field(default_factory=Histogram)
    """How long they took."""
    in_flight: int = 0
    """How many have not ended now."""

    def count(self, counters: ClientCounters) -> None:
        """Add what a client has counted; not what is so now."""
        self.started += counters.started
        for (code, executed), number in counters.by_outcome().items():
            _add(self.handled.setdefault(code, {}), {executed: number})
        self.retries += counters.retries
        self.seconds.merge(counters.seconds)

    def add(self, other: Called) -> None:
        """Add what another process has counted."""
        self.started += other.started
        for code, numbers in other.handled.items():
            _add(self.handled.setdefault(code, {}), numbers)
        self.retries += other.retries
        self.seconds.merge(other.seconds)


class Snapshot(Struct, eq=False, kw_only=True):
    """What the servers and clients of a process have counted, or those of several processes."""

    served: dict[str, Served] = field(default_factory=dict)
    """Their servers' methods, by "service.method"."""
    called: dict[str, Called] = field(default_factory=dict)
    """Their clients' methods, by "service.method"."""
    reconnects: int = 0
    """How often a connection was opened again."""
    late_replies: int = 0
    """How many replies came for which no call waited."""

    def served_of(self, method: str) -> Served:
        """What is counted of a method at servers, as "service.method"."""
        if method not in self.served and len(self.served) >= MOST_METHODS:
            method = OTHER
        return self.served.setdefault(method, Served())

    def called_of(self, method: str) -> Called:
        """What is counted of a method at clients, as "service.method"."""
        if method not in self.called and len(self.called) >= MOST_METHODS:
            method = OTHER
        return self.called.setdefault(method, Called())

    def add(self, other: Snapshot, *, is_over: bool = False) -> None:
        """Add another one.

        :param is_over: whether its process has ended: then nothing is so now of what it says.
        """
        for method, its_served in other.served.items():
            served = self.served_of(method)
            served.count(its_served)
            if not is_over:
                served.running += its_served.running
                served.waiting += its_served.waiting
                served.concurrency += its_served.concurrency
        for method, its_called in other.called.items():
            called = self.called_of(method)
            called.add(its_called)
            if not is_over:
                called.in_flight += its_called.in_flight
        self.reconnects += other.reconnects
        self.late_replies += other.late_replies


def total(snapshots: Iterable[Snapshot], ended: Snapshot | None = None) -> Snapshot:
    """The sum of several.

    :param ended: what processes have counted that have ended.
    """
    found = Snapshot()
    if ended is not None:
        found.add(ended, is_over=True)
    for snapshot in snapshots:
        found.add(snapshot)
    return found


def _add(mine: dict[str, int], its: dict[str, int]) -> None:
    # A copy is made in one step: another thread may count meanwhile.
    for key, number in its.copy().items():
        mine[key] = mine.get(key, 0) + number
