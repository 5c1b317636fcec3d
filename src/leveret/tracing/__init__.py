"""OpenTelemetry: a span for each call at the client, and one at the server as its child.

Connections and servers trace by themselves where the program has imported OpenTelemetry before it
connects or serves. `instrument` says with which providers; `uninstrument` turns it off. Both hold
for what connects or serves afterwards. Install it with `pip install leveret[otel]`.

    import leveret.tracing

    leveret.tracing.instrument(trace_streams=False)
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider

from leveret.tracing.settings import Settings
from leveret.tracing.telemetry import Telemetry

__all__ = ["instrument", "uninstrument"]

_settings: Settings | None = Settings()


def instrument(
    *,
    tracer_provider: TracerProvider | None = None,
    meter_provider: MeterProvider | None = None,
    trace_streams: bool = True,
) -> None:
    """Trace what connects or serves from now on, and record how long calls take.

    :param tracer_provider: whose tracer makes the spans; None: the global one, also if it is set
        later.
    :param meter_provider: whose meter records durations, likewise.
    :param trace_streams: whether streams have spans. One that goes on for days has a span that is
        exported after days.
    :raises ImportError: if OpenTelemetry is not installed.
    """
    global _settings  # noqa: PLW0603 - as the providers of OpenTelemetry are
    settings = Settings(
        tracer_provider=tracer_provider,
        meter_provider=meter_provider,
        trace_streams=trace_streams,
        always=True,
    )
    Telemetry(settings, "", 0)  # tells at once if it is not installed
    _settings = settings


def uninstrument() -> None:
    """Trace nothing of what connects or serves from now on."""
    global _settings  # noqa: PLW0603
    _settings = None


def telemetry(host: str, port: int) -> Telemetry | None:
    """What traces a connection to a broker; None if nothing is to.

    :param host: the broker, as the program names it.
    :param port: its port; 0 if it has none.
    """
    if _settings is None or not (_settings.always or "opentelemetry.trace" in sys.modules):
        return None
    return Telemetry(_settings, host, port)
