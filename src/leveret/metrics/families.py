"""A snapshot as metrics of prometheus_client: their names, labels and zeroes.

The names are stable. Units are seconds and bytes. No label says which process it was: Prometheus
adds `instance` and `job`. Each method has its series from the first scrape on, for the usual codes
as well, as `rate()` does not see a series that begins above zero.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from prometheus_client import Metric, samples
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
)

from leveret.errors import Code
from leveret.observe import BOUNDS, OK, Exemplar, Histogram, Snapshot
from leveret.version import __version__

__all__ = ["families"]

_METHOD: Final = ("service", "method")
_BUCKETS: Final = (*(str(bound) for bound in BOUNDS), "+Inf")

SERVER_CODES: Final = (
    OK,
    Code.INVALID_ARGUMENT.value,
    Code.RESOURCE_EXHAUSTED.value,
    Code.DEADLINE_EXCEEDED.value,
    Code.CANCELLED.value,
    Code.ABORTED.value,
    Code.PERMISSION_DENIED.value,
    Code.INTERNAL.value,
)
"""The codes that a server's method has a series of from the start."""
CLIENT_CODES: Final = (
    (OK, "yes"),
    (Code.UNAVAILABLE.value, "no"),
    (Code.RESOURCE_EXHAUSTED.value, "no"),
    (Code.DEADLINE_EXCEEDED.value, "maybe"),
    (Code.INTERNAL.value, "yes"),
)
"""The codes, with `executed`, that a client's method has a series of from the start."""


def families(snapshot: Snapshot) -> Iterator[Metric]:
    """All metrics of a snapshot."""
    yield InfoMetricFamily(
        "leveret_build", "The version of Leveret.", value={"version": __version__}
    )
    yield from _server(snapshot)
    yield from _client(snapshot)


def _server(snapshot: Snapshot) -> Iterator[Metric]:
    started = _counter("server_started", "Requests that came to servers.")
    handled = _counter(
        "server_handled", "Calls that ended at servers, by the code that callers got.", "code"
    )
    handed_back = _counter("server_handed_back", "Requests that went on to another server.")
    redelivered = _counter("server_redelivered", "Requests that came again.")
    received = _counter("server_received_bytes", "Bytes of arguments.")
    sent = _counter("server_sent_bytes", "Bytes of replies, and of the items of streams.")
    items = _counter(
        "server_items", "Items of streams and uploads, of calls that ended.", "direction"
    )
    running = _gauge("server_running", "Calls that have a place.")
    waiting = _gauge("server_waiting", "Calls that wait at servers for a place.")
    concurrency = _gauge("server_concurrency", "How many calls may have a place at a time.")
    handling = _histogram("server_handling_seconds", "How long calls had a place.")
    queue = _histogram(
        "server_queue_seconds", "From the sending of a request until its call has a place."
    )
    for key, method in sorted(snapshot.served.items()):
        labels = _labels(key)
        started.add_metric(labels, method.started)
        for code, number in (dict.fromkeys(SERVER_CODES, 0) | method.handled).items():
            handled.add_metric((*labels, code), number)
        handed_back.add_metric(labels, method.handed_back)
        redelivered.add_metric(labels, method.redelivered)
        received.add_metric(labels, method.bytes_in)
        sent.add_metric(labels, method.bytes_out)
        items.add_metric((*labels, "received"), method.items_in)
        items.add_metric((*labels, "sent"), method.items_out)
        running.add_metric(labels, method.running)
        waiting.add_metric(labels, method.waiting)
        concurrency.add_metric(labels, method.concurrency)
        _observed(handling, labels, method.handler)
        _observed(queue, labels, method.queue)
    yield from (started, handled, handling, queue, running, waiting, concurrency, items)
    yield from (redelivered, handed_back, received, sent)


def _client(snapshot: Snapshot) -> Iterator[Metric]:
    started = _counter("client_started", "Calls that clients began.")
    handled = _counter(
        "client_handled",
        "Calls that ended at clients, by code, and by whether their handlers ran.",
        "code",
        "executed",
    )
    retries = _counter("client_retries", "Requests beside or after the first of their call.")
    in_flight = _gauge("client_in_flight", "Calls that have not ended.")
    seconds = _histogram("client_call_seconds", "How long calls took, with all that they waited.")
    for key, method in sorted(snapshot.called.items()):
        labels = _labels(key)
        started.add_metric(labels, method.started)
        ended = dict.fromkeys(CLIENT_CODES, 0)
        for code, numbers in method.handled.items():
            ended.update(((code, executed), number) for executed, number in numbers.items())
        for (code, executed), number in ended.items():
            handled.add_metric((*labels, code, executed), number)
        retries.add_metric(labels, method.retries)
        in_flight.add_metric(labels, method.in_flight)
        _observed(seconds, labels, method.seconds)
    yield from (started, handled, seconds, in_flight, retries)
    yield CounterMetricFamily(
        "leveret_client_reconnects",
        "Connections that were opened again after they had broken.",
        value=snapshot.reconnects,
    )
    yield CounterMetricFamily(
        "leveret_client_late_replies",
        "Replies for which no call waited any more.",
        value=snapshot.late_replies,
    )


def _counter(name: str, about: str, *more: str) -> CounterMetricFamily:
    return CounterMetricFamily(f"leveret_{name}", about, labels=(*_METHOD, *more))


def _gauge(name: str, about: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"leveret_{name}", about, labels=_METHOD)


def _histogram(name: str, about: str) -> HistogramMetricFamily:
    return HistogramMetricFamily(f"leveret_{name}", about, labels=_METHOD)


def _labels(key: str) -> tuple[str, str]:
    """Service and method of "service.method"; "_other" is both."""
    service, _, method = key.rpartition(".")
    return service or method, method


def _observed(family: HistogramMetricFamily, labels: tuple[str, str], times: Histogram) -> None:
    below = 0
    buckets: list[tuple[str, float] | tuple[str, float, samples.Exemplar]] = []
    for number, (bound, count) in enumerate(zip(_BUCKETS, times.counts, strict=True)):
        below += count
        exemplar = times.exemplars.get(number)
        if exemplar is None:
            buckets.append((bound, float(below)))
        else:
            buckets.append((bound, float(below), _shown(exemplar)))
    family.add_metric(labels, buckets, times.total)


def _shown(exemplar: Exemplar) -> samples.Exemplar:
    """It goes with OpenMetrics alone."""
    labels = {"trace_id": exemplar.trace_id, "span_id": exemplar.span_id}
    return samples.Exemplar(labels, exemplar.seconds, exemplar.at)
