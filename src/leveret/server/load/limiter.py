"""How many calls of a method run at a time, found from how long they take: pure, no clock.

Little's law says how a server with a fixed capacity behaves: until it is full, more calls at a time
do not make each slower; from then on they only do that. So the limit goes up while calls take about
as long as they do when few run (the baseline), and down, in proportion, when they take more than
`tolerance` times as long. With a tolerance of 2 a server that has its best throughput at 20 calls
settles at about 40: full, with a short queue.

Nobody tells the limiter the baseline. It follows lower latencies down, and all latencies while few
calls run. But a database that has become slower for reasons of its own looks as if too many calls
ran; then the limit falls, and that does not help. So when the limit has been halved and calls take
about as long as before, it was not their number: what they take now is the baseline.

The ideas are those of TCP Vegas, which limiters of concurrency have taken up.
"""

from __future__ import annotations

from math import sqrt
from typing import Final

from leveret.contract import Adaptive

_SPAN: Final = 0.2
"""Seconds on which a judgement is based at least."""
_SAMPLES: Final = (5, 30)
"""A judgement is based on twice the limit of calls at least, within these bounds."""
_MOST_SAMPLES: Final = 1_000
_STEEPEST: Final = 0.5
"""The part of itself to which the limit falls at most in one step."""
_USED: Final = 0.8
"""The part of the limit that must have been used before it rises."""
_FEW: Final = 0.5
"""The part of the limit below which few calls run."""
_DOWN, _ALONG = 0.3, 0.1
"""How fast the baseline follows lower latencies, and any while few calls run."""
_WORSE: Final = 1.1
"""The factor by which calls must have become slower for the fall to begin anew."""
_NO_HELP: Final = 0.8
"""If half the calls still take longer than this part of what all took, their number is not the
cause."""


class Limiter:
    """The limit of one method in one server.

    :param most: the highest limit, if it is lower than the policy's.
    """

    def __init__(self, policy: Adaptive, most: int) -> None:
        self._least = min(policy.least, most)
        self._most = min(policy.most, most)
        self._tolerance = policy.tolerance
        self._exact = float(max(self._least, min(policy.start, self._most)))
        self._baseline = 0.0
        """How long a call takes when few run, in seconds; 0 while that is not known."""
        self._latencies: list[float] = []
        self._busiest = 0
        self._since = 0.0
        self._changed = 0.0
        self._high: tuple[float, float] | None = None
        """The limit and the latency when the limit began to fall."""

    @property
    def limit(self) -> int:
        """How many calls may run at the same time."""
        return int(self._exact)

    def took(self, now: float, latency: float, running: int) -> None:
        """Note a call that ended.

        :param now: seconds on any clock that goes on steadily.
        :param latency: how long it took, in seconds.
        :param running: how many ran when it ended, itself included.
        """
        if now - latency < self._changed:
            return  # it began under another limit
        if not self._latencies:
            self._since = now
        if len(self._latencies) < _MOST_SAMPLES:
            self._latencies.append(max(latency, 1e-6))
        self._busiest = max(self._busiest, running)
        fewest = min(max(_SAMPLES[0], 2 * self.limit), _SAMPLES[1])
        if now - self._since >= _SPAN and len(self._latencies) >= fewest:
            before = self.limit
            self._judge(sorted(self._latencies)[len(self._latencies) // 2])
            if self.limit != before:
                self._changed = now
            self._latencies.clear()
            self._busiest = 0

    def _judge(self, latency: float) -> None:
        self._follow(latency)
        gradient = self._tolerance * self._baseline / latency
        if gradient < 1:
            self._fall(latency, max(gradient, _STEEPEST))
        else:
            self._high = None
            if self._busiest >= self._exact * _USED:
                self._exact = min(self._most, self._exact + sqrt(self._exact))

    def _follow(self, latency: float) -> None:
        if not self._baseline:
            self._baseline = latency
        elif latency < self._baseline:
            self._baseline += (latency - self._baseline) * _DOWN
        elif self._busiest <= self._exact * _FEW:
            self._baseline += (latency - self._baseline) * _ALONG

    def _fall(self, latency: float, gradient: float) -> None:
        if self._high is None or latency > self._high[1] * _WORSE:
            self._high = self._exact, latency
        limit, before = self._high
        if self._exact <= max(limit / 2, self._least):
            if latency > before * _NO_HELP:
                self._baseline = latency
                self._high = None
                return
            self._high = self._exact, latency
        self._exact = max(self._least, self._exact * gradient)
