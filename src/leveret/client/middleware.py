"""What client middleware sees of a call, and how several of them become one function."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec


class OutgoingCall(msgspec.Struct):
    """One call as client middleware sees it; what it changes here is what is sent."""

    method: str
    """"service.method"."""
    arguments: dict[str, Any]
    """By parameter name, without those that the caller leaves to the server's defaults."""
    metadata: dict[str, str]
    """What goes with the request."""
    timeout: float
    """Seconds."""
    id: str = ""
    """The call id, by which the server's log names the call. Further requests of the call, sent by
    a retry, a hedge or a middleware that calls `call_next` again, are "id.2", "id.3" and so on. To
    be read only: another id that is written here is not sent."""


CallNext = Callable[[OutgoingCall], Awaitable[Any]]
"""What middleware calls to go on: the next middleware, or the call itself."""

Middleware = Callable[[OutgoingCall, CallNext], Awaitable[Any]]
"""`async def middleware(call, call_next)`: returns the result, mostly `await call_next(call)`.

It is around the whole call: retries and hedging happen inside of `call_next`."""


def compose(middleware: tuple[Middleware, ...], innermost: CallNext) -> CallNext:
    """One function out of all; the first middleware is the outermost."""
    call_next = innermost
    for outer in reversed(middleware):
        call_next = _around(outer, call_next)
    return call_next


def _around(outer: Middleware, call_next: CallNext) -> CallNext:
    def call(outgoing: OutgoingCall) -> Awaitable[Any]:
        return outer(outgoing, call_next)

    return call
