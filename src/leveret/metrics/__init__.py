"""Metrics for Prometheus, of all clients and servers of this process: the extra `metrics`.

    leveret.metrics.register()
    prometheus_client.start_http_server(9100)

`leveret serve --metrics :9100` does so without code, for all of its workers. docs/monitoring.md has
the names.
"""

from __future__ import annotations

try:
    import prometheus_client as _prometheus_client  # noqa: F401 - to say what is missing
except ImportError as error:  # pragma: no cover - the tests have it; one runs without it
    raise ImportError(
        "leveret.metrics needs prometheus_client: pip install 'leveret[metrics]'"
    ) from error

from leveret.metrics.registering import register

__all__ = ["register"]
