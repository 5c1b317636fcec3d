"""Errors as bodies of replies: always JSON, whatever the call's own content type.

    {"code": "...", "message": "...", "executed": "no" | "maybe" | "yes",
     "type": "...", "where": "...", "traceback": "...", "data": {...}, "retry_after": 0.5}

Only `code` and `message` are always there. Nothing in a body names code to be run: a declared
error is found by its code among those that the caller's own contract declares.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from leveret.errors import (
    Busy,
    CallError,
    Cancelled,
    DeadlineExceeded,
    DeclaredError,
    Executed,
    InvalidArgument,
    InvalidResult,
    MaybeExecuted,
    NoServer,
    PermissionDenied,
    RemoteError,
    Unauthenticated,
    Unimplemented,
    Where,
)

ERROR_CONTENT_TYPE: Final = "application/json"

MESSAGE_LIMIT: Final = 4_000
"""Characters of an error's message that travel; a handler's exception may hold anything."""
TRACEBACK_LIMIT: Final = 20_000
_LONGEST_PUSH_BACK: Final = 1e9


class _Failure(msgspec.Struct, omit_defaults=True):
    code: str
    message: str
    executed: Executed = "maybe"
    type: str = ""
    where: Where = "unknown"
    traceback: str = ""
    data: dict[str, Any] = msgspec.field(default_factory=dict)
    retry_after: float | None = None


_decode = msgspec.json.Decoder(_Failure).decode
_encode = msgspec.json.Encoder(enc_hook=repr).encode

_BY_CODE: Final[dict[str, type[CallError]]] = {
    str(kind.code): kind
    for kind in (
        Cancelled,
        InvalidArgument,
        MaybeExecuted,
        NoServer,
        PermissionDenied,
        Unauthenticated,
        Unimplemented,
    )
}


def encode_failure(error: CallError) -> bytes:
    """The body that tells a caller of `error`."""
    failure = _Failure(
        code=error.__sent_code__ if isinstance(error, DeclaredError) else str(error.code),
        message=_utf8(safe_str(error.message)[:MESSAGE_LIMIT]),
        executed=error.executed,
        type=type(error).__name__,
    )
    if isinstance(error, DeadlineExceeded):
        failure.where = error.where
    elif isinstance(error, Busy):
        failure.retry_after = _push_back(error.retry_after)
    elif isinstance(error, RemoteError):
        failure.type = _utf8(error.type_name)
        failure.traceback = _utf8(error.remote_traceback[-TRACEBACK_LIMIT:])
        failure.data = error.data
    elif isinstance(error, DeclaredError):
        failure.data = {name: getattr(error, name) for name in error.fields.__struct_fields__}
    try:
        return _encode(failure)
    except (msgspec.MsgspecError, TypeError, ValueError, OverflowError, RecursionError) as cause:
        failure.data = {}
        failure.message += f" (its fields cannot be encoded: {cause})"
        return _encode(failure)


def decode_failure(
    body: bytes, raises: Mapping[str, type[DeclaredError]], method: str
) -> CallError:
    """The error that a reply's body tells of. Never raises: a bad body is an error as well.

    :param raises: the errors that the contract declares, by code.
    """
    try:
        failure = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return InvalidResult(
            f"the server sent an error that cannot be decoded: {error}", method=method
        )
    declared = raises.get(failure.code) or next(
        (kind for kind in raises.values() if kind.__sent_code__ == failure.code), None
    )
    if declared is not None:
        return _declared(declared, failure, method)
    if failure.code == DeadlineExceeded.code:
        return DeadlineExceeded(
            failure.message, where=failure.where, executed=failure.executed, method=method
        )
    if failure.code == Busy.code:
        return Busy(
            failure.message,
            retry_after=failure.retry_after,
            executed=failure.executed,
            method=method,
        )
    kind = _BY_CODE.get(failure.code)
    if kind is None and failure.code == InvalidResult.code and failure.type == "InvalidResult":
        kind = InvalidResult
    if kind is not None:
        return kind(failure.message, executed=failure.executed, method=method)
    return RemoteError(
        failure.message,
        code=failure.code,
        type_name=failure.type,
        remote_traceback=failure.traceback,
        data=failure.data,
        executed=failure.executed,
        method=method,
    )


def _declared(kind: type[DeclaredError], failure: _Failure, method: str) -> CallError:
    """A declared error with its fields, once they fit what it declares."""
    try:
        fields = msgspec.convert(failure.data, kind.fields, strict=False)
        declared = kind(**{name: getattr(fields, name) for name in fields.__struct_fields__})
    except Exception as error:  # noqa: BLE001 - the fields' types run code of their own
        return RemoteError(
            f"{failure.message} (its fields do not fit {kind.__name__}: {safe_str(error)})",
            code=failure.code,
            type_name=failure.type,
            data=failure.data,
            executed=failure.executed,
            method=method,
        )
    declared.executed = failure.executed
    declared.method = method
    return declared


def _push_back(seconds: object) -> float | None:
    """A handler's `retry_after` as a number that JSON has; what is none is no push-back."""
    if not isinstance(seconds, int | float):
        return None
    return float(min(max(-1.0, seconds), _LONGEST_PUSH_BACK))


def safe_str(error: object) -> str:
    """`str(error)`, or words to that effect where the error's own `__str__` fails."""
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - its code is a stranger's
        return "(an error whose __str__ fails)"


def _utf8(text: str) -> str:
    """Text that can be encoded: lone surrogates are replaced."""
    return text.encode("utf-8", "replace").decode()
