"""Decides what to do with a request that was just delivered. Pure: one delivery, one decision."""

from __future__ import annotations

from enum import Enum
from typing import Final

from leveret.contract import MethodSpec
from leveret.errors import MaybeExecuted
from leveret.wire.message import Incoming

MAX_REDELIVERIES: Final = 5
"""How many further servers get a request of an idempotent method before it counts as poison."""


class Decision(Enum):
    """What to do with a request."""

    JUDGE = "judge"
    """It is new here: begin it, unless it must be refused."""
    GO_ON = "go on"
    """Its call is already here, and has waited for it."""
    REPEAT = "repeat"
    """It was answered here: send the reply once more."""
    COUNT_UP = "count up"
    """Publish it again with its count one higher, as classic queues do not count deliveries."""
    GIVE_UP = "give up"
    """It may have killed its servers: answer it, and dead-letter it."""
    HAND_BACK = "hand back"
    """This server drains: give it to another one."""


def decide(
    request: Incoming,
    spec: MethodSpec,
    seconds: float,
    *,
    known: bool,
    answered: bool,
    draining: bool,
) -> Decision:
    """What to do with a request that is redelivered, or that comes while the server drains.

    A request that was delivered before may have run. If it ran here, its call or its reply is
    known. Otherwise it is run again if its method is idempotent, but only a few times, as it may
    have killed its servers. Any other request is refused by `doubt`.

    :param seconds: until its deadline.
    :param known: whether its call runs or waits here.
    :param answered: whether its reply is kept.
    :param draining: whether this server takes no more requests.
    """
    if request.redelivered:
        if known:
            return Decision.GO_ON
        if answered:
            return Decision.REPEAT
        if spec.idempotent and seconds > 0 and request.body is not None:
            count, by_broker = times_delivered(request, spec)
            if count > MAX_REDELIVERIES:
                return Decision.GIVE_UP
            if not by_broker:
                return Decision.COUNT_UP
    return Decision.HAND_BACK if draining else Decision.JUDGE


def times_delivered(request: Incoming, spec: MethodSpec) -> tuple[int, bool]:
    """How many servers have lost a redelivered request, and whether the broker counts them.

    Quorum queues count in a header, which a client could also forge. So it is not believed on a
    classic queue, where the broker does not count.
    """
    if spec.queue.type == "quorum" and request.delivery_count is not None:
        return request.delivery_count, True
    return request.attempts + 1, False


def gave_up(times: int) -> MaybeExecuted:
    """The error of a request that may kill its servers."""
    often = "once" if times == 1 else f"{times} times, each time"
    return MaybeExecuted(
        f"the request was taken {often} by a server that died or lost its connection; it is given"
        " up"
    )


def may_have_run(request: Incoming) -> bool:
    """Whether another server may have run a request, or an earlier copy of it.

    The broker delivered it before; a server published it again after that; or its sender did, and
    does not know what became of it.
    """
    return request.redelivered or request.resent or request.attempts > 0


def doubt(request: Incoming, spec: MethodSpec, *, has_key: bool) -> MaybeExecuted | None:
    """Why a request must not run that another server may have run; None if it may run.

    :param has_key: whether a store knows if it has run.
    """
    if spec.idempotent or has_key:
        return None
    if request.stage > 1 and request.resent:
        return MaybeExecuted(
            "the server of the stage before it may have passed its result on before, and died or"
            " lost its connection; the method is not idempotent, so it is not run again"
        )
    if not request.redelivered:
        return None
    return MaybeExecuted(
        "a server took this request before and died or lost its connection; the method is not"
        " idempotent, so it is not run again"
    )


def may_be_copied(request: Incoming, spec: MethodSpec, seconds: float, *, confirmed: bool) -> bool:
    """Whether a request that was not begun may be handed back as a copy, not as redelivered.

    A copy does not say that its original was delivered before. But the next server must know that
    of a request of a method that is not idempotent. A copy may be lost where nobody hears whether
    the broker has it, so what may run twice is then not copied.

    :param seconds: what is left of its time.
    :param confirmed: whether the broker confirms the copy of a request whose caller waits.
    """
    if seconds <= 0 or request.body is None:
        return False
    if spec.idempotent:
        return confirmed or not request.is_awaited
    return not request.redelivered
