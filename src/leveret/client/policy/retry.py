"""Which failures another attempt may cure, how long to pause before it, and how many there may be.

Pure: the clock and the random numbers are handed in. `call_policy.py` makes the attempts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from leveret.backoff import Backoff
from leveret.contract import Retry
from leveret.errors import (
    Busy,
    CallError,
    Cancelled,
    CircuitOpen,
    ConnectionLost,
    DeadlineExceeded,
    DeclaredError,
    Executed,
    InvalidArgument,
    InvalidResult,
    MaybeExecuted,
    NoServer,
    PermissionDenied,
    RemoteError,
    StreamBroken,
    Unauthenticated,
    Unimplemented,
)

CURABLE: Final[Mapping[type[CallError], tuple[bool, str]]] = MappingProxyType(
    {
        NoServer: (True, "a server may start, or come back from its restart"),
        Busy: (True, "load passes; where it cannot pass, `retry_after` is negative"),
        ConnectionLost: (True, "the connection may be made anew"),
        Cancelled: (True, "the server stopped; another one may take the next attempt"),
        MaybeExecuted: (False, "server upon server failed at the request, as would the next"),
        StreamBroken: (False, "a stream is not tried again: its consumer has a part of it"),
        DeadlineExceeded: (False, "the deadline is that of all attempts: no time is left"),
        CircuitOpen: (False, "the circuit is there to send less; it lets calls through by itself"),
        Unimplemented: (False, "no server ever served it; wait_for_server=True waits for one"),
        InvalidArgument: (False, "the same arguments are refused again"),
        PermissionDenied: (False, "what is forbidden stays so"),
        Unauthenticated: (False, "the same credentials are refused again"),
        RemoteError: (False, "the handler ran into a bug, and would again"),
        InvalidResult: (False, "the handler ran; its result fits no better the next time"),
        DeclaredError: (False, "an answer of the service, for its caller to handle"),
        CallError: (False, "nothing is known of other errors"),
    }
)
"""For each class of error: whether another attempt may cure it, and why. In addition, a call is
retried only if its handler did not run, or if its method is idempotent."""

RESERVE: Final = 10.0
"""Retries that a client has in reserve, in addition to those that its calls earn."""
_RESERVE_PER_SECOND: Final = 1.0
"""Retries per second by which a used reserve refills."""
_SAVINGS: Final = 100.0
"""Retries that a client can save up at most: a quiet day must not buy a storm."""

_CERTAINTY: Final[tuple[Executed, ...]] = ("no", "maybe", "yes")


def may_be_cured(error: CallError, *, idempotent: bool) -> bool:
    """Whether a call that ended with this error may be retried."""
    curable = next(CURABLE[kind][0] for kind in type(error).__mro__ if kind in CURABLE)
    return curable and (idempotent or error.executed == "no")


def executed_of_all(*attempts: Executed) -> Executed:
    """Whether the handler ran, over several attempts."""
    return max(attempts, key=_CERTAINTY.index)


def pause_before_next(
    retry: Retry, attempt: int, error: CallError, random: Callable[[], float]
) -> float | None:
    """Seconds to wait after attempt number `attempt`; None if the server forbids another.

    A random pause is added to the one that the server asked for. So clients that were all told the
    same do not come back together.
    """
    asked = error.retry_after if isinstance(error, Busy) else None
    if asked is not None and asked < 0:
        return None
    backoff = Backoff(first=retry.backoff, most=retry.most, jitter=1.0)
    return (asked or 0.0) + backoff.pause(attempt, random)


class RetryBudget:
    """How many retries and second requests a client may send.

    Each call earns a fraction of one, so that in an outage, when all calls fail, the load on what
    is left grows by that fraction and no more. A small reserve, which comes back with time, lets
    clients that call seldom try again as well.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._left = RESERVE
        self._at = clock()

    @property
    def left(self) -> float:
        """How many retries and second requests may be sent now."""
        now = self._clock()
        if self._left < RESERVE:
            self._left = min(RESERVE, self._left + _RESERVE_PER_SECOND * (now - self._at))
        self._at = now
        return self._left

    def earn(self, fraction: float) -> None:
        """A call begins."""
        self._left = min(_SAVINGS, self.left + fraction)

    def spend(self) -> bool:
        """Take one from the budget, if there is one."""
        if self.left < 1:
            return False
        self._left -= 1
        return True
