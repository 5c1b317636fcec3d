"""Errors as bodies of replies: always JSON, whatever the call's own content type.

    {"code": "...", "message": "...", "executed": "no" | "maybe" | "yes",
     "type": "...", "where": "...", "traceback": "...", "data": {...}, "retry_after": 0.5}

Only `code` and `message` are always there. Nothing in a body names code to be run: a declared
error is found by its code among those that the caller's own contract declares.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final

import msgspec

from leveret.codec import DECODE_ERRORS, ENCODE_ERRORS, fields_codec
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
from leveret.wire.error_texts import safe_str, shortened, shortened_inside

ERROR_CONTENT_TYPE: Final = "application/json"

_LONGEST_PUSH_BACK: Final = 1e9


_NO_DATA: Final = msgspec.Raw(b"{}")


class _Failure(msgspec.Struct, omit_defaults=True):
    code: str
    message: str
    executed: Executed = "maybe"
    type: str = ""
    where: Where = "unknown"
    traceback: str = ""
    data: msgspec.Raw = _NO_DATA
    retry_after: float | None = None


_decode = msgspec.json.Decoder(_Failure).decode
_decode_data = msgspec.json.Decoder(dict[str, Any]).decode
_encode = msgspec.json.Encoder(enc_hook=repr).encode

_codec = lru_cache(1024)(fields_codec)

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


class Unconfirmed(Cancelled):
    """A server asked in vain whether the caller still waits, so it did not run the call.

    Its name travels as the type of a `Cancelled`. A client that still waits sends the request again
    if it may, and otherwise raises `Cancelled`.
    """


def executed_if_unconfirmed(body: bytes | None) -> Executed | None:
    """What the body of an `Unconfirmed` says of its call; None if it is that of another error."""
    try:
        failure = _decode(body or b"")
    except DECODE_ERRORS:
        return None
    if failure.code != Cancelled.code or failure.type != Unconfirmed.__name__:
        return None
    return failure.executed


def encode_failure(error: CallError) -> bytes:
    """The body that tells a caller of `error`."""
    failure = _Failure(
        code=error.__sent_code__ if isinstance(error, DeclaredError) else str(error.code),
        message=_utf8(shortened(safe_str(error.message))),
        executed=error.executed,
        type=type(error).__name__,
    )
    if isinstance(error, DeadlineExceeded):
        failure.where = error.where
    elif isinstance(error, Busy):
        failure.retry_after = _push_back(error.retry_after)
    elif isinstance(error, RemoteError):
        failure.type = _utf8(error.type_name)
        failure.traceback = _utf8(shortened_inside(error.remote_traceback))
        failure.data = _data(failure, _encode, error.data)
    elif isinstance(error, DeclaredError):
        failure.data = _data(failure, _encode_fields, error)
    return _encode(failure)


def in_doubt(body: bytes) -> bytes:
    """A body that says of a call that it may have run, where it said that it has not."""
    try:
        failure = _decode(body)
    except DECODE_ERRORS:
        return body
    if failure.executed != "no":
        return body
    failure.executed = "maybe"
    return _encode(failure)


def _data(failure: _Failure, encode: Callable[[Any], bytes], value: object) -> msgspec.Raw:
    """What is encoded of a value; a message of why it is not, where it is not."""
    try:
        data = encode(value)
    except ENCODE_ERRORS as cause:
        failure.message += f" (its fields cannot be encoded: {safe_str(cause)})"
        return _NO_DATA
    return msgspec.Raw(data) if data != b"{}" else _NO_DATA  # the default does not travel


def _encode_fields(error: DeclaredError) -> bytes:
    """The fields of an error as they are now, checked."""
    kind = error.fields
    values = {name: getattr(error, name) for name in kind.__struct_fields__}
    return _codec(kind).encode(kind(**values))


def misfit(error: DeclaredError) -> str:
    """Why an error cannot travel as what its class declares; "" if it can."""
    try:
        _encode_fields(error)
        _ = error.message  # an `__init__` of its own may not have set it
    except ENCODE_ERRORS as cause:
        return safe_str(cause) or type(cause).__name__
    return ""


def as_declared(
    error: DeclaredError, raises: Mapping[str, type[DeclaredError]]
) -> DeclaredError | None:
    """The error as its callers know it: itself, or as the nearest base that the contract declares.

    That has the message of the error itself, and those of its fields that the base has. None if
    neither its class nor a base is declared.
    """
    declared = raises.values()
    kind = next((base for base in type(error).__mro__ if base in declared), type(None))
    if kind is type(error):
        return error
    if not issubclass(kind, DeclaredError):
        return None
    known = kind.__new__(kind)
    try:
        CallError.__init__(known, error.message)
        names = kind.fields.__struct_fields__
        known.args = tuple(getattr(error, name) for name in names)
        known.__dict__.update(zip(names, known.args, strict=True))
    except AttributeError:  # an `__init__` of its own has not set all
        return None
    return known


def decode_failure(
    body: bytes, raises: Mapping[str, type[DeclaredError]], method: str
) -> CallError:
    """The error that a reply's body tells of. Never raises: a bad body is an error as well.

    :param raises: the errors that the contract declares, by code.
    """
    try:
        failure = _decode(body)
        data = _decode_data(failure.data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return InvalidResult(
            f"the server sent an error that cannot be decoded: {error}", method=method
        )
    declared = raises.get(failure.code) or next(
        (kind for kind in raises.values() if kind.__sent_code__ == failure.code), None
    )
    if declared is not None:
        return _declared(declared, failure, data, method)
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
        known = kind(failure.message, executed=failure.executed, method=method)
        known.attempts = 1
        return known
    return RemoteError(
        failure.message,
        code=failure.code,
        type_name=failure.type,
        remote_traceback=failure.traceback,
        data=data,
        executed=failure.executed,
        method=method,
    )


def _declared(
    kind: type[DeclaredError], failure: _Failure, data: dict[str, Any], method: str
) -> CallError:
    """A declared error with its fields, once they fit what it declares."""
    try:
        fields = _codec(kind.fields).decode(bytes(failure.data))
        declared = kind(**{name: getattr(fields, name) for name in fields.__struct_fields__})
    except DECODE_ERRORS as error:
        return RemoteError(
            f"{failure.message} (its fields do not fit {kind.__name__}: {safe_str(error)})",
            code=failure.code,
            type_name=failure.type,
            data=data,
            executed=failure.executed,
            method=method,
        )
    declared.executed = failure.executed
    declared.method = method
    return declared


def _push_back(seconds: object) -> float | None:
    """A handler's `retry_after` as a number that JSON has; anything else counts as None."""
    if not isinstance(seconds, int | float):
        return None
    return float(min(max(-1.0, seconds), _LONGEST_PUSH_BACK))


def _utf8(text: str) -> str:
    """Text that can be encoded: lone surrogates are replaced."""
    return text.encode("utf-8", "replace").decode()
