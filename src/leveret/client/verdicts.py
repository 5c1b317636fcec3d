"""Why a call failed, and whether its handler can have run, from all that the client knows of it.

`executed` is "no" only where nobody can have taken the request. A classic queue does not tell
whether it had handed a request to a server that then died, so three things speak against it: a
server's word that the handler runs ("accepted", which comes when it has run for a quarter of a
second), a server seen alive shortly before, and a look at the queue that found fewer servers than
the one before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from leveret.client.pending import LOOK_EVERY, Pending
from leveret.errors import (
    Busy,
    CallError,
    ConnectionLost,
    DeadlineExceeded,
    Executed,
    LeveretError,
    MaybeExecuted,
    NoServer,
    Unimplemented,
)

if TYPE_CHECKING:
    from leveret.client.calls import Calls

_AT_ONCE: Final = 0.02
"""Seconds in which a request comes back that no server was free for."""


def silence(pending: Pending, calls: Calls, *, unconfirmed: bool) -> CallError:
    """Nobody said anything by the deadline."""
    late = f"no answer in {pending.timeout:g} s"
    if pending.id in calls.begun:
        return DeadlineExceeded(
            f"{late}, though its handler ran: its server hangs, or has died", where="handler"
        )
    if pending.id in calls.accepted:
        return DeadlineExceeded(
            f"{late}, though a server had it: that waited for a thread, a process or its store of"
            " keys, and then hung or died"
        )
    found = pending.route.found()
    if pending.back_at and pending.id not in calls.resent:
        return DeadlineExceeded(
            f"the broker found no queue for the request in {pending.timeout:g} s"
            + (found and f": {found}"),
            where="client",
        )
    if unconfirmed:
        found = "the broker has not even confirmed the request" + (found and f"; {found}")
    return DeadlineExceeded(late + (found and f": {found}"))


def expired(pending: Pending, calls: Calls) -> CallError:
    """The broker sent the request back: no server took it in time, or none that kept it."""
    route = pending.route
    executed = _executed(pending, calls)
    gone = "" if executed == "no" else "; a server may have taken it and died"
    if not pending.request.if_busy_fail:
        found = route.found()
        return DeadlineExceeded(
            f"no server took the request in {pending.timeout:g} s"
            + (found and f": {found}")
            + gone,
            where="queue",
            executed=executed,
        )
    if (route.consumers or 0) > 0:
        return Busy(f"all servers are busy this moment: {route.found()}{gone}", executed=executed)
    return NoServer((route.found() or "no server listens") + gone, executed=executed)


def bounce(reason: str) -> CallError:
    """The broker sent the request back for another reason."""
    if reason == "maxlen":
        return Busy("the request queue is full; try again later, or add servers")
    return MaybeExecuted(
        "the request was given up after servers failed at it again and again"
        f" (dead-lettered: {reason or 'no reason given'})"
    )


def refused() -> CallError:
    """The broker did not confirm the request but refused it."""
    return Busy("the broker refused the request: its queue is full, try again later")


def untaken() -> CallError:
    """The broker did not confirm the request, and it is not because of a full queue."""
    return ConnectionLost(
        "the broker did not take the request: a node of it died, or its queue has no leader yet"
    )


def unroutable(pending: Pending) -> CallError:
    """The broker knows no queue for the request."""
    return Unimplemented(
        f"there is no such method on this broker (NO_ROUTE): the queue {pending.route.queue!r}"
        " does not exist. Is the name right, and was its server ever started?"
    )


def no_server(pending: Pending, calls: Calls) -> CallError:
    """A look found requests waiting and nobody who takes them."""
    hint = ", or call with wait_for_server=True to wait for one until the deadline"
    # A server that was there a moment ago may have taken the request and died.
    seen = pending.route.alive_at > pending.started - LOOK_EVERY
    return NoServer(
        f"{pending.route.found()}. Start a server{hint if pending.route.service else ''}",
        executed="maybe" if seen or pending.id in calls.resent else "no",
    )


def queue_deleted(pending: Pending, _calls: Calls) -> CallError:
    """A look found that the queue is gone, and the request with it."""
    return Unimplemented(
        f"the queue {pending.route.queue!r} was deleted while the request waited in it;"
        " if a server still runs it declares it anew: call again",
        executed="maybe",
    )


def lost(pending: Pending, error: LeveretError, *, confirmed: bool) -> CallError:
    """The connection broke."""
    failure: CallError
    if confirmed and not pending.request.repeatable:
        failure = MaybeExecuted(
            f"the connection broke after the broker had taken the request: {error}"
        )
    else:
        failure = ConnectionLost(f"the connection broke before the answer came: {error}")
    failure.__cause__ = error
    return failure


def _executed(pending: Pending, calls: Calls) -> Executed:
    """Whether a request that came back may have been run, by a server that died since.

    Such a request goes back into its queue, and expires there like one that nobody took. So "no"
    takes more than that nothing speaks against it: no server was there; or a look while it waited
    found a backlog, and another one now as many servers; or it came back as fast as one does that
    no server was free for.
    """
    route = pending.route
    if (
        pending.id in calls.accepted
        or pending.id in calls.resent
        or route.changed_at >= pending.started
    ):
        return "maybe"
    if (route.consumers or 0) <= 0:
        return "no" if route.alive_at <= pending.started - LOOK_EVERY else "maybe"
    if pending.request.if_busy_fail:
        return "no" if pending.back_at - pending.started < _AT_ONCE else "maybe"
    return "no" if route.waited_at >= pending.started else "maybe"
