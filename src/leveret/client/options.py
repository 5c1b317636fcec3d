"""How a call is to be made, and the record that middleware sees of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Literal, TypedDict

import msgspec

from leveret.contract import Hedge, Retry, as_hedge, as_retry
from leveret.errors import InvalidArgument

MAX_KEY: Final = 255
MAX_TIMEOUT = 4_294_967.0
"""Seconds: the longest `expiration` that RabbitMQ takes is 2^32 - 1 ms."""


class CallOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What `with_options` sets. None leaves the method's own."""

    timeout: float | None = None
    """Seconds from the call to its deadline; an outer call's deadline caps it."""
    metadata: dict[str, str] | None = None
    """Text that goes with the request; the handler reads it in `current_call().metadata`."""
    reply_metadata: dict[str, str] | None = None
    """A dict that is filled with what the handler sent back beside its result."""
    priority: int | None = None
    """0 to the method's `priority_levels`; a higher one is served first."""
    if_busy: Literal["wait", "fail"] = "wait"
    """Whether the request waits in the queue while no server is free, or fails with `Busy`."""
    wait_for_server: bool = False
    """Whether the call waits, until its deadline, for a server to come up."""
    wait_for_connection: bool = True
    """Whether a call waits, until its deadline, for a connection that broke to come back, and for a
    broker that takes no publishes to take them again; else it fails at once."""
    idempotency_key: str | None = None
    """The caller's own name for what it wants done once, up to 255 bytes: a request with a key that
    a server knows is answered from the reply that was recorded for it."""
    content_type: str | None = None
    """The encoding of arguments and result."""
    retry: Retry | Literal[False] | None = None
    """How the call is tried again after a failure; False: not at all."""
    hedge: Hedge | Literal[False] | None = None
    """When a second request goes beside a slow one; False: never."""

    def merged(self, changes: Mapping[str, Any]) -> CallOptions:
        """These options with some changed; None leaves one as it was.

        :raises InvalidArgument: if a change is no option, or has a value that cannot be.
        """
        fields = {name: getattr(self, name) for name in self.__struct_fields__}
        unknown = sorted(set(changes) - set(fields))
        if unknown:
            raise InvalidArgument(
                f"with_options() knows no {', '.join(unknown)}; it takes {', '.join(fields)}"
            )
        given = {name: value for name, value in changes.items() if value is not None}
        for name, judge in (("retry", as_retry), ("hedge", as_hedge)):
            if name in given:
                given[name] = judge(given[name])
        options = CallOptions(**{**fields, **given})
        _check(options)
        return options


class GivenOptions(TypedDict, total=False):
    """The arguments of `with_options`, for type checkers; see `Service.with_options`."""

    timeout: float | None
    metadata: Mapping[str, Any] | None
    reply_metadata: dict[str, Any] | None
    priority: int | None
    if_busy: Literal["wait", "fail"] | None
    wait_for_server: bool | None
    wait_for_connection: bool | None
    idempotency_key: str | None
    content_type: str | None
    retry: Retry | Literal[False] | None
    hedge: Hedge | float | None


def _check(options: CallOptions) -> None:
    """Judge what callers wrote, who may not have a type checker."""
    timeout: object = options.timeout
    if timeout is not None and not (
        isinstance(timeout, (int, float)) and 0 < timeout <= MAX_TIMEOUT
    ):
        raise InvalidArgument(
            f"timeout must be a number of seconds above 0, up to {MAX_TIMEOUT:.0f}; got {timeout!r}"
        )
    if options.if_busy not in ("wait", "fail"):
        raise InvalidArgument(f'if_busy must be "wait" or "fail"; got {options.if_busy!r}')
    priority: object = options.priority
    if priority is not None and not (isinstance(priority, int) and 0 <= priority <= 255):
        raise InvalidArgument(f"priority must be a whole number from 0 to 255; got {priority!r}")
    key: object = options.idempotency_key
    if key is not None and not (isinstance(key, str) and 0 < len(_utf8(key)) <= MAX_KEY):
        raise InvalidArgument(
            f"idempotency_key must be text of 1 to {MAX_KEY} bytes in UTF-8; got {key!r}"
        )
    metadata: object = options.metadata
    if metadata is not None and not (
        isinstance(metadata, dict)
        and all(isinstance(text, str) for pair in metadata.items() for text in pair)
    ):
        raise InvalidArgument(f"metadata must map text to text; got {metadata!r}")
    reply_metadata: object = options.reply_metadata
    if reply_metadata is not None and not isinstance(reply_metadata, dict):
        raise InvalidArgument("reply_metadata must be a dict, which the call fills")


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        return b""


class OutgoingCall(msgspec.Struct):
    """One call as client middleware sees it; what it changes here is what is sent."""

    method: str
    """"service.method"."""
    arguments: dict[str, Any]
    """By parameter name."""
    metadata: dict[str, str]
    timeout: float
    """Seconds."""


CallNext = Callable[[OutgoingCall], Awaitable[Any]]
Middleware = Callable[[OutgoingCall, CallNext], Awaitable[Any]]
"""`async def middleware(call, call_next)`: returns the result, mostly `await call_next(call)`.

It is around the whole call: retries and hedging happen inside of `call_next`."""


def compose(middleware: tuple[Middleware, ...], innermost: CallNext) -> CallNext:
    """One function out of all: the first of them is the outermost."""
    call_next = innermost
    for outer in reversed(middleware):
        call_next = _around(outer, call_next)
    return call_next


def _around(outer: Middleware, call_next: CallNext) -> CallNext:
    def call(outgoing: OutgoingCall) -> Awaitable[Any]:
        return outer(outgoing, call_next)

    return call
