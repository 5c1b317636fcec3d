"""How a program wants its calls traced."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What `instrument` was given."""

    tracer_provider: TracerProvider | None = None
    """Makes tracers; None: the global one of the moment."""
    meter_provider: MeterProvider | None = None
    """Makes meters, likewise."""
    trace_streams: bool = True
    """Whether streams have spans."""
    always: bool = False
    """Whether to trace though the program has not imported OpenTelemetry."""
