"""Why a call failed, and whether its handler can have been executed. Pure.

`verdict` makes the error of an act of `life.py`, from what the call and its route know.

An error says `executed` "no" only where no server can have taken the request. A classic queue does
not tell whether it had handed a request to a server that then died, so four things speak against
"no": the call is in doubt; a server said that it has it (servers do so once they have had it for a
quarter of a second); a server was seen alive shortly before, or may have been there unseen, as no
probe was sent along with the request; a probe found another number of servers than the one before
it.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Final

from leveret.client.calls.life import Act, Pending
from leveret.client.calls.route import QueueState
from leveret.errors import (
    Busy,
    CallError,
    ChannelClosed,
    ConnectionLost,
    DeadlineExceeded,
    Executed,
    LeveretError,
    MaybeExecuted,
    NoServer,
    PermissionDenied,
    StreamBroken,
    Unimplemented,
)

SEEN_SHORTLY: Final = 1.0
"""A server that was seen within this number of seconds before a request was sent may have taken
it."""
START_ONE: Final = (
    "Start a server, or call with wait_for_server=True to wait for one until the deadline"
)
"""Advice for a queue without consumers."""
BACK_AT_ONCE: Final = 0.02
"""Seconds within which a request comes back if no server is free for it."""


_EARLY: Final = 0.5
"""A request that expires this number of seconds before its deadline had a shorter time to live than
its client gave it."""


def verdict(act: Act, call: Pending, cause: LeveretError | None = None) -> CallError:
    """The error that a call ends with.

    :param act: one of the FAIL acts.
    :param cause: why the connection, the reply queue or the packing failed, if one of them did.
    """
    error = _VERDICTS[act](call, cause)
    error.method = call.route.key
    error.call_id = call.id
    error.stage = call.request.stage
    # It is true of the last copy only, or of the last stage only.
    if error.executed == "no" and (call.doubtful or error.stage > 1):
        error.executed = "maybe"
    return error


def _timeout(call: Pending) -> str:
    """The call's timeout as text; a part of it may have passed before the request was sent."""
    return f"{round(call.timeout, 2 if call.timeout > 1 else 4):g}"


def _silence(call: Pending, _cause: LeveretError | None) -> CallError:
    return _silent(call, call.route.finding.in_words)


def _silence_unconfirmed(call: Pending, _cause: LeveretError | None) -> CallError:
    found = call.route.finding.in_words
    return _silent(call, "the broker has not even confirmed the request" + (found and f"; {found}"))


def _silent(call: Pending, known: str) -> CallError:
    """The deadline has passed, and nobody has said anything."""
    late = f"no answer in {_timeout(call)} s"
    trouble = call.trouble
    if trouble is not None and trouble.begun:
        return DeadlineExceeded(
            f"{late}, though its handler ran: its server hangs, or has died", where="handler"
        )
    if trouble is not None and trouble.noticed_at:
        return DeadlineExceeded(
            f"{late}, though a server had it: that waited for a thread, a process or its store of"
            " keys, and then hung or died"
        )
    if trouble is not None and trouble.back_at and not trouble.doubtful:
        route = call.route
        found = route.finding.in_words
        unbound = f": {found}"
        if route.finding.state is QueueState.THERE and route.control_key:
            unbound = f", as nothing binds {route.queue!r}: {found}"
        return DeadlineExceeded(
            f"the broker found no queue for the request in {_timeout(call)} s"
            + (found and unbound),
            where="client",
        )
    return DeadlineExceeded(late + (known and f": {known}"))


def _expired(call: Pending, _cause: LeveretError | None) -> CallError:
    """The broker returned the request: no server took it in time, or none kept it."""
    finding = call.route.finding
    executed = _executed(call)
    gone = "" if executed == "no" else "; a server may have taken it and died"
    if not call.request.if_busy_fail:
        found = finding.in_words
        waited = (0.0 if call.trouble is None else call.trouble.back_at) - call.started
        late = f"no server took the request in {_timeout(call)} s"
        if 0 <= waited < call.timeout - _EARLY:
            late = (
                f"the broker gave the request up after {waited:.3g} s, before its"
                f" {_timeout(call)} s were over, as a policy (message-ttl) of its queue has it"
            )
        return DeadlineExceeded(
            late + (found and f": {found}") + gone,
            where="queue",
            executed=executed,
        )
    if finding.consumers:
        return Busy(
            f"all servers are busy this moment: {finding.in_words}{gone}", executed=executed
        )
    return NoServer((finding.in_words or "no server listens") + gone, executed=executed)


def _executed(call: Pending) -> Executed:
    """Whether a request that came back may have been run by a server that has died since.

    Such a request goes back into its queue, and expires there like one that nobody took. So "no"
    needs evidence: no server was there; or a probe during the wait found waiting requests, the next
    probe found as many servers, there were as many before the call, and these say that they have
    been there since before that; or the request came back as fast as it does if no server is free.
    Whatever breaks the client's connection may break those of servers, which are back as soon as it
    is: then their number tells nothing.
    """
    executed = _by_what_is_known(call)
    if executed is not None:
        return executed
    route = call.route
    back_at = call.started if call.trouble is None else call.trouble.back_at
    is_known = route.same_as_of >= back_at and route.are_those_of(call.started)
    return "no" if is_known else "maybe"


def _by_what_is_known(call: Pending) -> Executed | None:
    """The same without the word of the servers; None if it hangs on that."""
    route = call.route
    trouble = call.trouble
    if trouble is not None and (trouble.had_by_server or trouble.doubtful):
        return "maybe"
    if route.change.found_at >= call.started:
        return "maybe"
    if not route.finding.consumers:
        return "maybe" if _had_server(call) else "no"
    if call.request.if_busy_fail:
        return "no" if _came_back_at_once(call) else "maybe"
    is_cut_off = trouble is not None and trouble.cut_off
    if is_cut_off or route.backlog.asked_at < call.started:
        return "maybe"
    return None if route.control_key else "no"  # the tutorial's servers cannot be asked


def hangs_on_the_servers(call: Pending) -> bool:
    """Whether the servers must be asked to know if a request that expired was at one of them."""
    return _by_what_is_known(call) is None


def _full(call: Pending, _cause: LeveretError | None) -> CallError:
    return Busy(
        "the request queue is full; try again later, or add servers",
        executed="maybe" if _may_be_dropped(call) else "no",
    )


def _may_be_dropped(call: Pending) -> bool:
    """Whether a full queue may have dropped a request after a server had it and died.

    A queue that its contract bounds refuses new requests. A queue that a policy bounds may drop the
    oldest request, and the request of a dead server comes back as the oldest.
    """
    if call.trouble is not None and call.trouble.had_by_server:
        return True
    route = call.route
    if route.limited or (route.server_seen_at == -inf and not _had_server(call)):
        return False
    return route.limited is False or not _came_back_at_once(call)


def _came_back_at_once(call: Pending) -> bool:
    """Whether a request came back too fast for a server to have had it."""
    back_at = call.started if call.trouble is None else call.trouble.back_at
    return back_at - call.started < BACK_AT_ONCE


def _rejected(_call: Pending, cause: LeveretError | None) -> CallError:
    return MaybeExecuted(
        f"the request was given up after servers failed at it again and again ({cause})"
    )


def _refused(_call: Pending, _cause: LeveretError | None) -> CallError:
    return Busy("the broker refused the request: its queue is full, try again later")


def _not_taken(call: Pending, _cause: LeveretError | None) -> CallError:
    found = call.route.finding.in_words
    return ConnectionLost(
        "the broker refused the request (basic.nack): a node of it died, its queue has no leader"
        " yet, or a policy bounds the queue" + (found and f"; a look found: {found}")
    )


def _unrouted(call: Pending, _cause: LeveretError | None) -> CallError:
    return Unimplemented(
        f"there is no such method on this broker (NO_ROUTE): the queue {call.route.queue!r}"
        " does not exist. Is the name right, and was its server ever started?"
    )


def _no_server(call: Pending, _cause: LeveretError | None) -> CallError:
    """A probe found requests waiting, and no consumer."""
    route = call.route
    had = call.trouble is not None and call.trouble.had_by_server
    if not route.control_key:  # a server that starts does not ask whether anybody waits
        return NoServer(
            f"{route.finding.in_words}. The request stays there until its timeout ends, and a"
            f" server that starts meanwhile runs it. {START_ONE}",
            executed="maybe",
        )
    return NoServer(
        f"{route.finding.in_words}. {START_ONE}",
        executed="maybe" if had or _had_server(call) else "no",
    )


def _had_server(call: Pending) -> bool:
    """Whether a server may have been there when a request was sent.

    A server that was there a moment ago may have taken the request and died. So may a server that
    came and went between two probes, unless one of them was sent along with the request.
    """
    route = call.route
    return (
        route.server_seen_at > call.started - SEEN_SHORTLY or call.started < route.unwatched_until
    )


def _queue_deleted(call: Pending, _cause: LeveretError | None) -> CallError:
    if call.request.stage > 1:  # what the stage before it has given may never have been there
        why = (
            f"its queue {call.route.queue!r} does not exist (any more). Is the name right, and was"
            " its server ever started?"
        )
    else:
        why = (
            f"the queue {call.route.queue!r} was deleted while the request waited in it;"
            " if a server still runs it declares it anew: call again"
        )
    return Unimplemented(why, executed="maybe")


def _backlog(call: Pending, _cause: LeveretError | None) -> CallError:
    """Other requests reached the queue before this one, or a server has it and is silent."""
    found = call.route.finding.in_words
    return Busy(
        f"others wait, and no server has said that it has the request: {found}", executed="maybe"
    )


def _lost(call: Pending, cause: LeveretError | None) -> CallError:
    """The broker had the request, so a server may have had it."""
    if call.request.repeatable:
        return _lost_unconfirmed(call, cause)
    error = MaybeExecuted(f"the connection broke after the broker had taken the request: {cause}")
    error.__cause__ = cause
    return error


def _lost_unconfirmed(_call: Pending, cause: LeveretError | None) -> CallError:
    broke = "the channel ended" if isinstance(cause, ChannelClosed) else "the connection broke"
    error = ConnectionLost(f"{broke} before the answer came: {cause}")
    error.__cause__ = cause
    return error


def _dropped(_call: Pending, cause: LeveretError | None) -> CallError:
    error = ConnectionLost(
        f"the broker closed the channel before it took the request: {cause}", executed="no"
    )
    error.__cause__ = cause
    return error


def _forbidden(_call: Pending, cause: LeveretError | None) -> CallError:
    error = PermissionDenied(f"the broker's user may not send the request: {cause}", executed="no")
    error.__cause__ = cause
    return error


def _too_large(call: Pending, cause: LeveretError | None) -> CallError:
    error = Busy(
        f"the broker takes no message of {call.size} bytes: {cause}; send less, or raise"
        " max_message_size in its configuration",
        executed="no",
        retry_after=-1,
    )
    error.__cause__ = cause
    return error


def _key(call: Pending, _cause: LeveretError | None) -> CallError:
    other = ConnectionLost("the connection is another user's now, whose keys are others")
    return _lost(call, other)


def _unpackable(_call: Pending, cause: LeveretError | None) -> CallError:
    assert isinstance(cause, CallError)
    return cause


def _broken(_call: Pending, cause: LeveretError | None) -> CallError:
    error = StreamBroken(f"the stream broke off: {cause or 'its server is gone'}")
    error.__cause__ = cause
    return error


def _too_long(_call: Pending, _cause: LeveretError | None) -> CallError:
    return DeadlineExceeded("the stream was not over in time, and is cancelled", where="handler")


_VERDICTS: Final[dict[Act, Callable[[Pending, LeveretError | None], CallError]]] = {
    Act.FAIL_SILENCE: _silence,
    Act.FAIL_SILENCE_UNCONFIRMED: _silence_unconfirmed,
    Act.FAIL_EXPIRED: _expired,
    Act.FAIL_FULL: _full,
    Act.FAIL_REJECTED: _rejected,
    Act.FAIL_REFUSED: _refused,
    Act.FAIL_NOT_TAKEN: _not_taken,
    Act.FAIL_UNROUTED: _unrouted,
    Act.FAIL_NO_SERVER: _no_server,
    Act.FAIL_QUEUE_DELETED: _queue_deleted,
    Act.FAIL_BACKLOG: _backlog,
    Act.FAIL_LOST: _lost,
    Act.FAIL_LOST_UNCONFIRMED: _lost_unconfirmed,
    Act.FAIL_DROPPED: _dropped,
    Act.FAIL_FORBIDDEN: _forbidden,
    Act.FAIL_TOO_LARGE: _too_large,
    Act.FAIL_KEY: _key,
    Act.FAIL_UNPACKABLE: _unpackable,
    Act.FAIL_BROKEN: _broken,
    Act.FAIL_TOO_LONG: _too_long,
}

FAILURES: Final = frozenset(_VERDICTS)
"""The acts that end a call with an error."""
