"""What Prometheus is told agrees with what handlers and callers saw."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Final

import pytest
from prometheus_client import CollectorRegistry

import leveret
import leveret.tracing
from leveret import Busy, ConnectionEvent, Rabbit, Retry, Service, State, method
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


async def test_exemplars_are_calls_that_are_traced(client: Rabbit, host: Rabbit) -> None:
    from opentelemetry.sdk.trace import TracerProvider

    leveret.tracing.instrument(tracer_provider=TracerProvider())
    try:
        async with host.serving(Oracle()):
            await client.remote(Oracle).work("fine")
            text, _ = exposition_of_process(OPEN_METRICS)
            found = [
                line
                for line in text.decode().splitlines()
                if "trace_id" in line and "metrics_oracle" in line
            ]
            assert found
            name = "leveret_server_handling_seconds_bucket{"
            assert all(line.startswith(name) for line in found)
    finally:
        leveret.tracing.uninstrument()
