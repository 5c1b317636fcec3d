"""Measures a method whose concurrency follows the load."""

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
    """The places that are limited."""

    @property
    def taken(self) -> int:
        """How many places are taken."""
        ...

    def resize(self, limit: int) -> None:
        """Have this many places from now on."""


class AdaptiveMeasures:
    """Gives the measurements to the limiter, and sets the number of places that it finds.

    :param measures: gets the measurements as well.
    :param clock: a clock in seconds that never jumps.
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
