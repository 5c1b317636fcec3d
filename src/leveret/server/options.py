"""The options of `serve` and `serving`, written once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from threading import TIMEOUT_MAX
from typing import Final, TypedDict, Unpack

from msgspec import Struct, field

from leveret.contract.limits import MAX_NAME_BYTES
from leveret.errors import ContractError
from leveret.given_middleware import read_middleware
from leveret.given_numbers import is_duration, is_number
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

        :raises ContractError: if an option has a value that cannot be used.
        :raises InvalidURL: if `once` is text, and not the URL of a store.
        :raises TypeError: if there is no such option.
        """
        unknown = sorted(set(given) - set(GivenServeOptions.__annotations__))
        if unknown:
            raise TypeError(f"serve() got an unexpected keyword argument {unknown[0]!r}")
        concurrency = given.get("concurrency")
        check_concurrency(concurrency)
        return cls(
            plain=_plain(given.get("plain")),
            grace=check_grace(given.get("grace", GRACE)),
            middleware=_middleware(given.get("middleware", ())),
            concurrency=concurrency,
            send_tracebacks=_flag("send_tracebacks", given.get("send_tracebacks", False)),
            once=_store(given.get("once")),
            allow=given.get("allow"),
            trusted_servers=given.get("trusted_servers", ()),
            operators=given.get("operators", ()),
            access_log=_flag("access_log", given.get("access_log", False)),
            blocked_after=_seconds(given.get("blocked_after", BLOCKED_AFTER)),
        )


def check_grace(grace: object) -> float:
    """Check the grace of a drain in seconds, and return it. It may be endless.

    :raises ContractError: if it is no number of seconds.
    """
    if is_duration(grace):
        return grace
    raise ContractError(f"grace must be a number of seconds, 0 or more; got {grace!r}")


def _flag(name: str, value: object) -> bool:
    if isinstance(value, bool):
        return value
    raise ContractError(f"{name} must be True or False; got {value!r}")


def _middleware(given: Iterable[Middleware]) -> tuple[Middleware, ...]:
    try:
        return read_middleware(given)
    except ValueError as error:
        raise ContractError(str(error)) from error


def _plain(given: object) -> dict[str, PlainQueue]:
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise ContractError(
            f'plain must be a mapping of queue names to "service.method"; got {given!r}'
        )
    return {_queue(name): _plain_queue(name, method) for name, method in given.items()}


def _queue(name: object) -> str:
    if isinstance(name, str) and 0 < len(name.encode(errors="replace")) <= MAX_NAME_BYTES:
        return name
    raise ContractError(
        f"the name of a queue of plain must be text of 1 to {MAX_NAME_BYTES} bytes; got {name!r}"
    )


def _plain_queue(name: str, method: object) -> PlainQueue:
    if isinstance(method, PlainQueue):
        return method
    if isinstance(method, str):
        return PlainQueue(method=method)
    raise ContractError(
        f'plain={{{name!r}: ...}} must be "service.method" or a leveret.PlainQueue(...); got'
        f" {method!r}"
    )


def _seconds(blocked_after: object) -> float | None:
    if blocked_after is None:
        return None
    if is_number(blocked_after) and 0 < blocked_after <= TIMEOUT_MAX:
        return float(blocked_after)
    raise ContractError(
        f"blocked_after must be a number of seconds above 0, up to {TIMEOUT_MAX:.0f}, or None for"
        f" no watchdog; got {blocked_after!r}"
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
