"""What is counted of a method between two polls, and quantiles of that. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from leveret.observe import OK, Histogram
from leveret.wire.stats import HistogramStats, QueueStats

__all__ = ["Tick", "quantile", "tick_of", "together"]


class Tick(Struct, frozen=True, kw_only=True):
    """What became of a method between two polls."""

    poll: int
    """The number of the later one."""
    calls: int
    """How many calls ended."""
    failed: int
    """How many of those with an error."""
    handler: Sequence[int]
    """Their handler times, by bucket."""
    queue: Sequence[int]
    """Their times in queues, by bucket."""


def tick_of(poll: int, previous: QueueStats | None, stats: QueueStats) -> Tick | None:
    """What a server counted between two polls; None where no call ended.

    :param poll: the number of the later one.
    :param previous: what it said before; None for a server that had not begun.
    """
    had = previous or QueueStats(finished=0, failed=0, running=0, concurrency=0)
    calls = sum(stats.handled.values()) - sum(had.handled.values())
    if calls <= 0:
        return None
    good = stats.handled.get(OK, 0) - had.handled.get(OK, 0)
    return Tick(
        poll=poll,
        calls=calls,
        failed=max(calls - good, 0),
        handler=_difference(stats.handler.counts, had.handler.counts),
        queue=_difference(stats.queue.counts, had.queue.counts),
    )


def together(one: Tick, other: Tick) -> Tick:
    """What two servers counted between the same two polls."""
    return Tick(
        poll=one.poll,
        calls=one.calls + other.calls,
        failed=one.failed + other.failed,
        handler=_sum(one.handler, other.handler),
        queue=_sum(one.queue, other.queue),
    )


def quantile(times: Histogram | HistogramStats, share: float) -> float | None:
    """Seconds that this share of calls did not exceed; None without calls."""
    if isinstance(times, HistogramStats):
        said, times = times, Histogram()
        times.add(said.counts, said.seconds)
    return times.quantile(share) if times.count else None


def _difference(counts: Sequence[int], before: Sequence[int]) -> list[int]:
    if len(before) != len(counts):
        return list(counts)
    return [now - then for now, then in zip(counts, before, strict=True)]


def _sum(counts: Sequence[int], others: Sequence[int]) -> list[int]:
    if len(others) != len(counts):
        return list(counts or others)
    return [one + other for one, other in zip(counts, others, strict=True)]
