"""What an HTTP client is told of an error: a problem as RFC 9457 has it.

    {"title": "Service Unavailable", "status": 503, "code": "UNAVAILABLE", "executed": "no",
     "detail": "No server of this service can be reached now.", "call_id": "4mJ0cVq3uTgA1rXk"}

An HTTP client is mostly a stranger, and the messages of most errors name methods, users, queues or
what a handler raised. So it is told those alone that are meant for callers: of arguments that do
not fit, and of declared errors to which the web app gives a status. The log names the call by its
id, here and at the server.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

import msgspec

from leveret.codec import ENCODE_ERRORS, fields_codec
from leveret.errors import (
    Busy,
    CallError,
    CircuitOpen,
    Code,
    DeclaredError,
    Executed,
    InvalidArgument,
    LeveretError,
    http_status,
)

__all__ = ["Problem", "problem_of"]

MEDIA_TYPE: Final = "application/problem+json"
_DETAILS: Final[Mapping[str, str]] = {
    Code.UNIMPLEMENTED: "There is no such service.",
    Code.UNAVAILABLE: "The service cannot be reached now.",
    Code.RESOURCE_EXHAUSTED: "The service is busy.",
    Code.DEADLINE_EXCEEDED: "The service did not answer in time.",
    Code.CANCELLED: "The request was cancelled.",
    Code.ABORTED: "The request broke off, and may have been carried out.",
    Code.PERMISSION_DENIED: "This is not allowed.",
    Code.UNAUTHENTICATED: "It is not known who asks.",
}
"""What strangers are told, by code; of any other code that something went wrong."""
_UNFORESEEN: Final = "Something went wrong in the service."
_CLIENT_LEFT: Final = 499


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to an HTTP request: `Response(it.body, it.status, it.headers)` or the like."""

    status: int
    """The HTTP status."""
    title: str
    """What the status means, in HTTP's words."""
    code: str
    """`error.code`; INTERNAL for an error that is not of a call."""
    executed: Executed
    """Whether the handler of the call ran. "no" says that the request may be sent again."""
    detail: str
    """What happened, in words for whoever made the HTTP request."""
    call_id: str = ""
    """By which the logs of the web app and of the server name the call; "" if nothing was sent."""
    data: msgspec.Raw | None = None
    """The fields of a declared error, as JSON; None for other errors."""
    retry_after: int | None = None
    """Seconds, whole ones, after which another attempt makes sense; None: nobody says."""

    @property
    def body(self) -> bytes:
        """JSON of what is known, without `retry_after`."""
        members: dict[str, Any] = {
            "title": self.title,
            "status": self.status,
            "code": self.code,
            "executed": self.executed,
            "detail": self.detail,
        }
        if self.call_id:
            members["call_id"] = self.call_id
        if self.data is not None:
            members["data"] = self.data
        return msgspec.json.encode(members)

    @property
    def headers(self) -> dict[str, str]:
        """Those of the answer: its type, that no cache may keep it, when to come again."""
        headers = {"content-type": MEDIA_TYPE, "cache-control": "no-store"}
        if self.retry_after is not None:
            headers["retry-after"] = str(self.retry_after)
        return headers


def problem_of(error: LeveretError, statuses: Mapping[str, int] | None = None) -> Problem:
    """What an HTTP client is told of an error.

    :param statuses: statuses of declared errors by code, as in {"OUT_OF_STOCK": 409}, or others for
        codes of `Code`. A declared error that is named here shows its message and its fields; one
        that is not is 500, and shows neither.
    """
    if not isinstance(error, CallError):  # of the connection, say, or of a store
        return _problem(500, Code.INTERNAL, "maybe", _UNFORESEEN)
    is_shown = isinstance(error, InvalidArgument) or (
        isinstance(error, DeclaredError) and error.code in (statuses or {})
    )
    return _problem(
        http_status(error.code, statuses),
        str(error.code),
        error.executed,
        error.message if is_shown else _DETAILS.get(error.code, _UNFORESEEN),
        call_id=error.call_id,
        data=_fields(error) if is_shown and isinstance(error, DeclaredError) else None,
        retry_after=_pause(error),
    )


def _problem(
    status: int,
    code: str,
    executed: Executed,
    detail: str,
    *,
    call_id: str = "",
    data: msgspec.Raw | None = None,
    retry_after: int | None = None,
) -> Problem:
    return Problem(
        status=status,
        title="Client Closed Request" if status == _CLIENT_LEFT else HTTPStatus(status).phrase,
        code=code,
        executed=executed,
        detail=detail,
        call_id=call_id,
        data=data,
        retry_after=retry_after,
    )


def _fields(error: DeclaredError) -> msgspec.Raw | None:
    """The fields of an error as they travel; None if a handler has put in what cannot."""
    kind = error.fields
    values = {name: getattr(error, name) for name in kind.__struct_fields__}
    try:
        return msgspec.Raw(fields_codec(kind).encode(kind(**values)))
    except ENCODE_ERRORS:
        return None


def _pause(error: CallError) -> int | None:
    """After how many seconds to come again (RFC 9110, section 10.2.3)."""
    if not isinstance(error, Busy | CircuitOpen):
        return None
    seconds = error.retry_after
    return None if seconds is None or seconds < 0 else math.ceil(seconds)
