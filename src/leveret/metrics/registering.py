"""Puts the counters of this process into registries of prometheus_client."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Final
from weakref import WeakSet

from prometheus_client import REGISTRY, CollectorRegistry, Metric
from prometheus_client.registry import Collector

from leveret.metrics.families import families
from leveret.observe import PROCESS, Snapshot

__all__ = ["SnapshotCollector", "register"]


class SnapshotCollector(Collector):
    """Gives metrics of a snapshot that is made when somebody asks.

    :param snapshot: makes it, or returns the one that is wanted.
    """

    def __init__(self, snapshot: Callable[[], Snapshot]) -> None:
        self._snapshot = snapshot

    def collect(self) -> Iterable[Metric]:
        """All metrics, as they are at this moment."""
        return families(self._snapshot())


_COLLECTOR: Final = SnapshotCollector(PROCESS.snapshot)
_registries: Final[WeakSet[CollectorRegistry]] = WeakSet()
_lock: Final = threading.Lock()


def register(registry: CollectorRegistry = REGISTRY) -> None:
    """Show what all clients and servers of this process count, those that were closed included.

    It costs calls nothing: what they count is read when Prometheus asks. Twice is fine.

    :param registry: where; the default is that of `prometheus_client.start_http_server`.
    """
    with _lock:
        if registry not in _registries:
            registry.register(_COLLECTOR)
            _registries.add(registry)
