"""What the server needs of a tracer of its calls; `leveret.tracing` has one for OpenTelemetry."""

from __future__ import annotations

from typing import Protocol

from leveret.server.calls.life import ServerCall


class ServerTracing(Protocol):
    """Traces the calls of one server."""

    def begin(self, call: ServerCall) -> None:
        """The task of a call begins; all that runs in it from here on belongs to the call."""

    def ended(self, call: ServerCall, *, gone: bool) -> None:
        """A call is over here.

        :param gone: whether another server has its request now.
        """
