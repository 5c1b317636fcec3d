"""A histogram of durations, whose buckets are the same everywhere, so that any two can be added.

Pure. A duration falls into the first bucket whose bound it does not exceed, as in Prometheus.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import Final

from msgspec import Struct, field

BOUNDS: Final = (
    *(0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 180.0, 600.0, 1_800.0, 7_200.0),
)
"""The upper bounds of the buckets, in seconds. One more bucket has all that is longer."""


class Exemplar(Struct, frozen=True, kw_only=True):
    """One of the durations of a bucket, and where it can be looked at in detail."""

    seconds: float
    """How long it took."""
    trace_id: str
    """The trace that it is in: 32 hexadecimal digits."""
    span_id: str
    """Its span: 16 hexadecimal digits."""
    at: float
    """When it ended, in seconds since 1970."""


def _no_counts() -> list[int]:
    return [0] * (len(BOUNDS) + 1)


class Histogram(Struct, eq=False, kw_only=True):
    """How long something took, how often."""

    counts: list[int] = field(default_factory=_no_counts)
    """How many durations fell into each bucket."""
    total: float = 0.0
    """The seconds of all of them together."""
    exemplars: dict[int, Exemplar] = field(default_factory=dict)
    """The latest exemplar of each bucket that has one, by the number of the bucket."""

    def record(self, seconds: float) -> None:
        """Something took so long."""
        self.counts[bisect_left(BOUNDS, seconds)] += 1
        self.total += seconds

    def record_all(self, ordered: Sequence[float]) -> None:
        """Something took so long, for each of these, the shortest first."""
        if not ordered:
            return
        counts, below, number = self.counts, 0, len(ordered)
        bucket = bisect_left(BOUNDS, ordered[0])
        while below < number and bucket < len(BOUNDS):
            upto = bisect_right(ordered, BOUNDS[bucket])
            counts[bucket] += upto - below
            below, bucket = upto, bucket + 1
        counts[-1] += number - below
        self.total += sum(ordered)

    def add(self, counts: Sequence[int], total: float) -> None:
        """Add what another histogram has counted; one with other buckets is left out."""
        if len(counts) == len(self.counts):
            self.counts = [mine + its for mine, its in zip(self.counts, counts, strict=True)]
            self.total += total

    def exemplify(self, exemplar: Exemplar) -> None:
        """Keep an exemplar of a duration that was recorded."""
        self.exemplars[bisect_left(BOUNDS, exemplar.seconds)] = exemplar

    def merge(self, other: Histogram) -> None:
        """Add all of another one. Of two exemplars of a bucket the later one stays."""
        self.add(other.counts, other.total)
        # A copy is made in one step: another thread may record meanwhile.
        for bucket, exemplar in other.exemplars.copy().items():
            mine = self.exemplars.get(bucket)
            if mine is None or mine.at <= exemplar.at:
                self.exemplars[bucket] = exemplar

    @property
    def count(self) -> int:
        """How many durations there were."""
        return sum(self.counts)

    @property
    def mean(self) -> float:
        """Seconds; 0.0 where there were none."""
        count = self.count
        return self.total / count if count else 0.0

    def quantile(self, share: float) -> float:
        """The seconds that this share of all durations did not exceed; 0.0 where there were none.

        Inside of a bucket the durations are taken for spread evenly; one alone is known. Of what is
        longer than the last bound no more is known than that.

        :param share: between 0 and 1; 0.5 is the median.
        """
        all_counts = self.count
        rank = share * all_counts
        below = 0
        for number, count in enumerate(self.counts[:-1]):
            if count and below + count >= rank:
                low = BOUNDS[number - 1] if number else 0.0
                if all_counts == 1:
                    return min(max(self.total, low), BOUNDS[number])
                return low + (BOUNDS[number] - low) * (rank - below) / count
            below += count
        return BOUNDS[-1] if self.counts[-1] else 0.0
