"""The circuit breaker: the client stops calling a service whose calls keep failing.

A circuit is in one of three states. These are all transitions between them:

    closed     calls pass; their ends are counted over the last `within` seconds
               -> open, when `volume` of them ended and the share `ratio` of those had failed
    open       calls fail at once with `CircuitOpen`
               -> half-open, with the first call after `reset` seconds, which passes as the probe
    half-open  the probe is in flight; all other calls fail at once
               -> closed, if the service answered the probe
               -> open, for twice as long (up to `most`), if the probe failed as well
               -> open, without a wait, if the probe told nothing (its caller gave up, say)

Every change begins a new generation. A call that began in an earlier generation does not count: a
call from before an outage must not decide about a probe.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from enum import Enum
from typing import Any, Final, NamedTuple

import msgspec

from leveret.backoff import Backoff
from leveret.errors import (
    Busy,
    CallError,
    Cancelled,
    CircuitOpen,
    ConnectionLost,
    DeadlineExceeded,
    InvalidArgument,
    MaybeExecuted,
    NoServer,
    Unimplemented,
)
from leveret.given_numbers import is_duration, is_whole
from leveret.sliding_window import RecentCounts

log = logging.getLogger("leveret.client")

_FAILURES: Final = (NoServer, Busy, DeadlineExceeded)
"""The errors of calls to a service that is down or overloaded."""
_TELLS_NOTHING: Final = (Cancelled, ConnectionLost, MaybeExecuted, Unimplemented)
"""Errors that say nothing about a service's health. After any other outcome, its server has
answered, and is well."""
_WELL: Final = ""
"""What a call that is not a failure counts as; a failure counts under the name of its error."""


class Breaker(msgspec.Struct, frozen=True, kw_only=True):
    """When a client stops calling a service that fails, and when it tries again.

    `NoServer`, `Busy` and `DeadlineExceeded` count as failures, each attempt of a call by itself.

    :raises InvalidArgument: for invalid values.
    """

    ratio: float = 0.5
    """The share of calls, above 0 up to 1, that have to fail for the circuit to open."""
    volume: int = 10
    """How many calls must have ended before the ratio is considered, at least 1."""
    within: float = 10.0
    """Seconds for which a call counts."""
    reset: float = 1.0
    """Seconds after which one trial call is let through. Each time it fails, the next wait is twice
    as long."""
    most: float = 30.0
    """Seconds of the longest wait."""

    def __post_init__(self) -> None:
        values: dict[str, Any] = {name: getattr(self, name) for name in self.__struct_fields__}
        for name, value in values.items():
            if name == "volume":
                if not (is_whole(value) and value > 0):
                    raise InvalidArgument(
                        f"Breaker: volume is {value!r}; it is a whole number above 0"
                    )
            elif not (is_duration(value) and value > 0):
                raise InvalidArgument(
                    f"Breaker: {name} is {value!r}; it is a number above 0 that a float can hold"
                )
        if self.ratio > 1:
            raise InvalidArgument(f"Breaker: ratio is {self.ratio!r}; it is at most 1")


class State(Enum):
    """The state of a circuit."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


class Ticket(NamedTuple):
    """The pass of a call that was let through, which it shows when it ends."""

    generation: int
    """The circuit's generation when the call began."""
    probe: bool
    """Whether the call is the probe of a circuit that was open."""


class Circuit:
    """The breaker of one service."""

    def __init__(self, service: str, breaker: Breaker, clock: Callable[[], float]) -> None:
        self.service = service
        self.state = State.CLOSED
        self._breaker = breaker
        self._clock = clock
        self._generation = 0
        self._ends = RecentCounts(breaker.within)
        self._opened_at = 0.0
        self._try_at = 0.0
        self._pauses = Backoff(first=breaker.reset, most=max(breaker.most, breaker.reset))
        self._probes = 0
        self._why = ""
        self._failures: dict[str, int] = {}

    def admit(self, method: str) -> Ticket:
        """Let a call through; `ended` or `told_nothing` must follow.

        :raises CircuitOpen: if it is not let through.
        """
        if self.state is State.CLOSED:
            return Ticket(self._generation, probe=False)
        if self.state is State.HALF_OPEN or self._clock() < self._try_at:
            raise self._refusal(method)
        self._change(State.HALF_OPEN)
        return Ticket(self._generation, probe=True)

    def refuses_for(self) -> float:
        """Seconds until a call may be let through."""
        return max(self._try_at - self._clock(), 0.0) if self.state is State.OPEN else 0.0

    def ended(self, ticket: Ticket, error: CallError | None) -> None:
        """A call ended, with a result or an error."""
        if isinstance(error, _TELLS_NOTHING) or _not_sent(error):
            self.told_nothing(ticket)
        elif ticket.generation != self._generation:
            pass
        elif ticket.probe:
            if isinstance(error, _FAILURES):
                self._open(error)
            else:
                self._close()
        else:
            self._count(error)

    def told_nothing(self, ticket: Ticket) -> None:
        """A call ended in a way that tells nothing about the service."""
        if ticket.probe and ticket.generation == self._generation:
            self._change(State.OPEN)  # the next call tries: `_try_at` has passed

    def _count(self, error: CallError | None) -> None:
        now = self._clock()
        failed = isinstance(error, _FAILURES)
        self._ends.add(now, type(error).__name__ if failed else _WELL)
        if not (failed and isinstance(error, CallError)):
            return
        breaker = self._breaker
        failures = self._ends.counts(now)
        total = failures.total()
        del failures[_WELL]
        failed_calls = failures.total()
        if total >= breaker.volume and failed_calls >= breaker.ratio * total:
            self._opened_at = now
            self._failures = dict(failures)
            each = ", ".join(f"{count} {name}" for name, count in failures.most_common())
            self._why = f"{failed_calls} of {total} calls in {breaker.within:g} s failed ({each})"
            self._open(error)

    def _open(self, error: CallError) -> None:
        self._change(State.OPEN)
        self._probes += 1
        pause = self._pauses.pause(self._probes)
        self._try_at = self._clock() + pause
        log.warning(
            "the circuit of %s is open for %g s: %s, the last with: %s",
            self.service,
            pause,
            self._why,
            error,
        )

    def _close(self) -> None:
        self._change(State.CLOSED)
        self._probes = 0
        self._ends = RecentCounts(self._breaker.within)
        log.info("the circuit of %s is closed: the service answers again", self.service)

    def _change(self, state: State) -> None:
        self.state = state
        self._generation += 1

    def _refusal(self, method: str) -> CircuitOpen:
        now = self._clock()
        open_for, retry_after = now - self._opened_at, self.refuses_for()
        if self.state is State.HALF_OPEN:
            then = "one call is under way to try whether it answers again"
        else:
            then = f"in {retry_after:.1f} s one call is let through to try"
        return CircuitOpen(
            f"not sent: the circuit of {self.service!r} has been open for {open_for:.1f} s, after"
            f" {self._why}; {then}",
            service=self.service,
            open_for=open_for,
            failures=self._failures,
            retry_after=retry_after,
            method=method,
        )


def _not_sent(error: CallError | None) -> bool:
    """Whether the broker or this client, not the service, had no time or place for the call."""
    unsent = isinstance(error, DeadlineExceeded) and error.where == "client"
    return unsent or (error is not None and error.attempts == 0)
