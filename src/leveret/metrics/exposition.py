"""Metrics as text, in the format that a client takes: of Prometheus, or of OpenMetrics."""

from __future__ import annotations

from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.exposition import choose_encoder

from leveret.metrics.registering import SnapshotCollector, register
from leveret.observe import Snapshot

__all__ = ["exposition_of_process", "exposition_of_snapshot"]


def exposition_of_process(accept: str) -> tuple[bytes, str]:
    """All metrics of this process, those of its program and its libraries included.

    :param accept: the formats that the client takes, as HTTP's `Accept` has them.
    :returns: the text, and its content type.
    """
    register()
    return _encoded(REGISTRY, accept)


def exposition_of_snapshot(snapshot: Snapshot, accept: str) -> tuple[bytes, str]:
    """The metrics of a snapshot, as `exposition_of_process` otherwise."""
    registry = CollectorRegistry()
    registry.register(SnapshotCollector(lambda: snapshot))
    return _encoded(registry, accept)


def _encoded(registry: CollectorRegistry, accept: str) -> tuple[bytes, str]:
    encode, content_type = choose_encoder(accept)
    return encode(registry), content_type
