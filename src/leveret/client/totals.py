"""The sums of what the servers of a method have counted. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct, field

from leveret.observe import OK, Histogram
from leveret.wire.stats import CallerStats, ErrorStats, QueueStats, ServerStats

__all__ = ["MethodTotals", "method_of", "totals"]


class MethodTotals(Struct, eq=False, kw_only=True):
    """One method, summed over the servers that answered and over their queues of it."""

    method: str
    """The method, as "service.method"."""
    servers: int = 0
    """How many of those servers serve it."""
    finished: int = 0
    """How many requests they have answered."""
    handled: dict[str, int] = field(default_factory=dict)
    """How many calls ended, by the code of their error, "OK" without one."""
    handed_back: int = 0
    """How many requests went to another server, or back to the broker."""
    redelivered: int = 0
    """How many requests were redelivered."""
    running: int = 0
    """How many calls run now."""
    waiting: int = 0
    """How many calls wait at a server for their turn."""
    concurrency: int = 0
    """How many calls may run at a time now, at all servers together."""
    handler: Histogram = field(default_factory=Histogram)
    """How long handlers took."""
    queue: Histogram = field(default_factory=Histogram)
    """How long calls took before their handlers began: on their way, in the queue, and at the
    server."""
    bytes_in: int = 0
    """Bytes of arguments."""
    bytes_out: int = 0
    """Bytes of replies and items."""
    callers: dict[str, CallerStats] = field(default_factory=dict)
    """The callers, by the names that they gave themselves."""
    last_error: ErrorStats | None = None
    """The latest of the last errors of the servers."""

    @property
    def ended(self) -> int:
        """How many calls ended, with a result or an error."""
        return sum(self.handled.values())

    @property
    def failed(self) -> int:
        """How many of them ended with an error, of any code."""
        return self.ended - self.handled.get(OK, 0)

    def add(self, stats: QueueStats) -> None:
        """Add what a server says of one of its queues."""
        self.finished += stats.finished
        for code, count in stats.handled.items():
            self.handled[code] = self.handled.get(code, 0) + count
        self.handed_back += stats.handed_back
        self.redelivered += stats.redelivered
        self.running += stats.running
        self.waiting += stats.waiting
        self.concurrency += stats.concurrency
        self.handler.add(stats.handler.counts, stats.handler.seconds)
        self.queue.add(stats.queue.counts, stats.queue.seconds)
        self.bytes_in += stats.bytes_in
        self.bytes_out += stats.bytes_out
        for name, more in stats.callers.items():
            had = self.callers.get(name, CallerStats())
            self.callers[name] = CallerStats(
                handled=had.handled + more.handled, failed=had.failed + more.failed
            )
        error, last = stats.last_error, self.last_error
        if error is not None and (last is None or error.at > last.at):
            self.last_error = error


def method_of(queue: str, stats: QueueStats) -> str:
    """The method of a queue. Older servers name only the queue."""
    return stats.method or queue.removeprefix("leveret.")


def totals(servers: Iterable[ServerStats]) -> dict[str, MethodTotals]:
    """Sum what servers say of their queues, by method, in the order of the methods' names."""
    found: dict[str, MethodTotals] = {}
    for server in servers:
        here: set[str] = set()
        for queue, stats in server.methods.items():
            method = method_of(queue, stats)
            one = found.setdefault(method, MethodTotals(method=method))
            one.servers += method not in here
            here.add(method)
            one.add(stats)
    return {method: found[method] for method in sorted(found)}
