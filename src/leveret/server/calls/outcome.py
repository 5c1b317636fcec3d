"""The errors of calls that did not end with a result."""

from __future__ import annotations

import logging
from typing import Final

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
from leveret.server.calls.intake import may_have_run
from leveret.server.calls.life import Holding, ServerCall, State, Stop
from leveret.wire.error_texts import is_long, safe_repr, safe_str, shortened_traceback
from leveret.wire.failures import Unconfirmed, as_declared, misfit
from leveret.wire.log_fields import fields_of, shown

log = logging.getLogger("leveret.server")

_SAME_DEADLINE: Final = 0.05
"""Seconds by which a nested call may notice the common deadline before its outer call does."""

_OWN: Final = (InvalidArgument, PermissionDenied, Unauthenticated, Busy)
"""Leveret's own errors that a handler may raise itself, for its caller."""


def executed(call: ServerCall) -> Executed:
    """Whether a call whose handler did not end with a result has run at this server."""
    return "yes" if call.entered else "no"


def may_run_elsewhere(call: ServerCall) -> bool:
    """Whether another server may have run a request, or may still run it.

    The broker delivered it before; a server passed it on after that, or handed it back, and the
    broker may have kept the original; its client sent it before; or the broker has it back.
    """
    request = call.incoming
    return may_have_run(request) or request.is_copy or call.holding is Holding.DETACHED


def unconfirmed() -> CallError:
    """The error of a call whose caller did not say that it still waits."""
    return Unconfirmed("its caller did not say in time that it still waits", executed="no")


def stopped(call: ServerCall, state: State, *, in_thread: bool) -> CallError:
    """The error of a call that was stopped, by what is known of its handler.

    :param state: where the call was when it was stopped.
    :param in_thread: whether its handler runs in a thread.
    """
    if call.entered:
        return _cut_off(call.stop, in_thread=in_thread)
    if state is State.ASKED:
        return Cancelled("nobody waited for it any more when a server took it", executed="no")
    error: CallError = Cancelled("it was stopped before its handler began")
    if call.stop is Stop.DEADLINE:
        error = DeadlineExceeded("the deadline passed before its handler began", where="queue")
    # While a key is claimed, another server may run the call that has it.
    error.executed = "maybe" if state is State.CLAIMING else "no"
    return error


def _cut_off(why: Stop, *, in_thread: bool) -> CallError:
    match why:
        case Stop.DEADLINE if in_thread:
            return DeadlineExceeded(
                "the handler did not end by the deadline; it runs on in its thread, which nothing"
                " can stop",
                where="handler",
            )
        case Stop.DEADLINE:
            return DeadlineExceeded(
                "the handler did not end by the deadline and was cancelled", where="handler"
            )
        case Stop.CALLER:
            return Cancelled("the caller cancelled")
        case Stop.DRAIN:
            return Cancelled("the server stopped while the handler ran")
    return Cancelled("the handler was cancelled, by itself or by what it waited for")


def raised(
    call: ServerCall, error: BaseException, spec: MethodSpec, now: float, *, send_tracebacks: bool
) -> CallError:
    """The error of a call whose handler, or the middleware around it, raised.

    A declared error travels as it is, and a subclass of a declared error as that one. An error of
    Leveret's that the handler raised itself travels as it is; it has no `method`, while one from a
    nested call has. All others are logged, and travel as `RemoteError`, as does a declared error
    whose fields do not fit.

    :param now: the time on the clock of `call.ends`.
    """
    unfit = ""
    declared = as_declared(error, spec.raises) if isinstance(error, DeclaredError) else None
    if declared is not None:
        unfit = misfit(declared)
        if not unfit:
            declared.executed = executed(call)
            return declared
    if isinstance(error, _OWN) and not error.method:
        error.executed = executed(call)
        return error
    if isinstance(error, DeadlineExceeded) and call.ends - now < _SAME_DEADLINE:
        # A nested call has this call's deadline, and may find first that it passed.
        return DeadlineExceeded(f"the deadline passed in a nested call: {error}", where="handler")
    if unfit:
        unfit = f" (its fields do not fit their annotations: {unfit})"
    _log(call, error, unfit)
    if isinstance(error, RemoteError) and not error.method:
        # Made by the process pool for one that could not travel.
        if not send_tracebacks:
            error.remote_traceback = ""
        return error
    trace = shortened_traceback(error) if send_tracebacks else ""
    return RemoteError(
        safe_str(error) + unfit,
        executed=executed(call),
        type_name=type(error).__name__,
        remote_traceback=trace,
    )


def _log(call: ServerCall, error: BaseException, unfit: str) -> None:
    """Log the exception with its traceback, which is cut if it is too long."""
    told = (shown(call), safe_repr(error), unfit)
    if is_long(error):
        trace = shortened_traceback(error)
        log.error("%s raised %s%s\n%s", *told, trace, extra=fields_of(call))
    else:
        log.error("%s raised %s%s", *told, exc_info=error, extra=fields_of(call))
