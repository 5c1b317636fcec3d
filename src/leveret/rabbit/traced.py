"""Has OpenTelemetry trace a connection, but only if the program has imported it."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from typing import TypeVar

from leveret.client.tracing import ClientTracing
from leveret.server.calls.tracing import ServerTracing
from leveret.transport.address import Address

log = logging.getLogger("leveret.tracing")

T = TypeVar("T")

_IMPORTED = ("opentelemetry.trace", "leveret.tracing")
"""The modules to look for: a program that has imported neither pays nothing."""


def client_tracing(address: Address | str) -> ClientTracing | None:
    """Traces the calls of a connection to this broker; None if they are not traced."""
    if not any(name in sys.modules for name in _IMPORTED):
        return None
    from leveret.tracing import telemetry  # noqa: PLC0415
    from leveret.tracing.client_spans import ClientSpans  # noqa: PLC0415

    made = _made(telemetry, address)
    return None if made is None else ClientSpans(made)


def server_tracing(
    address: Address | str, instance: str, clock: Callable[[], float]
) -> ServerTracing | None:
    """Traces the calls of a server; None if they are not traced."""
    if not any(name in sys.modules for name in _IMPORTED):
        return None
    from leveret.tracing import telemetry  # noqa: PLC0415
    from leveret.tracing.server_spans import ServerSpans  # noqa: PLC0415

    made = _made(telemetry, address)
    return None if made is None else ServerSpans(made, instance, clock)


def _server(address: Address | str) -> tuple[str, int]:
    """The broker as it is configured: the conventions want no address of a socket."""
    return ("", 0) if isinstance(address, str) else address.hosts[0]


def _made(telemetry: Callable[[str, int], T | None], address: Address | str) -> T | None:
    """Make a tracer for a broker; None if the installed OpenTelemetry cannot be used."""
    try:
        return telemetry(*_server(address))
    except Exception as error:  # noqa: BLE001 - the program may have imported any version of it
        log.warning("calls are not traced: OpenTelemetry cannot be used: %r", error)
        return None
