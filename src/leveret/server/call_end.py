"""How a call ended at a server, for middleware.

`middleware(call, call_next)` runs around a handler, so it does not see a call that never reaches
its handler. A middleware may also have a method `call_ended(call, end)`. The server calls it once
for each call, however the call ended.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Literal, TypeAlias

from msgspec import Struct

from leveret.errors import CallError, ContractError, Executed
from leveret.wire.context import CurrentCall

__all__ = ["CallEnd", "CallEnded", "Outcome", "call_ended_of"]

Outcome: TypeAlias = Literal["done", "failed", "handed back"]
"""What became of a call: see `CallEnd.outcome`."""


class CallEnd(Struct, frozen=True, kw_only=True):
    """How a call ended at a server."""

    outcome: Outcome
    """What became of it. "done": it has its result. "failed": `error` says why. "handed back":
    another server is to run it, as this one drains or lost the channel that it came by, or it was
    published again to count the servers that it killed."""
    error: CallError | None = None
    """What its caller is told, if it failed."""
    executed: Executed
    """Whether its handler ran: what its caller is told, if it failed; otherwise whether it ran
    here."""
    queued: float
    """Seconds from its sending to its arrival here, by the clocks of both sides; 0.0 if the request
    does not say when it was sent."""
    waited: float
    """Seconds that it waited here for a place."""
    ran: float
    """Seconds that it had a place: for its middleware, its handler and the record of its reply; 0.0
    if it had none."""
    request_size: int
    """Bytes of its arguments."""
    reply_size: int
    """Bytes of its result or error; 0 if there was no reply."""


CallEnded: TypeAlias = Callable[[CurrentCall, CallEnd], None]
"""Takes the end of a call. It must return at once, as nothing else runs meanwhile."""


def call_ended_of(middleware: Iterable[object]) -> tuple[CallEnded, ...]:
    """The `call_ended` methods of the middlewares that have one.

    :raises ContractError: if one cannot be called, or is a coroutine function.
    """
    found = [getattr(one, "call_ended", None) for one in middleware]
    told = tuple(one for one in found if one is not None)
    for one in told:
        if not callable(one) or inspect.iscoroutinefunction(one):
            raise ContractError(
                "call_ended of a middleware must be a plain method, as nobody awaits it; it is"
                f" {one!r}"
            )
    return told
