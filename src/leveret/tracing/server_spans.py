"""The spans of a server: one for each call, from the receipt of its request to its reply.

The span of a call is the child of its caller's. A started call and a one-way request may be run
long after, when the trace of their callers is history: theirs begin a trace of their own, which
has a link to that of the caller.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from leveret.server.calls.life import ServerCall
from leveret.tracing import names
from leveret.tracing.telemetry import Telemetry

if TYPE_CHECKING:
    from opentelemetry.trace import Link, Span


log = logging.getLogger("leveret.tracing")


class ServerSpans:
    """Traces the calls of one server (`server.tracing.ServerTracing`).

    :param instance: the server's name for itself.
    :param clock: that of the moments of calls.
    """

    def __init__(self, telemetry: Telemetry, instance: str, clock: Callable[[], float]) -> None:
        self._telemetry = telemetry
        self._clock = clock
        self._attributes = {**telemetry.attributes, names.INSTANCE: instance}
        self._open: dict[ServerCall, Span] = {}
        self._has_failed = False

    def begin(self, call: ServerCall) -> None:
        """The task of a call begins: what runs in it from here on belongs to the call."""
        try:
            self._begin(call)
        except Exception as error:  # noqa: BLE001 - the program's sampler or processor
            self._failed(error)

    def ended(self, call: ServerCall, *, gone: bool) -> None:
        """A call is over here."""
        try:
            self._end(call, gone=gone)
        except Exception as error:  # noqa: BLE001 - as above
            self._failed(error)

    def _failed(self, error: Exception) -> None:
        """OpenTelemetry raised. That costs no call; the log tells of it once."""
        if not self._has_failed:
            self._has_failed = True
            log.error("tracing failed; calls go on, perhaps without spans", exc_info=error)

    def _begin(self, call: ServerCall) -> None:
        telemetry = self._telemetry
        if not telemetry.is_wanted_in(call.incoming.metadata):
            return
        if call.incoming.stream is not None and not telemetry.traces_streams:
            return
        span = self._open[call] = self._started(call)
        # The task has a context of its own, which ends with it.
        caller = telemetry.extracted(call.incoming.metadata)
        telemetry.context.attach(telemetry.trace.set_span_in_context(span, caller))

    def _end(self, call: ServerCall, *, gone: bool) -> None:
        telemetry = self._telemetry
        span = self._open.pop(call, None)
        if span is None:
            has_begun = call.context is not None  # then `begin` has decided
            if has_begun or gone or not telemetry.is_wanted_in(call.incoming.metadata):
                return
            span = self._started(call)  # it was refused, or answered from a record
        now = self._clock()
        queued = call.queued + (call.started or now) - call.arrived
        if span.is_recording():
            self._describe(span, call, queued, gone=gone)
        span.end()
        if not gone:
            self._exemplify(span, call, now)
            telemetry.record(names.SERVER_DURATION, now - call.arrived, call.method, call.code)
            telemetry.record(names.QUEUE_DURATION, queued, call.method, call.code)

    def _exemplify(self, span: Span, call: ServerCall, now: float) -> None:
        """Have metrics lead to the trace of a call that is counted by its time."""
        if call.started and call.stream is None:
            exemplar = self._telemetry.exemplar(span, now - call.started)
            if exemplar is not None:
                call.source.counters.handler.exemplify(exemplar)

    def _started(self, call: ServerCall) -> Span:
        telemetry, incoming = self._telemetry, call.incoming
        trace = telemetry.trace
        parent = telemetry.extracted(incoming.metadata)
        links: list[Link] = []
        if incoming.started is not None or call.one_way:
            caller = trace.get_current_span(parent).get_span_context()
            if caller.is_valid:
                links = [trace.Link(caller)]
            parent = trace.set_span_in_context(trace.INVALID_SPAN, parent)
        ago = self._clock() - call.arrived
        return telemetry.tracer.start_span(
            call.method,
            context=parent,
            kind=trace.SpanKind.SERVER,
            attributes={**self._attributes, names.METHOD: call.method},
            links=links,
            start_time=time.time_ns() - int(ago * 1e9),
        )

    def _describe(self, span: Span, call: ServerCall, queued: float, *, gone: bool) -> None:
        trace, incoming = self._telemetry.trace, call.incoming
        span.set_attribute(names.QUEUE_SECONDS, queued)
        span.set_attribute(names.EXECUTED, "yes" if call.entered else "no")
        for name, value in (
            (names.CALL_ID, call.id),
            (names.CALLER, incoming.caller),
            (names.STAGE, incoming.stage),
            (names.REDELIVERED, incoming.redelivered),
        ):
            if value:
                span.set_attribute(name, value)
        if gone:
            span.set_attribute(names.HANDED_BACK, True)
            return
        span.set_attribute(names.STATUS_CODE, call.code)
        if call.code != names.OK:
            span.set_attribute(names.ERROR_TYPE, call.code)
            error = call.source.counters.last_error
            said = error.message if error is not None and error.call_id == call.id else ""
            if call.code in names.AT_FAULT:
                span.set_status(trace.StatusCode.ERROR, said)
