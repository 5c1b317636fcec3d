"""All that tells figures agrees with what handlers and callers noted themselves, also under faults.

Handlers write each of their runs into the diary, and the test notes each call of its client. One
server is a process that is killed. One runs here, behind a proxy that cuts its connection, as does
the client. Prometheus and OpenTelemetry see the process of the test; `stats` and the console see
all servers.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import httpx
import pytest
from prometheus_client import CollectorRegistry

import leveret
import leveret.tracing
from leveret import CallError, Rabbit
from leveret.console import app
from leveret.metrics import register
from leveret.testing import FaultProxy
from leveret.wire.stats import QueueStats
from tests.behaviour.forked_programs import ForkedProgram
from tests.behaviour.patience import until, until_found
from tests.faults.counted import Counted
from tests.faults.diary import Diary
from tests.faults.scene import SOON

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

_ROOT: Final = Path(__file__).parents[2]
_METHOD: Final = "counted.work"
_QUEUE: Final = "leveret.counted.work"
_HERE: Final = "here"
"""The name of the server of this process."""
Codes = Counter[str]
"""How many calls ended, by code."""


class Telemetry:
    """What OpenTelemetry is told of this process."""

    def __init__(self) -> None:
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.metrics.export import InMemoryMetricReader
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import SimpleSpanProcessor
        from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

        self._exporter: InMemorySpanExporter = InMemorySpanExporter()
        self._reader: InMemoryMetricReader = InMemoryMetricReader()
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        meters = MeterProvider(metric_readers=[self._reader])
        leveret.tracing.instrument(tracer_provider=provider, meter_provider=meters)

    def spans(self, kind: str) -> Codes:
        """The spans of one side by code; of a client only those of calls, not of their attempts."""
        return Counter(
            str((span.attributes or {})["rpc.response.status_code"])
            for span in self._exporter.get_finished_spans()
            if span.kind.name == kind
            and not (span.attributes or {}).get("leveret.handed_back")
            and (kind == "SERVER" or span.parent is None)
        )

    def durations(self, name: str) -> Codes:
        """How often a duration was recorded, by code."""
        data = self._reader.get_metrics_data()
        found: Codes = Counter()
        for resource in [] if data is None else data.resource_metrics:
            for metric in (metric for scope in resource.scope_metrics for metric in scope.metrics):
                points: Iterable[Any] = metric.data.data_points if metric.name == name else ()
                for point in points:
                    found[str(point.attributes["rpc.response.status_code"])] += point.count
        return found


@pytest.fixture
def telemetry() -> Iterator[Telemetry]:
    yield Telemetry()
    leveret.tracing.uninstrument()


class Prometheus:
    """What Prometheus scrapes of this process, more than there was before."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        register(self._registry)
        self._before: dict[tuple[str, str], int] = {}
        self._before = self._samples()

    def codes(self, side: str) -> Codes:
        """How many calls ended at one side, by code."""
        wanted = f"leveret_{side}_handled_total"
        found = {code: value for (name, code), value in self._samples().items() if name == wanted}
        return +Counter(found)

    def of(self, name: str) -> int:
        """One figure of the method."""
        return self._samples()[f"leveret_{name}", ""]

    def _samples(self) -> dict[tuple[str, str], int]:
        """By name and code, summed over all else."""
        found: Counter[tuple[str, str]] = Counter()
        for family in self._registry.collect():
            for sample in family.samples:
                if sample.labels.get("service") == "counted":
                    found[sample.name, sample.labels.get("code", "")] += int(sample.value)
        return {key: value - self._before.get(key, 0) for key, value in found.items()}


class Scene:
    """A client, a server here, servers in other processes, and somebody who looks."""

    def __init__(self, url: str, diary: Diary) -> None:
        self.said: Codes = Counter()
        """How the calls of the client ended, as it was told."""
        self.programs: list[tuple[str, ForkedProgram]] = []
        self._url = url
        self._diary = diary
        self._keys = count()
        self.client: Rabbit
        self.observer: Rabbit
        self.proxies: list[FaultProxy] = []

    async def call(self, kind: str, *, seconds: float = 0.0, timeout: float = 60.0) -> None:
        """A call whose handler ends as its kind says: "ok", "bad" or "late"."""
        remote = self.client.remote(Counted).with_options(timeout=timeout)
        try:
            await remote.work(f"{kind}-{next(self._keys)}", seconds)
        except CallError as error:
            self.said[str(error.code)] += 1
        else:
            self.said["OK"] += 1

    async def load(self, until_set: asyncio.Event) -> None:
        """One call after the other; every sixth goes wrong."""
        while not until_set.is_set():
            number = next(self._keys)
            await self.call("ok" if number % 6 else "bad", seconds=number % 5 * 0.01)

    async def some_more(self, number: int) -> None:
        """Wait until so many more calls have got their results."""
        enough = self.said["OK"] + number
        await until(lambda: self.said["OK"] >= enough, f"{number} more calls are served")

    async def start(self) -> None:
        """Start another server process."""
        name = f"program-{len(self.programs)}"
        program = await ForkedProgram.start(
            "tests.faults.figures_program",
            (self._url, str(self._diary.path), name),
            folder=_ROOT,
            environment=os.environ,
        )
        self.programs.append((name, program))
        assert await program.stdout.readline() == b"serving\n"

    async def kill(self) -> None:
        """kill -9 the latest of them."""
        program = self.programs[-1][1]
        if program.returncode is None:
            program.kill()
        await program.wait()

    def runs(self, server: str, *, since: int = 0) -> tuple[int, int, Codes]:
        """What the handlers of a server noted: how many began, broke off, and ended by code."""
        lines = [line.split(" ", 3) for line in self._diary.path.read_text().splitlines()[since:]]
        mine = [(what, key.strip("'")) for what, _, where, key in lines if where == server]
        ended = Counter("OK" if key[0] == "o" else "INTERNAL" for what, key in mine if what == "1")
        return (
            sum(what == "0" for what, _ in mine),
            sum(what == "2" for what, _ in mine),
            ended,
        )

    @property
    def noted(self) -> int:
        """How many lines the diary has."""
        return len(self._diary.path.read_text().splitlines())

    async def stats(self) -> dict[str, QueueStats]:
        """What each server says of the method, by the server's name."""
        survey = await self.observer.stats(Counted)
        return {it.name: it.methods[_QUEUE] for it in survey.servers if _QUEUE in it.methods}

    async def at_rest(self) -> dict[str, QueueStats]:
        """What they say once both servers answer and no call is left."""
        latest = {_HERE, self.programs[-1][0]}
        said: dict[str, QueueStats] = {}

        async def still() -> bool:
            nonlocal said
            said = await self.stats()
            return said.keys() == latest and not any(
                it.running + it.waiting for it in said.values()
            )

        await until_found(still, True, "both servers answer, and no call is left")
        return said


@pytest.fixture
async def scene(broker_url: str, diary: Diary, telemetry: Telemetry) -> AsyncIterator[Scene]:
    here = Diary(diary.path, _HERE)
    there = Scene(broker_url, diary)
    async with AsyncExitStack() as stack:
        stack.callback(here.close)
        there.proxies = [await stack.enter_async_context(FaultProxy(broker_url)) for _ in "sc"]
        there.observer = await stack.enter_async_context(leveret.connect(broker_url))
        host = await stack.enter_async_context(
            leveret.connect(there.proxies[0].url, name=_HERE, reconnect=SOON)
        )
        await stack.enter_async_context(host.serving(Counted(here), grace=2))
        stack.push_async_callback(there.kill)
        await there.start()
        there.client = await stack.enter_async_context(
            leveret.connect(there.proxies[1].url, name="caller", reconnect=SOON)
        )
        yield there


@asynccontextmanager
async def console(rabbit: Rabbit) -> AsyncIterator[httpx.AsyncClient]:
    made = app(rabbit, interval=0.05)
    async with (
        made.router.lifespan_context(made),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(made), base_url="http://console"
        ) as visitor,
    ):
        yield visitor


def shown(page: str) -> Codes:
    """The calls by code that the page of a method shows."""
    rows = re.findall(
        r'<tr><td><\w+ class="tag \w+"[^>]*>(\w+)</\w+></td><td class="num">(\d+)<', page
    )
    return Counter({code: int(number) for code, number in rows})


def handled(stats: Iterable[QueueStats]) -> Codes:
    found: Codes = Counter()
    for one in stats:
        found.update(one.handled)
    return found


async def test_figures_agree_with_handlers_and_callers_under_faults(
    scene: Scene, telemetry: Telemetry
) -> None:
    prometheus = Prometheus()
    over = asyncio.Event()
    async with asyncio.TaskGroup() as callers:
        for _ in range(12):
            callers.create_task(scene.load(over))
        for _ in range(2):
            await scene.some_more(40)
            for proxy in scene.proxies:
                proxy.cut()
            await scene.some_more(20)
            await scene.kill()
            await scene.start()
            await scene.some_more(20)
        over.set()
    stats = await scene.at_rest()

    # What handlers did. Where the broker took a request back with its connection, the run counts as
    # handed back. So does a request that is put back as it came again, without a run; and one whose
    # caller does not want it any more counts as cancelled.
    for name, told in stats.items():
        began, broke_off, ended = scene.runs(name)
        counted = Counter(told.handled)
        cancelled = counted.pop("CANCELLED", 0)
        assert began == broke_off + ended.total()
        assert counted <= ended
        gone = began - counted.total()
        assert gone <= told.handed_back + min(cancelled, broke_off)
        assert told.handed_back <= gone + told.redelivered
        assert cancelled <= broke_off + told.redelivered
        assert 0 <= sum(told.handler.counts) - counted.total() <= broke_off

    # What callers were told: each call once.
    assert prometheus.codes("client") == scene.said
    assert prometheus.of("client_started_total") == scene.said.total()
    assert prometheus.of("client_in_flight") == 0
    assert telemetry.durations("rpc.client.call.duration") == scene.said
    await agree(scene, telemetry, prometheus, stats)

    # Without faults all of it is exact.
    before, lines, said = stats, scene.noted, scene.said.copy()
    kinds = ["ok"] * 30 + ["bad"] * 7
    await asyncio.gather(*(scene.call(kind) for kind in kinds), scene.call("late", timeout=0.5))
    with pytest.raises(leveret.InvalidArgument):
        await scene.client.call(_METHOD, key=5)
    scene.said["INVALID_ARGUMENT"] += 1
    stats = await scene.at_rest()
    runs = [scene.runs(name, since=lines) for name in stats]
    truth = Counter({"OK": 30, "INTERNAL": 7, "DEADLINE_EXCEEDED": 1, "INVALID_ARGUMENT": 1})
    assert sum((ended for _, _, ended in runs), Counter()) == Counter({"OK": 30, "INTERNAL": 7})
    assert sum(broke_off for _, broke_off, _ in runs) == truth["DEADLINE_EXCEEDED"]
    assert sum(began for began, _, _ in runs) == 38
    assert scene.said - said == truth
    assert handled(stats.values()) - handled(before.values()) == truth
    assert prometheus.codes("client") == scene.said
    await agree(scene, telemetry, prometheus, stats)


async def agree(
    scene: Scene, telemetry: Telemetry, prometheus: Prometheus, stats: dict[str, QueueStats]
) -> None:
    """All that tells of the server here says what it says itself; the console tells of both."""
    here = Counter(stats[_HERE].handled)
    assert prometheus.codes("server") == here
    assert prometheus.of("server_handed_back_total") == stats[_HERE].handed_back
    assert prometheus.of("server_redelivered_total") == stats[_HERE].redelivered
    assert prometheus.of("server_handling_seconds_count") == sum(stats[_HERE].handler.counts)
    assert telemetry.spans("SERVER") == here
    assert telemetry.durations("rpc.server.call.duration") == here
    async with console(scene.observer) as visitor:

        async def shows() -> Codes:
            return shown((await visitor.get(f"/method/{_METHOD}")).text)

        await until_found(shows, handled(stats.values()), "the console shows what they say")
