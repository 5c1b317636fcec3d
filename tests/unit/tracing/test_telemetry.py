"""Whether there is anything to trace, and what a program pays that wants nothing traced."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from typing import Any

import pytest

from leveret.tracing.settings import Settings
from leveret.tracing.telemetry import Telemetry


def telemetry(**settings: Any) -> Telemetry:
    return Telemetry(Settings(**settings), "rabbit", 5672)


def provider(sampler: Any = None) -> Any:
    from opentelemetry.sdk.trace import TracerProvider

    return TracerProvider(sampler=sampler)


def test_without_an_sdk_only_what_came_is_passed_on() -> None:
    made = telemetry()
    assert not made.is_wanted()
    assert not made.is_wanted_in(None)
    assert not made.is_wanted_in({"tenant": "blue"})
    assert made.is_wanted_in({"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7-01"})


def test_a_sampler_that_drops_all_is_asked_once() -> None:
    from opentelemetry.sdk.trace.sampling import (
        ALWAYS_OFF,
        ALWAYS_ON,
        ParentBased,
        TraceIdRatioBased,
    )

    for off in (ALWAYS_OFF, ParentBased(ALWAYS_OFF)):
        assert not telemetry(tracer_provider=provider(off)).is_wanted()
    for on in (ALWAYS_ON, ParentBased(ALWAYS_ON), TraceIdRatioBased(0.01), None):
        assert telemetry(tracer_provider=provider(on)).is_wanted()


def test_a_call_within_a_trace_is_looked_at_whatever_the_sampler_says() -> None:
    from opentelemetry import context, trace
    from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

    made = telemetry(tracer_provider=provider(ALWAYS_OFF))
    span = provider().get_tracer("outer").start_span("outer")
    token = context.attach(trace.set_span_in_context(span))
    try:
        assert made.is_wanted()
        carrier = made.injected()
    finally:
        context.detach(token)
    back = trace.get_current_span(made.extracted({**carrier, "odd": 7})).get_span_context()
    assert back.trace_id == span.get_span_context().trace_id


def test_durations_are_recorded_where_somebody_wants_them() -> None:
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader

    telemetry().record("rpc.client.call.duration", 0.1, "desk.work", "OK")
    reader = InMemoryMetricReader()
    made = telemetry(meter_provider=MeterProvider(metric_readers=[reader]))
    assert made.is_wanted()
    made.record("rpc.client.call.duration", 0.1, "desk.work", "OK")
    made.record("rpc.client.call.duration", 0.2, "desk.work", "INTERNAL")
    data = reader.get_metrics_data()
    assert data is not None
    (metric,) = data.resource_metrics[0].scope_metrics[0].metrics
    points: Any = metric.data.data_points
    assert metric.unit == "s"
    assert sorted(dict(point.attributes).get("error.type", "") for point in points) == [
        "",
        "INTERNAL",
    ]
    assert dict(points[0].attributes)["server.address"] == "rabbit"


def program(text: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(text)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_program_is_traced_if_it_has_imported_opentelemetry_and_pays_nothing_if_not() -> None:
    text = """
        import asyncio, sys
        import leveret
        {first}

        class Desk(leveret.Service):
            @leveret.method
            async def work(self) -> bool:
                return "opentelemetry" in sys.modules

        async def main():
            async with leveret.connect("embedded://") as rabbit, rabbit.serving(Desk()):
                print(await rabbit.remote(Desk).work())

        asyncio.run(main())
        {last}
    """
    assert program(text.format(first="", last="")) == "False"
    set_up = """
        from opentelemetry import trace
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import SimpleSpanProcessor
        from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
        spans = InMemorySpanExporter()
        trace.set_tracer_provider(TracerProvider())
        trace.get_tracer_provider().add_span_processor(SimpleSpanProcessor(spans))
    """.replace("\n        ", "\n        ")
    last = "print(sorted(span.kind.name for span in spans.get_finished_spans()))"
    assert program(text.format(first=set_up, last=last)) == "True\n['CLIENT', 'SERVER']"


def test_without_opentelemetry_the_error_says_what_to_install() -> None:
    text = """
        import sys
        sys.modules["opentelemetry"] = None
        import leveret.tracing
        try:
            leveret.tracing.instrument()
        except ImportError as error:
            print(error)
    """
    assert "pip install leveret[otel]" in program(text)


@pytest.mark.parametrize("host", ["", "rabbit"])
def test_a_broker_that_has_no_address_is_left_out(host: str) -> None:
    made = Telemetry(Settings(), host, 5672 if host else 0)
    assert ("server.address" in made.attributes) == bool(host)
    assert ("server.port" in made.attributes) == bool(host)
