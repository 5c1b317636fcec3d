"""A service as it is shown: the sums of its methods, and what is wrong with its servers. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from leveret.console.figures import quantile
from leveret.console.rows import MethodRow, ServiceRow
from leveret.observe import Histogram
from leveret.wire.stats import ServerStats

__all__ = ["service_row"]


def service_row(
    name: str,
    servers: Sequence[ServerStats],
    missing: int,
    methods: Sequence[MethodRow],
    *,
    is_counted: bool = True,
) -> ServiceRow:
    """A service, of the servers that answered and of its methods.

    :param missing: how many of its servers did not answer.
    :param is_counted: whether the broker said how many servers there are.
    """
    handlers, queues = Histogram(), Histogram()
    has_window = any(method.of_window for method in methods)
    for method in methods:
        if method.of_window is has_window:
            handlers.add(method.handlers.counts, 0.0)
            queues.add(method.queues.counts, 0.0)
    longest = max((len(method.spark) for method in methods), default=0)
    sparks = [(0.0,) * (longest - len(method.spark)) + method.spark for method in methods]
    return ServiceRow(
        name=name,
        instances=len(servers),
        missing=missing,
        is_counted=is_counted,
        methods=len(methods),
        versions=tuple(sorted({server.versions.get(name, "") for server in servers} - {""})),
        contracts=len({server.hashes.get(name, "") for server in servers}),
        calls=sum(method.calls for method in methods),
        failed=sum(method.failed for method in methods),
        rate=sum(method.rate for method in methods),
        p50=quantile(handlers, 0.5),
        p95=quantile(handlers, 0.95),
        queue=quantile(queues, 0.95),
        running=sum(method.total.running for method in methods),
        waiting=sum(method.total.waiting for method in methods),
        spark=tuple(sum(point) for point in zip(*sparks, strict=True)),
    )
