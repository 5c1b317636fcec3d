"""What Prometheus is told agrees with what handlers and callers saw."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Final

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanKind
from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics.parser import text_string_to_metric_families

import leveret
import leveret.tracing
from leveret import (
    Busy,
    ClientCallNext,
    ConnectionEvent,
    OutgoingCall,
    Rabbit,
    Retry,
    Service,
    State,
    method,
)
from leveret.metrics import register
from leveret.metrics.exposition import exposition_of_process
from tests.behaviour.patience import until

OPEN_METRICS = "application/openmetrics-text; version=1.0.0"


_NAME: Final = "metrics_oracle"
"""That of no other test's service: a process counts for as long as it lives."""


class Oracle(Service, name=_NAME):
    """Keeps a list of what it did."""

    def __init__(self) -> None:
        self.ran: list[str] = []

    @method(idempotent=True)
    async def work(self, what: str) -> str:
        self.ran.append(what)
        if what == "busy" and self.ran.count(what) == 1:
            raise Busy("not now", executed="no")
        if what == "trouble":
            raise OSError("broken")
        return what

    @method
    async def count(self, to: int) -> AsyncIterator[int]:
        for number in range(to):
            yield number

    @method
    async def weigh(self, items: AsyncIterator[int]) -> int:
        return sum([item async for item in items])


async def three() -> AsyncIterator[int]:
    for number in (1, 2, 3):
        yield number


class Figures:
    """What there is more than there was."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        register(self._registry)
        self._before: dict[tuple[str, tuple[str, ...]], float] = {}
        self._before = self._now()

    def _now(self) -> dict[tuple[str, tuple[str, ...]], float]:
        return {
            (sample.name, tuple(sorted(sample.labels.values()))): sample.value
            for family in self._registry.collect()
            for sample in family.samples
            if sample.labels.get("service", _NAME) == _NAME
        }

    def __call__(self, name: str, *labels: str) -> float:
        """By the values of labels but for the service."""
        mine = tuple(sorted((*labels, _NAME))) if labels else ()
        sample = f"leveret_{name}", mine
        return self._now()[sample] - self._before.get(sample, 0.0)


async def test_figures_are_those_of_the_handlers(client: Rabbit, host: Rabbit) -> None:
    figures, oracle = Figures(), Oracle()
    async with host.serving(oracle):
        remote = client.remote(Oracle)
        assert figures("server_handled_total", "work", "OK") == 0
        await asyncio.gather(*(remote.work("fine") for _ in range(5)))
        with pytest.raises(leveret.RemoteError):
            await remote.work("trouble")
        assert await remote.with_options(retry=Retry(attempts=3)).work("busy") == "busy"
        assert [item async for item in remote.count(4)] == [0, 1, 2, 3]
        assert await remote.weigh(three()) == 6
        ran = len(oracle.ran)
        assert ran == 8
        # A server counts a call when it answers it; that of a stream ends after its last item.
        await until(
            lambda: figures("server_handled_total", "count", "OK") == 1, "the stream is over"
        )
        assert figures("server_started_total", "work") == ran
        assert figures("server_handled_total", "work", "OK") == 6
        assert figures("server_handled_total", "work", "INTERNAL") == 1
        assert figures("server_handled_total", "work", "RESOURCE_EXHAUSTED") == 1
        assert figures("server_handling_seconds_count", "work") == ran
        assert figures("server_queue_seconds_count", "work") == ran
        assert figures("server_items_total", "count", "sent") == 4
        assert figures("server_items_total", "weigh", "received") == 3
        await until(lambda: figures("server_running", "work") == 0, "their places are free")
        assert figures("server_waiting", "work") == 0
        assert figures("server_received_bytes_total", "work") > 0
        assert figures("server_sent_bytes_total", "count") > 0
        assert figures("client_started_total", "work") == 7
        assert figures("client_handled_total", "work", "OK", "yes") == 6
        assert figures("client_handled_total", "work", "INTERNAL", "yes") == 1
        assert figures("client_retries_total", "work") == 1
        assert figures("client_call_seconds_count", "work") == 7
        assert figures("client_in_flight", "work") == 0


async def test_a_server_is_ready_while_it_is_connected(rabbitmq_url: str) -> None:
    figures = Figures()
    seen: list[tuple[State, str]] = []
    servers: list[leveret.Server] = []

    def changed(event: ConnectionEvent) -> None:
        seen.extend((event.state, server.unready) for server in servers)

    async with leveret.connect(rabbitmq_url, on_connection=changed) as host:
        async with host.serving(Oracle()) as server:
            assert server.unready == ""
            servers.append(server)
            host.calls.link.abort("by the test")
            await until(lambda: server.unready == "" and len(seen) > 1, "it is ready again")
            assert seen[0][0] is State.RECONNECTING
            assert seen[0][1].startswith("reconnecting: ")
            assert seen[-1][0] is State.CONNECTED
            assert "no consumer of leveret.metrics_oracle.count" in seen[-1][1]
            assert figures("client_reconnects_total") >= 1
        assert server.unready == "draining"


def shown_exemplars() -> dict[tuple[str, str], list[tuple[str, str]]]:
    """By metric and method, the trace and the span of each exemplar, as OpenMetrics has them."""
    text, _ = exposition_of_process(OPEN_METRICS)
    # The parser is slow, and other tests of this process have left the figures of their services.
    lines = [
        line
        for line in text.decode().splitlines(keepends=True)
        if line.startswith("#") or f'service="{_NAME}"' in line
    ]
    found = defaultdict(list)
    for family in text_string_to_metric_families("".join(lines)):  # type: ignore[no-untyped-call]
        for sample in family.samples:
            shown = sample.exemplar
            if shown is not None:
                assert shown.value <= float(sample.labels["le"])
                named = shown.labels["trace_id"], shown.labels["span_id"]
                found[family.name, sample.labels["method"]].append(named)
    return found


async def test_exemplars_are_calls_that_are_traced(host: Rabbit, rabbitmq_url: str) -> None:
    ended = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(ended))

    def spans(kind: SpanKind, method_name: str) -> set[tuple[str, str]]:
        contexts = [
            span.context
            for span in ended.get_finished_spans()
            if span.kind is kind and span.name == f"{_NAME}.{method_name}" and span.context
        ]
        return {(f"{each.trace_id:032x}", f"{each.span_id:016x}") for each in contexts}

    async def passes_on(call: OutgoingCall, call_next: ClientCallNext) -> object:
        return await call_next(call)

    leveret.tracing.instrument(tracer_provider=provider)
    try:
        async with (
            host.serving(Oracle()) as server,
            leveret.connect(rabbitmq_url) as client,
            leveret.connect(rabbitmq_url, middleware=[passes_on]) as passing,
        ):
            remote = client.remote(Oracle)
            for call, where in (
                (lambda: remote.work("fine"), "work"),
                (lambda: passing.remote(Oracle).work("fine"), "work"),
                (lambda: remote.work("trouble"), "work"),
                (lambda: client.ask_one(remote.work, server.instance)("fine"), "work"),
                (lambda: remote.weigh(three()), "weigh"),
            ):
                ended.clear()
                with suppress(leveret.RemoteError):
                    await call()
                shown = shown_exemplars()
                (mine,) = spans(SpanKind.CLIENT, where)
                assert mine in shown["leveret_client_call_seconds", where]
                if where == "work":
                    (its,) = spans(SpanKind.SERVER, where)
                    assert its in shown["leveret_server_handling_seconds", where]
            ended.clear()
            assert [item async for item in remote.count(3)] == [0, 1, 2]
            (mine,) = spans(SpanKind.CLIENT, "count")
            assert mine in shown_exemplars()["leveret_client_call_seconds", "count"]
            # What no sampler wants leads nowhere.
            before = shown_exemplars()
            leveret.tracing.instrument(tracer_provider=TracerProvider(sampler=ALWAYS_OFF))
            async with leveret.connect(rabbitmq_url) as unsampled:
                await unsampled.remote(Oracle).count(1).__anext__()
                await unsampled.remote(Oracle).work("fine")
            now = shown_exemplars()
            name = "leveret_client_call_seconds"
            assert (now[name, "work"], now[name, "count"]) == (
                before[name, "work"],
                before[name, "count"],
            )
    finally:
        leveret.tracing.uninstrument()
