"""The attempts of a call: retries, hedging and a circuit breaker around single requests.

From the outside in: the retries; the circuit, which each attempt has to pass; the second request
that may be sent in addition to a slow one. Middleware is outside all of them. A call without any of
them does not pass through here.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable
from typing import Any, Final, Literal, Protocol, TypeVar

from msgspec import Struct, field

from leveret.client.options import CallOptions
from leveret.client.policy.breaker import Breaker, Circuit
from leveret.client.policy.hedge import LEAST, Attempt, delay_of, latencies, race
from leveret.client.policy.retry import (
    RetryBudget,
    executed_of_all,
    may_be_cured,
    pause_before_next,
)
from leveret.contract import Hedge, Retry, as_hedge, as_retry
from leveret.errors import CallError, Executed, InvalidArgument
from leveret.sliding_window import SlidingWindow
from leveret.wire.log_fields import fields_of, shown

log = logging.getLogger("leveret.client")

P = TypeVar("P", Retry, Hedge)

_KEPT: Final = 10_000
"""The latencies of this many methods and the circuits of this many services are kept."""


class Clock(Struct, frozen=True, kw_only=True):
    """The clock, the random numbers and the sleep, which tests replace."""

    time: Callable[[], float] = field(default_factory=lambda: time.monotonic)
    """Seconds."""
    random: Callable[[], float] = random.random
    """A random number from 0 to 1."""
    sleep: Callable[[float], Any] = asyncio.sleep
    """Waits for a number of seconds, when it is awaited."""


class _Failed(Struct, frozen=True, kw_only=True):
    """A call whose attempt has failed, as the log names it."""

    id: str
    """The call id of the attempt, "" if it was not sent."""
    method: str
    """The method, as "service.method"."""


class PolicedMethod(Protocol):
    """What a policy needs to know of a method: a `MethodSpec` has it."""

    @property
    def key(self) -> str:
        """Its name in errors."""
        ...

    @property
    def service(self) -> str:
        """The service whose circuit it shares."""
        ...

    @property
    def idempotent(self) -> bool:
        """Whether a second run does no harm."""
        ...

    @property
    def once(self) -> bool:
        """Whether each call has an idempotency key."""
        ...

    @property
    def retry(self) -> Retry | Literal[False] | None:
        """How its calls are retried, unless the caller says otherwise."""

    @property
    def hedge(self) -> Hedge | Literal[False] | None:
        """When its calls are hedged, unless the caller says otherwise."""


class Policies:
    """Makes the policies of one client's calls, which share a retry budget, circuits and latencies.

    :param retry: how calls are retried if neither the caller nor the method says.
    :param hedge: when idempotent methods are hedged if neither the caller nor the method says.
    :param breaker: when circuits open; None: never.
    :raises InvalidArgument: if one of them is not a policy.
    """

    def __init__(
        self,
        *,
        retry: Retry | None = None,
        hedge: Hedge | float | None = None,
        breaker: Breaker | None = None,
        clock: Clock | None = None,
    ) -> None:
        given: object = breaker
        if given is not None and not isinstance(given, Breaker):
            raise InvalidArgument(f"breaker must be a leveret.Breaker(...); got {given!r}")
        self.clock = clock or Clock()
        self.budget = RetryBudget(self.clock.time)
        self._retry: Retry | Literal[False] | None = None if retry is None else as_retry(retry)
        self._hedge: Hedge | Literal[False] | None = None if hedge is None else as_hedge(hedge)
        self._breaker = breaker
        self._circuits: dict[str, Circuit] = {}
        self._latencies: dict[str, SlidingWindow] = {}

    def of(self, spec: PolicedMethod, options: CallOptions) -> CallPolicy | None:
        """The policy for the calls of a method with these options; None for one plain attempt.

        :raises InvalidArgument: if the caller wants a method hedged that is not idempotent.
        """
        retry = _first_given(options.retry, spec.retry, self._retry)
        hedge = _first_given(options.hedge, spec.hedge, self._hedge if spec.idempotent else None)
        if hedge is not None and not spec.idempotent:
            raise InvalidArgument(
                "hedge sends a second request, which may also run, and the method is not"
                " declared idempotent",
                method=spec.key,
            )
        if retry is None and hedge is None and self._breaker is None:
            return None
        return CallPolicy(
            spec,
            options,
            retry,
            hedge,
            self._circuit(spec.service),
            self._latencies_of(spec.key) if hedge is not None else None,
            self,
        )

    def _circuit(self, service: str) -> Circuit | None:
        if self._breaker is None:
            return None
        if len(self._circuits) >= _KEPT:
            self._circuits.clear()  # remotes in use keep theirs
        return self._circuits.setdefault(service, Circuit(service, self._breaker, self.clock.time))

    def _latencies_of(self, key: str) -> SlidingWindow:
        if len(self._latencies) >= _KEPT:
            self._latencies.clear()
        return self._latencies.setdefault(key, latencies())


def _first_given(*choices: P | Literal[False] | None) -> P | None:
    """The first policy that is given. False counts as given, and means that there is none."""
    for choice in choices:
        if choice is not None:
            return None if choice is False else choice
    return None


class CallPolicy:
    """Makes the attempts of the calls of one method with one set of options."""

    def __init__(
        self,
        spec: PolicedMethod,
        options: CallOptions,
        retry: Retry | None,
        hedge: Hedge | None,
        circuit: Circuit | None,
        window: SlidingWindow | None,
        policies: Policies,
    ) -> None:
        self._key = spec.key
        keyed = spec.once or options.idempotency_key is not None
        self._repeatable = spec.idempotent or keyed
        self._retry = retry
        self._hedge = hedge
        self._circuit = circuit
        self._window = window
        self._budget = policies.budget
        self._clock = policies.clock
        budgets = (policy.budget for policy in (retry, hedge) if policy is not None)
        self._earned = max(budgets, default=0.0)

    async def run(self, attempt: Attempt, timeout: float) -> Any:
        """One call: attempts until one succeeds or no further one is allowed.

        :param attempt: makes one attempt within a number of seconds.
        :param timeout: seconds for all attempts together.
        :raises CallError: the error of the last attempt; its `executed` holds for all of them.
        """
        self._budget.earn(self._earned)
        if self._retry is None:
            return await self._admitted(attempt, timeout)
        return await self._retried(self._retry, attempt, timeout)

    async def _retried(self, retry: Retry, attempt: Attempt, timeout: float) -> Any:
        end = self._clock.time() + timeout
        executed: Executed = "no"
        sent = 0
        number = 0
        while True:
            number += 1
            try:
                return await self._admitted(attempt, max(end - self._clock.time(), 0.001))
            except CallError as error:
                pause = self._pause(retry, number, error, end)
                executed = error.executed = executed_of_all(executed, error.executed)
                sent += error.attempts
                error.attempts = sent
                if pause is None:
                    raise
                failed = _Failed(id=error.call_id, method=self._key)
                log.debug(
                    "%s: attempt %d failed, the next is in %.3f s: %s",
                    *(shown(failed), number, pause, error),
                    extra=fields_of(failed),
                )
            await self._clock.sleep(pause)

    def _pause(self, retry: Retry, number: int, error: CallError, end: float) -> float | None:
        """Seconds until the next attempt; None if there is none, and then the message says why."""
        if not may_be_cured(error, idempotent=self._repeatable):
            return None
        pause = pause_before_next(retry, number, error, self._clock.random)
        if number >= retry.attempts:
            why = ""
        elif pause is None:
            why = "; the server says not to try again"
        elif self._clock.time() + pause + LEAST > end:
            why = f"; the next, in {pause:.2g} s, would be past the deadline"
        elif self._circuit is not None and self._circuit.refuses_for() > pause:
            why = f"; the circuit of {self._circuit.service!r} has opened"
        elif not self._budget.spend():
            why = "; the client's budget of retries is spent"
        else:
            return pause
        error.message += f" (attempt {number} of {retry.attempts}{why})"
        return None

    async def _admitted(self, attempt: Attempt, timeout: float) -> Any:
        """One attempt, if the circuit lets it through."""
        circuit = self._circuit
        if circuit is None:
            return await self._hedged(attempt, timeout)
        ticket = circuit.admit(self._key)
        try:
            result = await (attempt(timeout) if ticket.probe else self._hedged(attempt, timeout))
        except CallError as error:
            circuit.ended(ticket, error)
            raise
        except BaseException:
            circuit.told_nothing(ticket)
            raise
        circuit.ended(ticket, None)
        return result

    async def _hedged(self, attempt: Attempt, timeout: float) -> Any:
        """One attempt of one request, or of two."""
        hedge, window = self._hedge, self._window
        if hedge is None or window is None:
            return await attempt(timeout)
        began = self._clock.time()
        delay = delay_of(hedge, window)
        if delay is None or delay + LEAST > timeout:
            result = await attempt(timeout)
        else:
            result = await race(attempt, timeout, delay, self._budget.spend)
        window.add(self._clock.time() - began)
        return result
