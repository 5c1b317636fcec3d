"""Everything Leveret raises, in one tree.

    LeveretError
    ├── ContractError (TypeError)        a service class that cannot work; raised when it is defined
    ├── InvalidURL (ValueError)          a broker address that cannot be read
    ├── TopologyError                    a queue or exchange exists with other options, or cannot
    ├── OnceUnavailable                  a store of idempotency keys is out of reach (leveret.once)
    ├── AMQPError                        the broker or this side ended AMQP, with AMQP's reply code
    │   ├── ProtocolError                bytes that are not valid AMQP
    │   ├── ChannelClosed                the broker closed a channel
    │   └── ConnectionClosed             the broker closed the connection
    └── CallError                        one remote call failed; says whether its handler ran
        ├── InvalidArgument              INVALID_ARGUMENT
        ├── Unimplemented                UNIMPLEMENTED
        ├── NoServer                     UNAVAILABLE
        ├── CircuitOpen                  UNAVAILABLE
        ├── Busy                         RESOURCE_EXHAUSTED
        ├── DeadlineExceeded             DEADLINE_EXCEEDED   (TimeoutError)
        ├── Cancelled                    CANCELLED
        ├── MaybeExecuted                ABORTED
        │   └── StreamBroken             ABORTED
        ├── ConnectionLost               UNAVAILABLE         (ConnectionError)
        ├── PermissionDenied             PERMISSION_DENIED
        ├── Unauthenticated              UNAUTHENTICATED
        ├── RemoteError                  INTERNAL
        ├── InvalidResult                INTERNAL
        └── DeclaredError                a code of its own   (base of a service's own errors)

Every `CallError` has a `code`, and `executed`, which tells a caller what a retry may do: "no", the
handler did not run; "yes", it ran; "maybe", nobody can know. The codes are gRPC's
(https://grpc.io/docs/guides/status-codes/), so they read the same in every log.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Collection, Mapping
from enum import StrEnum
from typing import Any, ClassVar, Final, Literal, dataclass_transform, get_type_hints

import msgspec

from leveret.annotations import (
    Hook,
    TypeArguments,
    free_variables,
    substituted,
    with_bounds,
    with_hooks,
)
from leveret.snake_case import snake_case

__all__ = [
    "AMQPError",
    "Busy",
    "CallError",
    "Cancelled",
    "ChannelClosed",
    "CircuitOpen",
    "Code",
    "ConnectionClosed",
    "ConnectionLost",
    "ContractError",
    "DeadlineExceeded",
    "DeclaredError",
    "Executed",
    "InvalidArgument",
    "InvalidResult",
    "InvalidURL",
    "LeveretError",
    "MaybeExecuted",
    "NoServer",
    "PermissionDenied",
    "ProtocolError",
    "RemoteError",
    "StreamBroken",
    "TopologyError",
    "Unauthenticated",
    "Unimplemented",
]

Executed = Literal["no", "maybe", "yes"]
"""Whether the handler ran: "no", "maybe" (nobody can know) or "yes"."""

Where = Literal["client", "queue", "handler", "unknown"]
"""Where a call was when its deadline passed."""

_EXECUTED_AT: Final[dict[Where, Executed]] = {
    "client": "no",
    "queue": "no",
    "handler": "yes",
    "unknown": "maybe",
}


class Code(StrEnum):
    """What kind of failure a call met. A declared error brings a code of its own instead."""

    INVALID_ARGUMENT = "INVALID_ARGUMENT"
    """The arguments do not fit: `InvalidArgument`."""
    UNIMPLEMENTED = "UNIMPLEMENTED"
    """There is no such method: `Unimplemented`."""
    UNAVAILABLE = "UNAVAILABLE"
    """Nobody can be reached: `NoServer`, `CircuitOpen`, `ConnectionLost`."""
    RESOURCE_EXHAUSTED = "RESOURCE_EXHAUSTED"
    """There is no room for the call: `Busy`."""
    DEADLINE_EXCEEDED = "DEADLINE_EXCEEDED"
    """The deadline passed: `DeadlineExceeded`."""
    CANCELLED = "CANCELLED"
    """The call was cancelled: `Cancelled`."""
    ABORTED = "ABORTED"
    """It is not known whether the handler ran: `MaybeExecuted`, `StreamBroken`."""
    PERMISSION_DENIED = "PERMISSION_DENIED"
    """The caller may not: `PermissionDenied`."""
    UNAUTHENTICATED = "UNAUTHENTICATED"
    """The caller is not known: `Unauthenticated`."""
    INTERNAL = "INTERNAL"
    """The handler failed, or its result cannot travel: `RemoteError`, `InvalidResult`."""


_HTTP_STATUS: Final[Mapping[str, int]] = {
    Code.INVALID_ARGUMENT: 400,
    Code.UNIMPLEMENTED: 501,
    Code.UNAVAILABLE: 503,
    Code.RESOURCE_EXHAUSTED: 429,
    Code.DEADLINE_EXCEEDED: 504,
    Code.CANCELLED: 499,
    Code.ABORTED: 409,
    Code.PERMISSION_DENIED: 403,
    Code.UNAUTHENTICATED: 401,
    Code.INTERNAL: 500,
}


def http_status(code: str, declared: Mapping[str, int] | None = None) -> int:
    """The HTTP status with which a web server reports a failed call to its own client.

    The codes of `Code` have the statuses of gRPC's codes
    (https://github.com/googleapis/googleapis/blob/master/google/rpc/code.proto). Any other code
    belongs to a declared error. Unless `declared` has a status for it, its status is 500.

    :param code: `error.code`.
    :param declared: statuses by code: for declared errors, or in place of those of `Code`.
    """
    status = (declared or {}).get(code)
    return _HTTP_STATUS.get(code, 500) if status is None else status


class LeveretError(Exception):
    """The root: `except LeveretError` catches everything that Leveret raises on purpose."""


class ContractError(LeveretError, TypeError):
    """A service class that cannot work, found when the class is defined."""


class InvalidURL(LeveretError, ValueError):
    """A broker address that cannot be read. The message never holds the password."""


class TopologyError(LeveretError):
    """A queue or an exchange cannot be declared.

    Usually the broker already has one of this name with other options. Otherwise the message says
    why.
    """


def escaped(text: str) -> str:
    """The broker's text as every log can write it: bytes that are not UTF-8 are escaped."""
    return text.encode("utf-8", "backslashreplace").decode()


class AMQPError(LeveretError):
    """The broker or this side ended a channel or a connection.

    `reply_code` and `reply_text` are those of AMQP 0-9-1, section 1.1 ("reply codes").
    """

    def __init__(self, reply_code: int, reply_text: str) -> None:
        super().__init__(reply_code, reply_text)
        self.reply_code = reply_code
        """The reply code of AMQP, as in 404."""
        self.reply_text = reply_text
        """The reason that the broker or this side gave."""

    def __str__(self) -> str:
        return f"{escaped(self.reply_text)} (AMQP {self.reply_code})"


class ProtocolError(AMQPError):
    """Bytes that are not valid AMQP 0-9-1; `reply_code` is what the peer is told."""


class ChannelClosed(AMQPError):
    """The broker closed a channel, for the reason it gives."""


class ConnectionClosed(AMQPError):
    """The broker closed the connection, for the reason it gives."""


class CallError(LeveretError):
    """One remote call failed.

    `method` is "service.method" once the error belongs to a call, else "". An error that a handler
    raises itself has none yet. So the server can tell its own `InvalidArgument` from one that came
    from a nested call.

    `attempts` is how often the request was sent: 0 if the client refused it locally, otherwise 1,
    or more with `retry` or `hedge`. Then `executed` holds for all of them together.

    `call_id` is the id of its request, by which the server's log names the call; "" if no request
    was sent.

    `received` is how many items of a stream its consumer was given before the error; 0 for other
    calls.

    `stage` is the number of the stage of a pipe that failed, counted from 1; 0 outside of pipes. In
    a pipe, `method` is the method of that stage, and `executed` is about the whole pipe: it is "no"
    only if no stage ran.
    """

    code: str = Code.INTERNAL
    """The kind of failure: one of `Code`, or a declared error's own."""
    default_executed: ClassVar[Executed] = "maybe"
    """The value of `executed` for an error that is raised without it."""
    executed: Executed
    """Whether the handler ran: "no", "maybe" or "yes"."""
    attempts: int = 1
    """How often the request was sent."""
    call_id: str = ""
    """The id of the request; "" if none was sent."""
    received: int = 0
    """How many items of a stream its consumer was given."""
    stage: int = 0
    """The number of the stage of a pipe that failed, counted from 1; 0 outside of pipes."""

    def __init__(
        self, message: str = "", *, executed: Executed | None = None, method: str = ""
    ) -> None:
        super().__init__(message)
        self.message = message
        """What happened, and what to do; without the method."""
        self.executed = self.default_executed if executed is None else executed
        self.method = method
        """The method that was called, "service.method"; "" before the error belongs to a call."""

    def __str__(self) -> str:
        return f"{self._where}{self.message}"

    @property
    def _where(self) -> str:
        """The beginning of the error's text: the method, and the stage of a pipe."""
        if not self.method:
            return ""
        return f"{self.method} (stage {self.stage}): " if self.stage else f"{self.method}: "

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.args, self.__dict__.copy())


class InvalidArgument(CallError):
    """The arguments do not fit the contract, or the body cannot be decoded.

    Found by the client before it sends, or by the server before it runs anything.
    """

    code = Code.INVALID_ARGUMENT
    default_executed = "no"
    attempts = 0  # one from a server tells how often its request was sent


class Unimplemented(CallError):
    """There is no such service or method: no request queue of that name exists."""

    code = Code.UNIMPLEMENTED
    default_executed = "no"


class NoServer(CallError):
    """The method exists, but no live server takes its calls."""

    code = Code.UNAVAILABLE
    default_executed = "no"


class CircuitOpen(CallError):
    """Not sent: too many recent calls of the service failed; see `connect(breaker=...)`.

    `service` is the service whose circuit is open. `open_for` is the number of seconds since it
    opened. `failures` counts the errors that opened it, by name. `retry_after` is the number of
    seconds until the client lets a trial call through; it is 0 while a trial call is in flight.
    """

    code = Code.UNAVAILABLE
    default_executed = "no"
    attempts = 0

    def __init__(
        self,
        message: str = "",
        *,
        service: str = "",
        open_for: float = 0.0,
        failures: Mapping[str, int] | None = None,
        retry_after: float = 0.0,
        executed: Executed | None = None,
        method: str = "",
    ) -> None:
        super().__init__(message, executed=executed, method=method)
        self.service = service
        """The service whose circuit is open."""
        self.open_for = open_for
        """Seconds since it opened."""
        self.failures = dict(failures or {})
        """The number of errors that opened it, by name."""
        self.retry_after = retry_after
        """Seconds until the client lets a trial call through; 0 while one is in flight."""


class Busy(CallError):
    """Turned away before it ran: servers busy, queue full, too many calls, too large a body.

    A handler or a middleware may raise it. `retry_after` tells callers that have a `retry` when to
    try again: after this number of seconds at the earliest, never if it is negative, at any time if
    it is None.
    """

    code = Code.RESOURCE_EXHAUSTED
    default_executed = "no"

    def __init__(
        self,
        message: str = "",
        *,
        retry_after: float | None = None,
        executed: Executed | None = None,
        method: str = "",
    ) -> None:
        super().__init__(message, executed=executed, method=method)
        self.retry_after = retry_after
        """Seconds until a retry makes sense; negative for never, None for any time."""


class DeadlineExceeded(CallError, TimeoutError):
    """The deadline passed.

    `where` is "client" (the request was not sent, or the broker had no queue for it: `executed` is
    "no"), "queue" (no server took it in time: "no", or "maybe" where one may have and died),
    "handler" (it was running and was cancelled: "yes") or "unknown" (nobody answered: "maybe").
    """

    code = Code.DEADLINE_EXCEEDED

    def __init__(
        self,
        message: str = "",
        *,
        where: Where = "unknown",
        executed: Executed | None = None,
        method: str = "",
    ) -> None:
        if executed is None:
            executed = _EXECUTED_AT[where]
        super().__init__(message, executed=executed, method=method)
        self.where: Where = where
        """Where the call was: "client", "queue", "handler" or "unknown"."""


class Cancelled(CallError):
    """The call was cancelled by its caller, or by a server that stopped."""

    code = Code.CANCELLED


class MaybeExecuted(CallError):
    """A server took the request and died, and nobody runs it again: the method is not idempotent.

    A call of `rabbit.ask_one` also raises it if the server that was asked does not answer.
    """

    code = Code.ABORTED


class StreamBroken(MaybeExecuted):
    """A stream broke off: its server is gone or out of reach, and its other items with it.

    The consumer was given the items 1 to `received`, each once and in order.
    """


class ConnectionLost(CallError, ConnectionError):
    """The connection to the broker broke before the answer came, or could not be made."""

    code = Code.UNAVAILABLE


class PermissionDenied(CallError):
    """The caller may not do this."""

    code = Code.PERMISSION_DENIED
    default_executed = "no"


class Unauthenticated(CallError):
    """The broker or the service does not know who the caller is."""

    code = Code.UNAUTHENTICATED
    default_executed = "no"


class RemoteError(CallError):
    """The handler raised something that its contract does not declare.

    `type_name` is the name of the exception's class. `remote_traceback` is its traceback, "" unless
    the server was told to send it. A declared error that the client's contract lacks becomes a
    `RemoteError` as well, with its own `code`, and its fields in `data`.
    """

    default_executed = "yes"

    def __init__(
        self,
        message: str = "",
        *,
        code: str = Code.INTERNAL,
        type_name: str = "",
        remote_traceback: str = "",
        data: dict[str, Any] | None = None,
        executed: Executed | None = None,
        method: str = "",
    ) -> None:
        super().__init__(message, executed=executed, method=method)
        self.code = code
        self.type_name = type_name
        """The name of the exception's class; "" if it is not known."""
        self.remote_traceback = remote_traceback
        """The traceback at the server; "" unless the server sends tracebacks."""
        self.data = data or {}
        """The fields of a declared error that the client's contract lacks."""

    def __str__(self) -> str:
        name = f"{self.type_name}: " if self.type_name else ""
        return f"{self._where}{name}{self.message}{_in_log(self)}"


class InvalidResult(CallError):
    """The handler returned a value that its annotation forbids, or its reply cannot be decoded."""

    default_executed = "yes"

    def __str__(self) -> str:
        return f"{super().__str__()}{_in_log(self)}"


def _in_log(error: CallError) -> str:
    """The call id, under which the server's log has the details of an unforeseen error."""
    return f" (call {error.call_id})" if error.call_id else ""


@dataclass_transform()
class DeclaredError(CallError):
    """Base of the errors a service declares with `@method(raises=[...])`.

    A subclass is written like a dataclass; its fields travel, and the caller gets the same class::

        class OutOfStock(leveret.DeclaredError):
            "There are not enough of them."
            sku: str
            left: int = 0

    Its code is the class name in upper snake case (`OUT_OF_STOCK`), or `class OutOfStock(
    DeclaredError, code="SOLD_OUT")`. Its message is the first line of its docstring and its fields;
    its `args` are the values of its fields.

    :raises ContractError: when the class is defined, if its code is one of `Code`, no text, or in
        its body, or if a field cannot travel.
    """

    default_executed = "yes"
    fields: ClassVar[type[msgspec.Struct]]
    """Its fields as a struct, which checks them."""
    __sent_code__: ClassVar[str]
    """The code on the wire. It differs from `code` where a class name has an acronym: servers send
    `HTTPERROR` for `HTTPError`, which clients of any version understand. Clients take both."""

    def __init_subclass__(cls, *, code: str | None = None, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if code is not None and not isinstance(code, str):
            raise ContractError(f"{cls.__name__}: its code is {code!r}; write text, code=...")
        written = vars(cls).get("code")
        cls.code = code or snake_case(cls.__name__).upper()
        cls.__sent_code__ = code or re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", cls.__name__).upper()
        if cls.code in Code.__members__:
            raise ContractError(
                f"{cls.__name__}: {cls.code} is one of Leveret's own codes;"
                " choose another: code=..."
            )
        if written is not None and written not in (cls.code, cls.__sent_code__):
            raise ContractError(
                f"{cls.__name__}: its code is not read from its body; write"
                f" class {cls.__name__}(DeclaredError, code={written!r})"
            )
        cls.fields = _fields_of(cls, ())

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        try:
            values = self.fields(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{type(self).__name__}: {error}") from None
        data = {name: getattr(values, name) for name in self.fields.__struct_fields__}
        summary = (type(self).__doc__ or type(self).__name__).strip().splitlines()[0]
        shown = ", ".join(f"{name}={value!r}" for name, value in data.items())
        super().__init__(f"{summary} ({shown})" if shown else summary)
        self.args = tuple(data.values())
        """The values of its fields, in their order."""
        self.__dict__.update(data)


def hold_in(error: type[DeclaredError], hooks: Collection[Hook[Any]]) -> None:
    """Apply the hooks of a service to the fields of an error that it declares.

    :raises TypeError: if the hooks of another service, which differ, apply to them already.
    """
    wanted = _fields_of(error, hooks)
    if _types(wanted) == _types(error.fields):
        return
    if _types(_fields_of(error, ())) != _types(error.fields):
        raise TypeError(
            f"{error.__qualname__}, which another service declares with other hooks for its fields;"
            " an error has one encoding for all services: write the hook at the field, as in"
            " `price: Annotated[Money, Hook(...)]`"
        )
    error.fields = wanted


def _types(fields: type[msgspec.Struct]) -> list[Any]:
    return [field.type for field in msgspec.structs.fields(fields)]


def _fields_of(cls: type[DeclaredError], hooks: Collection[Hook[Any]]) -> type[msgspec.Struct]:
    """The annotated fields of a declared error, its bases' first, as a struct that checks them."""
    owners: dict[str, type] = {}
    taken = {*dir(CallError()), "fields"}
    for base in reversed(cls.__mro__):
        if issubclass(base, DeclaredError) and base is not DeclaredError:
            owners.update(dict.fromkeys(inspect.get_annotations(base), base))
    if taken & owners.keys():
        raise ContractError(
            f"{cls.__name__}: every error has {', '.join(sorted(taken & owners.keys()))} already;"
            " give the field another name"
        )
    try:
        hints = get_type_hints(cls, include_extras=True)
        given = TypeArguments(cls)
        fields: list[Any] = []
        for name, owner in owners.items():
            annotation = with_hooks(_annotation(hints[name], given.of(owner)), hooks)
            default = (getattr(cls, name),) if hasattr(cls, name) else ()
            fields.append((name, annotation, *default))
        struct = msgspec.defstruct(
            cls.__name__, fields, namespace={"__doc__": cls.__doc__}, forbid_unknown_fields=False
        )
        msgspec.json.Decoder(struct)
    except (TypeError, NameError) as error:
        raise ContractError(f"{cls.__name__}: its fields cannot travel: {error}") from error
    return struct


def _annotation(hint: Any, given: Mapping[Any, Any]) -> Any:
    annotation = substituted(hint, given)
    free_variables(annotation)
    return with_bounds(annotation)


def _rebuild(cls: type[CallError], args: tuple[Any, ...], state: dict[str, Any]) -> CallError:
    """Unpickle an error without calling its `__init__`, whose arguments differ by class."""
    error = cls.__new__(cls, *args)
    error.__dict__.update(state)
    return error
