"""The options of `serve` and `serving`, written once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from threading import TIMEOUT_MAX
from typing import Any, Final, TypedDict, Unpack

from msgspec import Struct, field

from leveret.errors import ContractError
from leveret.once import OnceStore, store_of
from leveret.server.access import Allow
from leveret.server.handlers.execution import Middleware
from leveret.server.servable import check_concurrency
from leveret.server.watchdog import BLOCKED_AFTER
from leveret.wire.plain_queue import PlainQueue

GRACE: Final = 30.0
"""Seconds that running calls have to end when a server drains."""


class GivenServeOptions(TypedDict, total=False):
    """The options as users write them; `ServeOptions` says what each means."""

    plain: Mapping[str, str | PlainQueue] | None
    grace: float
    middleware: Iterable[Middleware]
    concurrency: int | None
    send_tracebacks: bool
    once: OnceStore | str | None
    allow: Allow | None
    trusted_servers: Iterable[str]
    operators: Iterable[str]
    access_log: bool
    blocked_after: float | None


class ServeOptions(Struct, frozen=True, kw_only=True):
    """The options as a server reads them: checked, and with defaults."""

    plain: Mapping[str, PlainQueue] = field(default_factory=dict)
    """By queue name, methods that clients of the RabbitMQ tutorial's protocol can call, too, with
    text bodies. Users may write "service.method" for a `PlainQueue` without options."""
    grace: float = GRACE
    """Seconds that running calls have to end in a drain."""
    middleware: tuple[Middleware, ...] = ()
    """What runs around each handler: `async def (call, call_next)`; the first is the outermost."""
    concurrency: int | None = None
    """Calls of each method that run at a time, 1 to 65535. None: what each method says."""
    send_tracebacks: bool = False
    """Whether callers get the traceback of an exception that the contract does not declare."""
    once: OnceStore | None = None
    """Where replies to requests with an idempotency key are recorded. None: in memory."""
    allow: Allow | None = None
    """Who may call what. None: everybody may call everything."""
    trusted_servers: Iterable[str] = ()
    """Users of other servers, as names or patterns, that are believed whose requests they hand
    back."""
    operators: Iterable[str] = ()
    """Users, as names or patterns, who may see and cancel the calls of all callers."""
    access_log: bool = False
    """Whether each call that ended is a line of the logger `leveret.access`."""
    blocked_after: float | None = BLOCKED_AFTER
    """Seconds after which a handler that blocks the event loop is named in the log. None: there is
    no watchdog, nor its thread."""

    @classmethod
    def of(cls, **given: Unpack[GivenServeOptions]) -> ServeOptions:
        """Read what a user wrote.

        :raises ContractError: if `concurrency` or `once` cannot be used.
        :raises InvalidURL: if `once` is text, and not the URL of a store.
        :raises TypeError: if there is no such option.
        """
        unknown = sorted(set(given) - set(GivenServeOptions.__annotations__))
        if unknown:
            raise TypeError(f"serve() got an unexpected keyword argument {unknown[0]!r}")
        concurrency = given.get("concurrency")
        check_concurrency(concurrency)
        return cls(
            plain={
                queue: method if isinstance(method, PlainQueue) else PlainQueue(method=method)
                for queue, method in (given.get("plain") or {}).items()
            },
            grace=given.get("grace", GRACE),
            middleware=tuple(given.get("middleware", ())),
            concurrency=concurrency,
            send_tracebacks=given.get("send_tracebacks", False),
            once=_store(given.get("once")),
            allow=given.get("allow"),
            trusted_servers=given.get("trusted_servers", ()),
            operators=given.get("operators", ()),
            access_log=given.get("access_log", False),
            blocked_after=_seconds(given.get("blocked_after", BLOCKED_AFTER)),
        )


def _seconds(blocked_after: Any) -> float | None:
    if blocked_after is None:
        return None
    is_number = isinstance(blocked_after, int | float) and not isinstance(blocked_after, bool)
    if is_number and 0 < blocked_after <= TIMEOUT_MAX:
        return float(blocked_after)
    raise ContractError(
        "blocked_after must be a number of seconds above 0, or None for no watchdog; got"
        f" {blocked_after!r}"
    )


def _store(once: object) -> OnceStore | None:
    if isinstance(once, str):
        return store_of(once)
    if once is None or (isinstance(once, OnceStore) and not isinstance(once, type)):
        return once
    raise ContractError(
        "once must be a store of leveret.once, such as RedisOnce(url), or the URL of one; got"
        f" {once.__name__ if isinstance(once, type) else type(once).__name__}"
    )
