"""What a caller is told when its call did not end with a result."""

from __future__ import annotations

import logging
import traceback
from typing import Final

from leveret.amqp.events import Delivery
from leveret.contract import MethodSpec
from leveret.errors import (
    Busy,
    CallError,
    Cancelled,
    DeadlineExceeded,
    DeclaredError,
    Executed,
    InvalidArgument,
    PermissionDenied,
    RemoteError,
    Unauthenticated,
)
from leveret.server.running import Running
from leveret.wire.failures import safe_str
from leveret.wire.native.headers import attempts

log = logging.getLogger("leveret.server")

_SAME_DEADLINE: Final = 0.05
"""Seconds by which a nested call may learn of the common deadline before its outer call does."""

_OWN: Final = (InvalidArgument, PermissionDenied, Unauthenticated, Busy)
"""Errors of ours that a handler may raise itself, to its caller."""


def ran_before(delivery: Delivery) -> Executed:
    """Whether another server may have run a request that this one does not run."""
    again = delivery.redelivered or attempts(delivery.properties.headers) > 0
    return "maybe" if again else "no"


def cancelled(running: Running) -> CallError:
    """The error of a call whose handler was cancelled."""
    match running.stopped_by:
        case "deadline" if running.in_thread:
            return DeadlineExceeded(
                "the handler did not end by the deadline; it runs on in its thread, which nothing"
                " can stop",
                where="handler",
            )
        case "deadline":
            return DeadlineExceeded(
                "the handler did not end by the deadline and was cancelled", where="handler"
            )
        case "caller":
            return Cancelled("the caller cancelled")
        case "drain":
            return Cancelled("the server stopped while the handler ran")
    return Cancelled("the handler was cancelled, by itself or by what it waited for")


def raised(
    running: Running, error: BaseException, spec: MethodSpec, *, send_tracebacks: bool
) -> CallError:
    """The error of a call whose handler, or the middleware around it, raised.

    What the contract declares travels as it is, and so does an error of ours that the handler
    raised itself: one that a nested call brought it has a `method`. All others are logged, and
    travel as `RemoteError`.
    """
    executed = "yes" if running.entered else ran_before(running.delivery)
    if isinstance(error, DeclaredError) and spec.raises.get(error.code) is type(error):
        error.executed = executed
        return error
    if isinstance(error, _OWN) and not error.method:
        error.executed = executed
        return error
    if isinstance(error, DeadlineExceeded) and running.remaining() < _SAME_DEADLINE:
        # A nested call has this call's deadline, and may find first that it passed.
        return DeadlineExceeded(f"the deadline passed in a nested call: {error}", where="handler")
    log.error("%s raised %r", spec.key, error, exc_info=error)
    if isinstance(error, RemoteError) and not error.method:
        # Made by the process pool for one that could not travel.
        if not send_tracebacks:
            error.remote_traceback = ""
        return error
    trace = "".join(traceback.format_exception(error)) if send_tracebacks else ""
    return RemoteError(
        safe_str(error), executed=executed, type_name=type(error).__name__, remote_traceback=trace
    )
