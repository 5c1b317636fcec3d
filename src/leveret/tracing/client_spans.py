"""The spans of a client: one for each call, with a child for each of several attempts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from typing import TYPE_CHECKING

from leveret.errors import CallError, Code, DeadlineExceeded
from leveret.observe import Exemplar
from leveret.tracing import names
from leveret.tracing.telemetry import Telemetry
from leveret.wire.error_texts import safe_str

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Span


class ClientSpans:
    """Traces the calls of one connection (`client.tracing.ClientTracing`)."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry
        self.is_wanted = telemetry.is_wanted
        """Tells whether anything is to be done about a call that begins now."""
        self.traces_streams = telemetry.traces_streams
        """Whether streams are traced as well."""

    @contextmanager
    def call(self, method: str) -> Iterator[CallSpan]:
        """A call, in whose context what is inside of the block runs."""
        span = CallSpan(self._telemetry, method)
        attach, detach = self._telemetry.context.attach, self._telemetry.context.detach
        token = attach(span.context)
        try:
            yield span
        except BaseException as error:
            span.ended(error)
            raise
        else:
            span.ended(None)
        finally:
            detach(token)

    def stream(self, method: str) -> CallSpan:
        """A stream."""
        return CallSpan(self._telemetry, method)


class CallSpan:
    """One call that is traced (`client.tracing.TracedCall`)."""

    def __init__(self, telemetry: Telemetry, method: str) -> None:
        self._telemetry = telemetry
        self._method = method
        self._began = time.perf_counter()
        self._attempts = count(1)
        self._is_over = False
        trace = telemetry.trace
        self._span: Span = telemetry.tracer.start_span(
            method,
            kind=trace.SpanKind.CLIENT,
            attributes={**telemetry.attributes, names.METHOD: method},
        )
        self.context: Context = trace.set_span_in_context(self._span)
        """That of the call."""

    @property
    def carrier(self) -> Mapping[str, str]:
        """What is to go with the request."""
        return self._telemetry.injected(self.context)

    @contextmanager
    def attempt(self) -> Iterator[Mapping[str, str]]:
        """One of several attempts of the call."""
        telemetry, number = self._telemetry, next(self._attempts)
        trace = telemetry.trace
        span = telemetry.tracer.start_span(
            self._method,
            context=self.context,
            kind=trace.SpanKind.CLIENT,
            attributes={
                **telemetry.attributes,
                names.METHOD: self._method,
                names.ATTEMPT: number,
            },
        )
        try:
            yield telemetry.injected(trace.set_span_in_context(span, self.context))
        except asyncio.CancelledError:
            # The other request of a hedge was faster, or the whole call was cancelled.
            span.set_attribute(names.STATUS_CODE, Code.CANCELLED.value)
            raise
        except BaseException as error:
            self._failed(span, error)
            raise
        else:
            span.set_attribute(names.STATUS_CODE, names.OK)
        finally:
            span.end()

    def exemplar(self, seconds: float) -> Exemplar | None:
        """What leads from a histogram to the call's span; None if no sampler wanted its trace."""
        return self._telemetry.exemplar(self._span, seconds)

    def ended(self, error: BaseException | None, *, items: int | None = None) -> None:
        """The call is over. Only the first end counts."""
        if self._is_over:
            return
        self._is_over = True
        span = self._span
        code = names.OK
        if span.is_recording():
            if items is not None:
                span.set_attribute(names.ITEMS, items)
            if error is None:
                span.set_attribute(names.STATUS_CODE, code)
            else:
                self._failed(span, error)
        if error is not None:
            code = _code_of(error)
        span.end()
        took = time.perf_counter() - self._began
        self._telemetry.record(names.CLIENT_DURATION, took, self._method, code)

    def _failed(self, span: Span, error: BaseException) -> None:
        if not span.is_recording():
            return
        code = _code_of(error)
        trace = self._telemetry.trace
        span.set_attributes({names.STATUS_CODE: code, names.ERROR_TYPE: code})
        if isinstance(error, CallError):
            span.set_attributes({names.EXECUTED: error.executed, names.ATTEMPT: error.attempts})
            if error.call_id:
                span.set_attribute(names.CALL_ID, error.call_id)
            if error.stage:
                span.set_attribute(names.STAGE, error.stage)
            if isinstance(error, DeadlineExceeded):
                span.set_attribute(names.WHERE, error.where)
        span.set_status(trace.StatusCode.ERROR, safe_str(error) or type(error).__name__)


def _code_of(error: BaseException) -> str:
    if isinstance(error, CallError):
        return str(error.code)
    return (Code.INTERNAL if isinstance(error, Exception) else Code.CANCELLED).value
