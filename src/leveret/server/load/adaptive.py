"""What is measured of a method whose concurrency follows the load."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from leveret.server.load.limiter import Limiter


class Measures(Protocol):
    """Learns how long calls take, in seconds from when they got their places."""

    def record(self, seconds: float) -> None:
        """A call ended by itself."""

    def record_cut_off(self, seconds: float) -> None:
        """A call was cut off by its deadline."""


class Places(Protocol):
    """The places that the limit is for."""

    @property
    def taken(self) -> int:
        """How many are taken."""
        ...

    def resize(self, limit: int) -> None:
        """Have as many from now on."""


class AdaptiveMeasures:
    """Passes on what is measured, and has as many places as the limiter makes of it.

    :param measures: what else learns of it.
    :param clock: seconds that go on steadily.
    """

    def __init__(
        self, measures: Measures, limiter: Limiter, places: Places, clock: Callable[[], float]
    ) -> None:
        self._measures = measures
        self._limiter = limiter
        self._places = places
        self._clock = clock

    def record(self, seconds: float) -> None:
        """A call ended by itself."""
        self._measures.record(seconds)
        self._learn(seconds)

    def record_cut_off(self, seconds: float) -> None:
        """A call was cut off by its deadline: it took at least as long."""
        self._measures.record_cut_off(seconds)
        self._learn(seconds)

    def _learn(self, seconds: float) -> None:
        self._limiter.took(self._clock(), seconds, self._places.taken)
        self._places.resize(self._limiter.limit)
