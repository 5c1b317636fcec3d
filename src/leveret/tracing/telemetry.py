"""The tracer and the meter of one connection, and whether there is anything to do with them.

A sampler that is off, and a program that has no SDK, must cost next to nothing. So before a call
is looked at, its context is: with an empty one, and a sampler that drops every new trace, there is
neither a span to make nor anything to pass on.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from leveret.observe import Exemplar
from leveret.tracing import names
from leveret.tracing.settings import Settings
from leveret.version import __version__

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.metrics import Histogram
    from opentelemetry.trace import Span, Tracer

_SOONEST: Final = 0.1
_LATEST: Final = 10.0
"""Seconds between two looks whether the program has set its providers by now: more each time."""
_NAME: Final = "leveret"


class Telemetry:
    """Makes spans and records durations for one connection.

    :param host: the broker, as the program names it; "" is left out.
    :param port: its port; 0 is left out.
    :raises ImportError: if OpenTelemetry is not installed.
    """

    def __init__(self, settings: Settings, host: str, port: int) -> None:
        try:
            from opentelemetry import context, metrics, propagate, trace  # noqa: PLC0415
        except ImportError as error:
            raise ImportError(
                "tracing needs OpenTelemetry, which is not installed: pip install leveret[otel]"
            ) from error
        self.trace = trace
        self.context = context
        self.propagate = propagate
        self._metrics = metrics
        self._current = context.get_current
        self._suppressed = getattr(context, "_SUPPRESS_INSTRUMENTATION_KEY", "")
        self._settings = settings
        self.traces_streams = settings.trace_streams
        """Whether streams have spans."""
        self.attributes: dict[str, Any] = {names.SYSTEM: _NAME}
        """What all spans and durations have."""
        if host:
            self.attributes[names.SERVER_ADDRESS] = host
        if port:
            self.attributes[names.SERVER_PORT] = port
        self.tracer: Tracer
        """Makes the spans."""
        self._is_settled = False
        self._look_at = 0.0
        self._pause = _SOONEST
        self._drops_roots = True
        self._records = False
        self._durations: dict[str, Histogram] = {}
        self._look()

    # -- what there is to do ---------------------------------------------------------------------

    def _look(self) -> None:
        """See which providers there are; a program may set the global ones once, at any time."""
        trace, metrics, settings = self.trace, self._metrics, self._settings
        tracers = settings.tracer_provider or trace.get_tracer_provider()
        meters = settings.meter_provider or metrics.get_meter_provider()
        self.tracer = tracers.get_tracer(_NAME, __version__, schema_url=names.SCHEMA_URL)
        has_sdk = _has_sdk(tracers)
        self._drops_roots = not has_sdk or _drops_roots(self.tracer)
        self._records = _has_sdk(meters)
        self._is_settled = has_sdk and self._records
        self._look_at = time.monotonic() + self._pause
        self._pause = min(2 * self._pause, _LATEST)
        if self._records and not self._durations:
            meter = meters.get_meter(_NAME, __version__, schema_url=names.SCHEMA_URL)
            for name, what in (
                (names.CLIENT_DURATION, "Duration of outgoing calls, with all attempts."),
                (names.SERVER_DURATION, "Duration of calls at their server."),
                (names.QUEUE_DURATION, "Time that calls waited before they ran."),
            ):
                self._durations[name] = meter.create_histogram(
                    name,
                    unit="s",
                    description=what,
                    explicit_bucket_boundaries_advisory=names.BUCKETS,
                )

    def is_wanted(self) -> bool:
        """Whether a call that begins in the context of now has anything to trace or record."""
        if not self._is_settled and time.monotonic() >= self._look_at:
            self._look()
        current = self._current()
        if not current and self._drops_roots:
            return self._records
        return not current.get(self._suppressed)

    def is_wanted_in(self, metadata: dict[str, object] | None) -> bool:
        """The same of a request that came with this metadata."""
        if not self._is_settled and time.monotonic() >= self._look_at:
            self._look()
        if not self._drops_roots or self._records:
            return True
        return metadata is not None and ("traceparent" in metadata or "baggage" in metadata)

    def exemplar(self, span: Span, seconds: float) -> Exemplar | None:
        """What leads from a histogram to a span; None if no sampler wanted its trace."""
        context = span.get_span_context()
        if not context.trace_flags.sampled:
            return None
        return Exemplar(
            seconds=seconds,
            trace_id=format(context.trace_id, "032x"),
            span_id=format(context.span_id, "016x"),
            at=time.time(),
        )

    def record(self, name: str, seconds: float, method: str, code: str) -> None:
        """Record how long something took, where anybody wants to know."""
        histogram = self._durations.get(name)
        if histogram is None:
            return
        attributes = {**self.attributes, names.METHOD: method, names.STATUS_CODE: code}
        if code != names.OK:
            attributes[names.ERROR_TYPE] = code
        histogram.record(seconds, attributes)

    # -- contexts --------------------------------------------------------------------------------

    def injected(self, context: Context | None = None) -> dict[str, str]:
        """What has to go with a request that is made in a context; None: the one of now."""
        carrier: dict[str, str] = {}
        self.propagate.inject(carrier, context=context)
        return carrier

    def extracted(self, metadata: dict[str, object] | None) -> Context:
        """The context of whoever sent a request with this metadata."""
        texts = {name: text for name, text in (metadata or {}).items() if isinstance(text, str)}
        return self.propagate.extract(texts, context=self.context.Context())


def _has_sdk(provider: object) -> bool:
    """Whether a provider does anything: those of the API alone do not."""
    return not type(provider).__module__.startswith(
        ("opentelemetry.trace", "opentelemetry.metrics")
    )


def _drops_roots(tracer: object) -> bool:
    """Whether a tracer's sampler drops every trace that begins here."""
    sampler: Any = getattr(tracer, "sampler", None)
    try:
        description = str(sampler.get_description())
    except AttributeError:  # not the SDK's
        return False
    return description.startswith(("AlwaysOffSampler", "ParentBased{root:AlwaysOffSampler"))
