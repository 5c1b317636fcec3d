"""What the client needs of whoever traces its calls; `leveret.tracing` has it for OpenTelemetry."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Protocol

from leveret.observe import Exemplar


class TracedCall(Protocol):
    """One call that is traced, from its begin to its end."""

    @property
    def carrier(self) -> Mapping[str, str]:
        """What is to go with the request, so that its server can tell whose it is."""
        ...

    def attempt(self) -> AbstractContextManager[Mapping[str, str]]:
        """One of several attempts of the call, each of which has a carrier of its own."""
        ...

    def exemplar(self, seconds: float) -> Exemplar | None:
        """What leads from a histogram to this call's trace; None if nobody keeps that.

        :param seconds: how long the call took.
        """
        ...

    def ended(self, error: BaseException | None, *, items: int | None = None) -> None:
        """The call is over.

        :param error: what it ended with; None if it has its result.
        :param items: how many items of a stream its consumer has taken.
        """


class ClientTracing(Protocol):
    """Traces the calls of one client."""

    @property
    def is_wanted(self) -> Callable[[], bool]:
        """Tells whether anything is to be done about a call that begins now."""
        ...

    @property
    def traces_streams(self) -> bool:
        """Whether streams are traced as well."""
        ...

    def call(self, method: str) -> AbstractContextManager[TracedCall]:
        """A call, in whose context what is inside of the block runs.

        :param method: "service.method".
        """
        ...

    def stream(self, method: str) -> TracedCall:
        """A stream, which outlives whatever context it begins in; `ended` must be called."""
        ...
