"""What the client needs of a tracer of its calls; `leveret.tracing` has one for OpenTelemetry."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Protocol

from leveret.observe import Exemplar


class TracedCall(Protocol):
    """One traced call, from its start to its end."""

    @property
    def carrier(self) -> Mapping[str, str]:
        """The trace context to send with the request, for its server to continue the trace."""
        ...

    def attempt(self) -> AbstractContextManager[Mapping[str, str]]:
        """One of several attempts of the call, each with a carrier of its own."""
        ...

    def exemplar(self, seconds: float) -> Exemplar | None:
        """What leads from a histogram to this call's trace; None if nobody keeps that.

        :param seconds: how long the call took.
        """
        ...

    def ended(self, error: BaseException | None, *, items: int | None = None) -> None:
        """The call is over.

        :param error: the error that it ended with; None if it has a result.
        :param items: how many items of a stream its consumer has taken.
        """


class ClientTracing(Protocol):
    """Traces the calls of one client."""

    @property
    def is_wanted(self) -> Callable[[], bool]:
        """Tells whether a call that begins now is to be traced."""
        ...

    @property
    def traces_streams(self) -> bool:
        """Whether streams are traced, too."""
        ...

    def call(self, method: str) -> AbstractContextManager[TracedCall]:
        """A call; the block runs in its context.

        :param method: "service.method".
        """
        ...

    def stream(self, method: str) -> TracedCall:
        """A stream, which may outlive the context that it begins in; `ended` must be called."""
        ...
