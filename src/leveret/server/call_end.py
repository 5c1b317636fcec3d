"""How a call ended at a server, as a middleware is told of it.

`middleware(call, call_next)` is around a handler, so a call that never gets to its handler does not
come by it. A middleware may have a method `call_ended(call, end)` as well. The server calls it once
for each call that it had, however that ended.
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
    """Whether its handler ran: as its caller is told, if it failed; else whether it ran here."""
    queued: float
    """Seconds from its sending to its coming here, by both clocks; 0.0 where the request does not
    say when it was sent."""
    waited: float
    """Seconds for which it waited here for a place."""
    ran: float
    """Seconds for which it had a place, with its middleware, its handler and the record of its
    reply; 0.0 if it had none."""
    request_size: int
    """Bytes of its arguments."""
    reply_size: int
    """Bytes of its result or error; 0 if there was no reply."""


CallEnded: TypeAlias = Callable[[CurrentCall, CallEnd], None]
"""Is told of the end of a call. It must return at once: nothing else runs meanwhile."""


def call_ended_of(middleware: Iterable[object]) -> tuple[CallEnded, ...]:
    """What those middlewares that have a method `call_ended` want to be told by.

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
