"""OpenTelemetry: which spans there are, whose children they are, what they say.

OpenTelemetry is imported inside of the tests: a process that has imported it traces.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

import leveret
import leveret.tracing
from leveret import (
    CallError,
    DeclaredError,
    OutgoingCall,
    Rabbit,
    Service,
    current_call,
    method,
)
from tests.behaviour.patience import until
from tests.behaviour.services import Gate

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter


class SoldOut(DeclaredError):
    """There is nothing left."""


class Stock(Service):
    """What the shop calls."""

    def __init__(self) -> None:
        self.asked = 0

    @method(idempotent=True, raises=[SoldOut])
    async def take(self, what: str) -> str:
        self.asked += 1
        if what == "nothing":
            raise SoldOut
        if what == "trouble" and self.asked == 1:
            raise OSError("the shelf is broken")
        return what

    @method
    async def count(self, to: int) -> AsyncIterator[int]:
        for number in range(to):
            yield number

    @method
    async def weigh(self, items: AsyncIterator[int]) -> int:
        return sum([item async for item in items])

    @method(idempotent=True)
    async def wrap(self, what: str) -> str:
        return f"[{what}]"

    @method(one_way=True)
    async def note(self, what: str) -> None: ...


class Shop(Service):
    """Calls the stock, within its caller's trace."""

    def __init__(self, stock: Stock) -> None:
        self._stock = stock
        self.metadata: dict[str, str] = {}

    @method
    async def order(self, what: str) -> str:
        from opentelemetry import baggage

        self.metadata = dict(current_call().metadata)
        self.baggage = dict(baggage.get_all())
        return await self._stock.take(what)

    @method(executor="thread")
    def inside(self) -> str:
        from opentelemetry import trace

        return format(trace.get_current_span().get_span_context().trace_id, "032x")


class Traces:
    """What a program that traces has set up."""

    def __init__(self, exporter: InMemorySpanExporter, reader: InMemoryMetricReader) -> None:
        self._exporter = exporter
        self._reader = reader

    def spans(self) -> list[ReadableSpan]:
        return sorted(self._exporter.get_finished_spans(), key=lambda it: it.start_time or 0)

    async def some(self, number: int) -> list[ReadableSpan]:
        """So many spans: a server's ends after its caller's."""
        await until(lambda: len(self.spans()) >= number, f"{number} spans are over")
        return self.spans()

    def durations(self) -> dict[str, int]:
        """How often each duration was recorded."""
        data = self._reader.get_metrics_data()
        found: dict[str, int] = {}
        for resource in [] if data is None else data.resource_metrics:
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    points: Any = metric.data.data_points
                    found[metric.name] = sum(point.count for point in points)
        return found


def traced(sampler: Any = None) -> Traces:
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import (
        InMemorySpanExporter,
    )

    exporter, reader = InMemorySpanExporter(), InMemoryMetricReader()
    provider = TracerProvider(sampler=sampler)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    meters = MeterProvider(metric_readers=[reader])
    leveret.tracing.instrument(tracer_provider=provider, meter_provider=meters)
    return Traces(exporter, reader)


@pytest.fixture
def traces() -> Iterator[Traces]:
    yield traced()
    leveret.tracing.uninstrument()


Connect = Callable[[], Awaitable[Rabbit]]


@pytest.fixture
async def connected(rabbitmq_url: str) -> AsyncIterator[Connect]:
    """Connects once the program has set up its tracing."""
    opened: list[Rabbit] = []

    async def connect(**options: Any) -> Rabbit:
        rabbit = await leveret.connect(rabbitmq_url, name="desk", **options)
        opened.append(rabbit)
        return rabbit

    yield connect
    for rabbit in reversed(opened):
        await rabbit.close()


def named(spans: list[ReadableSpan]) -> list[tuple[str, str]]:
    return [(span.kind.name, span.name) for span in spans]


def ids(span: ReadableSpan) -> tuple[int, int]:
    return span.context.trace_id, span.context.span_id


def parent(span: ReadableSpan) -> tuple[int, int] | None:
    return None if span.parent is None else (span.parent.trace_id, span.parent.span_id)


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


async def test_nested_calls_are_one_trace(traces: Traces, connected: Connect) -> None:
    from opentelemetry import baggage, context

    rabbit = await connected()
    shop = Shop(rabbit.remote(Stock))
    async with rabbit.serving(shop, Stock()) as server:
        token = context.attach(baggage.set_baggage("tenant", "blue"))
        try:
            assert await rabbit.remote(Shop).order("cake") == "cake"
        finally:
            context.detach(token)
        spans = await traces.some(4)
    assert named(spans) == [
        ("CLIENT", "shop.order"),
        ("SERVER", "shop.order"),
        ("CLIENT", "stock.take"),
        ("SERVER", "stock.take"),
    ]
    assert parent(spans[0]) is None
    for outer, inner in pairwise(spans):
        assert parent(inner) == ids(outer)
    assert shop.baggage == {"tenant": "blue"}
    assert "traceparent" in shop.metadata
    client, at_server = attributes(spans[0]), attributes(spans[1])
    assert client["rpc.system.name"] == at_server["rpc.system.name"] == "leveret"
    assert client["rpc.method"] == "shop.order"
    assert client["rpc.response.status_code"] == at_server["rpc.response.status_code"] == "OK"
    assert at_server["leveret.instance"] == server.instance
    assert at_server["leveret.caller"] == "desk"
    assert at_server["leveret.queue.duration"] >= 0
    assert {span.status.status_code.name for span in spans} == {"UNSET"}
    assert traces.durations() == {
        "rpc.client.call.duration": 2,
        "rpc.server.call.duration": 2,
        "leveret.server.queue.duration": 2,
    }


async def test_an_error_is_said_by_both_sides(traces: Traces, connected: Connect) -> None:
    rabbit = await connected()
    async with rabbit.serving(Stock()):
        stock = rabbit.remote(Stock)
        for what in ("trouble", "nothing"):
            with pytest.raises(CallError):
                await stock.take(what)
        with pytest.raises(CallError):
            await rabbit.call("stock.take", wat=1)
        spans = await traces.some(6)
    trouble, at_server, sold_out, refused_sale, invalid, refused = spans
    for span in (trouble, at_server):
        assert attributes(span)["rpc.response.status_code"] == "INTERNAL"
        assert attributes(span)["error.type"] == "INTERNAL"
        assert attributes(span)["leveret.executed"] == "yes"
        assert span.status.status_code.name == "ERROR"
    assert "the shelf is broken" in (trouble.status.description or "")
    # What the contract foresees, and what the caller did wrong, is no fault of the server.
    assert (sold_out.status.status_code.name, refused_sale.status.status_code.name) == (
        "ERROR",
        "UNSET",
    )
    assert attributes(refused_sale)["error.type"] == "SOLD_OUT"
    assert attributes(refused)["rpc.response.status_code"] == "INVALID_ARGUMENT"
    assert attributes(refused)["leveret.executed"] == "no"
    assert parent(refused) == ids(invalid)


async def test_attempts_are_children_of_their_call(traces: Traces, connected: Connect) -> None:
    rabbit = await connected()
    gate = Gate()
    async with rabbit.serving(gate):
        remote = rabbit.remote(Gate).with_options(hedge=0.01)
        call = asyncio.create_task(remote.again(1))
        await gate.started.get()
        await gate.started.get()
        gate.opened.set()
        assert await call == 1
        spans = await traces.some(5)
    call_span, first, *_ = spans
    attempts = [span for span in spans if span.kind.name == "CLIENT" and span is not call_span]
    assert [attributes(span)["leveret.attempt"] for span in attempts] == [1, 2]
    assert {parent(span) for span in attempts} == {ids(call_span)}
    at_server = [span for span in spans if span.kind.name == "SERVER"]
    assert {parent(span) for span in at_server} == {ids(span) for span in attempts}
    assert first in attempts
    codes = {attributes(span)["rpc.response.status_code"] for span in attempts}
    assert "OK" in codes
    assert codes <= {"OK", "CANCELLED"}  # the slower one, unless both were answered at once
    assert {span.status.status_code.name for span in attempts} == {"UNSET"}


async def test_middleware_runs_inside_of_the_span(traces: Traces, connected: Connect) -> None:
    seen: list[dict[str, str]] = []

    async def look(call: OutgoingCall, call_next: leveret.ClientCallNext) -> Any:
        seen.append(dict(call.metadata))
        call.metadata["from"] = "look"
        return await call_next(call)

    rabbit = await connected(middleware=[look])  # type: ignore[call-arg]
    shop = Shop(rabbit.remote(Stock))
    async with rabbit.serving(shop, Stock()):
        await rabbit.remote(Shop).with_options(metadata={"a": "b"}).order("cake")
        spans = await traces.some(4)
    assert parent(spans[1]) == ids(spans[0])
    assert seen[0]["a"] == "b"
    assert "traceparent" in seen[0]
    assert shop.metadata["from"] == "look"


async def test_a_stream_is_one_span(traces: Traces, connected: Connect) -> None:
    rabbit = await connected()
    async with rabbit.serving(Stock()):
        stock = rabbit.remote(Stock)
        assert [item async for item in stock.count(3)] == [0, 1, 2]
        async for item in stock.count(1000):
            if item == 1:
                break
        assert await stock.weigh(iter([1, 2, 3])) == 6  # type: ignore[arg-type]
        spans = await traces.some(6)
    clients = [span for span in spans if span.kind.name == "CLIENT"]
    servers = [span for span in spans if span.kind.name == "SERVER"]
    assert {parent(span) for span in servers} == {ids(span) for span in clients}
    whole, left, weighed = clients
    assert attributes(whole)["leveret.items"] == 3
    assert attributes(left)["leveret.items"] == 2
    assert attributes(left)["rpc.response.status_code"] == "CANCELLED"
    assert weighed.name == "stock.weigh"


async def test_what_may_run_long_after_has_a_link_to_its_caller(
    traces: Traces, connected: Connect
) -> None:
    rabbit = await connected()
    async with rabbit.serving(Stock()):
        await rabbit.remote(Stock).note("cake")
        sent, ran = await traces.some(2)
    assert (sent.kind.name, ran.kind.name) == ("CLIENT", "SERVER")
    assert ran.parent is None
    assert [(link.context.trace_id, link.context.span_id) for link in ran.links] == [ids(sent)]


async def test_the_stages_of_a_pipe_belong_to_its_call(traces: Traces, connected: Connect) -> None:
    rabbit = await connected()
    async with rabbit.serving(Stock()):
        stock = rabbit.remote(Stock)
        assert await rabbit.pipe(stock.take, stock.wrap)("cake") == "[cake]"
        pipe, first, second = await traces.some(3)
    assert named([pipe]) == [("CLIENT", "stock.take|stock.wrap")]
    assert parent(first) == parent(second) == ids(pipe)
    assert (attributes(first)["leveret.stage"], attributes(second)["leveret.stage"]) == (1, 2)


async def test_a_handler_in_a_thread_is_in_the_trace(traces: Traces, connected: Connect) -> None:
    rabbit = await connected()
    async with rabbit.serving(Shop(Stock())):
        trace_id = await rabbit.remote(Shop).inside()
        client, _ = await traces.some(2)
    assert trace_id == format(client.context.trace_id, "032x")


async def test_a_cancelled_call_leaves_no_span_open(traces: Traces, connected: Connect) -> None:
    rabbit = await connected()
    gate = Gate()
    async with rabbit.serving(gate):
        call = asyncio.create_task(rabbit.remote(Gate).once(1))
        await gate.started.get()
        call.cancel()
        client, server = await traces.some(2)
    for span in (client, server):
        assert attributes(span)["rpc.response.status_code"] == "CANCELLED"


async def test_a_sampler_that_is_off_makes_no_spans_and_passes_on_what_came(
    connected: Connect,
) -> None:
    from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased

    for sampler in (ALWAYS_OFF, ParentBased(ALWAYS_OFF)):
        traces = traced(sampler)
        try:
            rabbit = await connected()
            shop = Shop(rabbit.remote(Stock))
            async with rabbit.serving(shop, Stock()):
                await rabbit.remote(Shop).order("cake")
            assert traces.spans() == []
            assert "baggage" not in shop.metadata
        finally:
            leveret.tracing.uninstrument()


async def test_what_suppresses_instrumentation_is_heeded(
    traces: Traces, connected: Connect
) -> None:
    from opentelemetry import context

    rabbit = await connected()
    key = context._SUPPRESS_INSTRUMENTATION_KEY
    token = context.attach(context.set_value(key, True))
    try:
        async with rabbit.serving(Stock()):
            await rabbit.remote(Stock).take("cake")
            (span,) = await traces.some(1)
    finally:
        context.detach(token)
    assert span.kind.name == "SERVER"


async def test_a_program_whose_tracing_fails_has_its_calls_all_the_same(
    connected: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    from opentelemetry.sdk.trace.sampling import ALWAYS_ON, Sampler
    from opentelemetry.trace import SpanKind

    class Broken(Sampler):
        def should_sample(self, *args: Any, **kwargs: Any) -> Any:
            if SpanKind.SERVER in args or kwargs.get("kind") is SpanKind.SERVER:
                raise OSError("the sampler is broken")
            return ALWAYS_ON.should_sample(*args, **kwargs)

        def get_description(self) -> str:
            return "Broken"

    traced(Broken())
    try:
        rabbit = await connected()
        async with rabbit.serving(Stock()):
            assert await rabbit.remote(Stock).take("cake") == "cake"
            assert await rabbit.remote(Stock).take("tea") == "tea"
    finally:
        leveret.tracing.uninstrument()
    assert len([line for line in caplog.messages if "tracing failed" in line]) == 1


async def test_a_stream_that_middleware_refuses_has_failed(
    traces: Traces, connected: Connect
) -> None:
    async def refuse(call: OutgoingCall, call_next: leveret.ClientCallNext) -> Any:
        raise leveret.InvalidArgument("not today")

    rabbit = await connected(middleware=[refuse])  # type: ignore[call-arg]
    stock = rabbit.remote(Stock)
    for stream in (stock.count(3), stock.count("three")):  # type: ignore[arg-type]
        with pytest.raises(leveret.InvalidArgument):
            await anext(stream)
    with pytest.raises(leveret.InvalidArgument):
        await anext(stock.count(wat=3))  # type: ignore[call-arg]
    spans = await traces.some(3)
    assert {attributes(span)["error.type"] for span in spans} == {"INVALID_ARGUMENT"}
    counters = rabbit.counters["stock.count"]
    assert counters.handled == {("INVALID_ARGUMENT", "no"): 3}
    assert counters.in_flight == 0
