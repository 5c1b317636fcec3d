"""The call as client middleware sees it, and the composition of several middlewares."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import Any

import msgspec


class OutgoingCall(msgspec.Struct):
    """One call as client middleware sees it. The middleware's changes to it are sent."""

    method: str
    """"service.method"."""
    arguments: dict[str, Any]
    """The arguments by parameter name, without those that the caller leaves to the server's
    defaults."""
    metadata: dict[str, str]
    """The metadata of the request."""
    timeout: float
    """The timeout in seconds."""
    id: str = ""
    """The call id, by which the server's log names the call. Further requests of the call, sent by
    a retry, a hedge or a middleware that calls `call_next` again, are "id.2", "id.3" and so on. It
    is for reading only: a change of it has no effect."""


CallNext = Callable[[OutgoingCall], Awaitable[Any]]
"""The next middleware, or the call itself; middleware calls it to go on."""

Middleware = Callable[[OutgoingCall, CallNext], Awaitable[Any]]
"""`async def middleware(call, call_next)`: returns the result, usually `await call_next(call)`.

It runs around the whole call: retries and hedging happen inside `call_next`."""


def compose(middleware: tuple[Middleware, ...], innermost: CallNext) -> CallNext:
    """Compose all into one function; the first middleware is the outermost.

    It raises `TypeError` if a middleware gives `call_next` no call, or returns nothing to await.
    """

    def inner(outgoing: OutgoingCall) -> Awaitable[Any]:
        _check_call(outgoing)
        return innermost(outgoing)

    call_next: CallNext = inner
    for outer in reversed(middleware):
        call_next = _around(outer, call_next)
    return call_next


def _around(outer: Middleware, call_next: CallNext) -> CallNext:
    def call(outgoing: OutgoingCall) -> Awaitable[Any]:
        _check_call(outgoing)
        made = outer(outgoing, call_next)
        if not isawaitable(made):
            raise TypeError(
                f"the middleware {outer!r} must return an awaitable, as an `async def` does; it"
                f" returned {made!r:.80}"
            )
        return made

    return call


def _check_call(given: object) -> None:
    if not isinstance(given, OutgoingCall):
        raise TypeError(f"`call_next` takes the call; got {given!r:.80}")
