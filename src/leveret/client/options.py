"""The options of calls: what `with_options` takes, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from inspect import iscoroutinefunction
from typing import Any, Final, Literal, TypedDict

import msgspec
from msgspec import structs

from leveret.client.calls.listener import OnProgress
from leveret.codec import normal_content_type
from leveret.contract import Hedge, Retry, as_hedge, as_retry
from leveret.errors import ContractError, InvalidArgument
from leveret.given_numbers import is_number, is_whole

MAX_KEY: Final = 255
MAX_TIMEOUT = 4_294_967.0
"""Seconds of the longest timeout, as RabbitMQ takes an `expiration` of at most 2^32 - 1 ms."""


OF_A_CALL: Final = frozenset(
    {"timeout", "idle_timeout", "total_timeout", "metadata", "reply_metadata", "on_progress"}
)
"""The options that change neither how requests are packed nor, thus, the invocation."""


class CallOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The options that `with_options` sets. None leaves the method's own."""

    timeout: float | None = None
    """Seconds from the call to its deadline; an outer call's deadline caps it. For a
    stream, the time until the first message of its server."""
    idle_timeout: float | None = None
    """For a stream: seconds that its consumer waits for an item at most."""
    total_timeout: float | None = None
    """For a stream: seconds from its start to its end."""
    metadata: dict[str, str] | None = None
    """Text sent with the request; the handler reads it in `current_call().metadata`."""
    reply_metadata: dict[str, str] | None = None
    """A dict that receives the metadata that the handler sent with its result."""
    priority: int | None = None
    """0 to the method's `priority_levels`; requests with a higher one are served first."""
    if_busy: Literal["wait", "fail"] = "wait"
    """Whether the request waits in the queue while no server is free, or fails with `Busy`."""
    wait_for_server: bool = False
    """Whether the call waits, until its deadline, for a server to start."""
    wait_for_connection: bool = True
    """Whether a call waits, until its deadline, for a broken connection to come back, and for a
    broker that blocks publishers to take requests again. Otherwise it fails at once."""
    idempotency_key: str | None = None
    """The caller's own name for what is to be done once, up to 255 bytes. If a server knows the
    key, it answers with the reply that was recorded for it."""
    content_type: str | None = None
    """The encoding of arguments and result."""
    expires_in: float | None = None
    """Seconds after which servers no longer begin a one-way request; None: it waits without
    limit."""
    retry: Retry | Literal[False] | None = None
    """How the call is tried again after a failure; False: not at all."""
    hedge: Hedge | Literal[False] | None = None
    """When a second request is sent in addition to a slow one; False: never."""
    on_progress: OnProgress | None = None
    """Called with each progress report of the handler."""

    @property
    def shape(self) -> tuple[Any, ...]:
        """The options that make requests differ, without timeout, metadata and the key itself."""
        return (
            self.content_type,
            self.priority,
            self.if_busy,
            self.wait_for_server,
            self.wait_for_connection,
            self.idempotency_key is not None,
            self.retry,
            self.hedge,
            self.expires_in,
        )

    def merged(self, changes: Mapping[str, Any]) -> CallOptions:
        """These options with some changed; None leaves one as it was.

        :raises InvalidArgument: if a change names no option, or has an invalid value.
        """
        metadata = changes.get("metadata")
        if metadata is not None and len(changes) == 1:  # a tracer's, for each call
            return structs.replace(self, metadata=check_metadata(metadata))
        given: dict[str, Any] = {}
        for name, value in changes.items():
            check = _CHECKS.get(name)
            if check is None:
                unknown = ", ".join(sorted(set(changes) - set(_CHECKS)))
                raise InvalidArgument(
                    f"with_options() knows no {unknown}; it takes {', '.join(_CHECKS)}"
                )
            if value is not None:
                given[name] = check(value)
        return structs.replace(self, **given)


class GivenOptions(TypedDict, total=False):
    """The arguments of `with_options`, for type checkers; see `Service.with_options`."""

    timeout: float | None
    idle_timeout: float | None
    total_timeout: float | None
    metadata: Mapping[str, Any] | None
    reply_metadata: dict[str, Any] | None
    priority: int | None
    if_busy: Literal["wait", "fail"] | None
    wait_for_server: bool | None
    wait_for_connection: bool | None
    idempotency_key: str | None
    content_type: str | None
    expires_in: float | None
    retry: Retry | Literal[False] | None
    hedge: Hedge | float | None
    on_progress: OnProgress | None


def check_timeout(timeout: object, name: str = "timeout") -> float:
    """Check a timeout in seconds, and return it.

    :param name: the name of the option.
    :raises InvalidArgument: if it is not a number above 0, or longer than RabbitMQ takes.
    """
    if is_number(timeout) and 0 < timeout <= MAX_TIMEOUT:
        return timeout
    raise InvalidArgument(
        f"{name} must be a number of seconds above 0, up to {MAX_TIMEOUT:.0f}; got {timeout!r}"
    )


def _check_expires_in(seconds: object) -> float:
    if is_number(seconds) and 0.001 <= seconds <= MAX_TIMEOUT:
        return float(seconds)
    raise InvalidArgument(
        f"expires_in must be a number of seconds, 0.001 to {MAX_TIMEOUT:.0f}; got {seconds!r}"
    )


def check_metadata(metadata: object) -> dict[str, str]:
    """Check the metadata of a request, and return it.

    :raises InvalidArgument: if it does not map text to text.
    """
    if isinstance(metadata, Mapping):
        given = metadata if isinstance(metadata, dict) else dict(metadata)
        for name, value in given.items():
            if not (isinstance(name, str) and isinstance(value, str)):
                break
        else:
            return given
    raise InvalidArgument(f"metadata must map text to text; got {metadata!r}")


def _check_reply_metadata(reply_metadata: object) -> dict[str, str]:
    if not isinstance(reply_metadata, dict):
        raise InvalidArgument("reply_metadata must be a dict, which the call fills")
    return reply_metadata


def _check_if_busy(if_busy: object) -> object:
    if if_busy not in ("wait", "fail"):
        raise InvalidArgument(f'if_busy must be "wait" or "fail"; got {if_busy!r}')
    return if_busy


def _check_priority(priority: object) -> int:
    if not (is_whole(priority) and 0 <= priority <= 255):
        raise InvalidArgument(f"priority must be a whole number from 0 to 255; got {priority!r}")
    return priority


def check_key(key: object) -> str:
    """Check an idempotency key, and return it.

    :raises InvalidArgument: if it cannot be one.
    """
    if not (isinstance(key, str) and 0 < len(_utf8(key)) <= MAX_KEY):
        raise InvalidArgument(
            f"idempotency_key must be text of 1 to {MAX_KEY} bytes in UTF-8; got {key!r}"
        )
    return key


def _check_on_progress(on_progress: object) -> object:
    if not callable(on_progress) or iscoroutinefunction(on_progress):
        raise InvalidArgument(
            "on_progress takes a plain function of a Progress, which must not block; got"
            f" {on_progress!r}"
        )
    return on_progress


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        return b""


def check_flag(value: object, name: str) -> bool:
    """Check an option that is on or off, and return it.

    :param name: the name of the option.
    :raises InvalidArgument: if it is no bool.
    """
    if not isinstance(value, bool):
        raise InvalidArgument(f"{name} must be True or False; got {value!r}")
    return value


def _check_content_type(content_type: object) -> str:
    if not (isinstance(content_type, str) and content_type):
        raise InvalidArgument(
            f'content_type must be text, as in "application/json"; got {content_type!r}'
        )
    try:
        normal_content_type(content_type)
    except ContractError as error:
        raise InvalidArgument(str(error)) from error
    return content_type


_CHECKS: Final[dict[str, Callable[[Any], object]]] = {
    "timeout": check_timeout,
    "idle_timeout": partial(check_timeout, name="idle_timeout"),
    "total_timeout": partial(check_timeout, name="total_timeout"),
    "metadata": check_metadata,
    "reply_metadata": _check_reply_metadata,
    "priority": _check_priority,
    "if_busy": _check_if_busy,
    "wait_for_server": partial(check_flag, name="wait_for_server"),
    "wait_for_connection": partial(check_flag, name="wait_for_connection"),
    "idempotency_key": check_key,
    "content_type": _check_content_type,
    "expires_in": _check_expires_in,
    "retry": as_retry,
    "hedge": as_hedge,
    "on_progress": _check_on_progress,
}
"""The check of each option, for callers without a type checker."""
