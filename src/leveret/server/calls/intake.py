"""What becomes of a request that was just delivered. Pure: one delivery, one decision."""

from __future__ import annotations

from enum import Enum
from typing import Final

from leveret.contract import MethodSpec
from leveret.errors import MaybeExecuted
from leveret.wire.message import Incoming

MAX_REDELIVERIES: Final = 5
"""How many further servers a request of an idempotent method is given to, before it is poison."""


class Decision(Enum):
    """What to do with a request."""

    JUDGE = "judge"
    """It is new here: begin it, unless it has to be refused."""
    GO_ON = "go on"
    """Its call is here already, and waited for it."""
    REPEAT = "repeat"
    """It was answered here: send the reply once more."""
    COUNT_UP = "count up"
    """Publish it anew with its count one higher: classic queues do not count deliveries."""
    GIVE_UP = "give up"
    """It may be what killed its servers: answer it, and dead-letter it."""
    HAND_BACK = "hand back"
    """This server drains: another is to have it."""


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

    A request that was delivered before may have been run. If that was here, its call or its reply
    is known. Else one of an idempotent method is run again, but not for ever, as it may be what its
    servers died of. Any other is refused by `doubt`.

    :param seconds: until its deadline.
    :param known: whether its call runs here, or waits.
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

    Quorum queues count in a header that a client could make up as well; on a classic queue, where
    the broker counts nothing, it is not believed.
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
    """Why a request is not run that another server may have run; None if it may be run.

    :param has_key: whether a store knows if it was run.
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


def may_be_copied(request: Incoming, spec: MethodSpec, seconds: float) -> bool:
    """Whether a request that was not begun may be handed back as a copy, not as redelivered.

    A copy does not say that its original was delivered before. Whoever gets a request of a method
    that is not idempotent must know that.
    """
    return seconds > 0 and request.body is not None and (spec.idempotent or not request.redelivered)
