"""A call with its attempts: how many, when, and what its error says of them all."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from leveret import (
    Breaker,
    Busy,
    CallError,
    CircuitOpen,
    ConnectionLost,
    Hedge,
    InvalidArgument,
    NoServer,
    RemoteError,
    Retry,
    Service,
    method,
)
from leveret.client.options import CallOptions
from leveret.client.policy.call_policy import CallPolicy, Policies
from leveret.contract import spec_of
from tests.unit.client.policy.hand_clock import HandClock


class Shop(Service):
    @method
    async def buy(self) -> int:
        return 1

    @method(idempotent=True)
    async def count(self) -> int:
        return 1

    @method(idempotent=True, retry=Retry(attempts=2), hedge=0.1)
    async def look(self) -> int:
        return 1

    @method(idempotent=True, retry=False, hedge=False)
    async def once(self) -> int:
        return 1


class Attempts:
    """Attempts that end as a script says; each takes a while."""

    def __init__(self, clock: HandClock, *ends: CallError | str, each: float = 0.0) -> None:
        self._clock = clock
        self._ends = list(ends)
        self._each = each
        self.timeouts: list[float] = []

    async def __call__(self, timeout: float) -> str:
        self.timeouts.append(timeout)
        self._clock.now += self._each
        end = self._ends.pop(0)
        if isinstance(end, CallError):
            raise end
        return end


def policy(
    clock: HandClock, name: str = "buy", policies: Policies | None = None, **options: Any
) -> CallPolicy:
    policies = policies or Policies(clock=clock.clock)
    made = policies.of(spec_of(Shop).methods[name], CallOptions().merged(options))
    assert made is not None
    return made


async def failed(policy: CallPolicy, attempts: Attempts, timeout: float = 10.0) -> CallError:
    with pytest.raises(CallError) as caught:
        await policy.run(attempts, timeout)
    return caught.value


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


async def test_a_call_is_tried_until_it_succeeds(clock: HandClock) -> None:
    attempts = Attempts(clock, NoServer("down"), NoServer("down"), "done", each=1)
    assert await policy(clock, retry=Retry()).run(attempts, 10) == "done"
    assert clock.slept == [0.05, 0.1]
    assert attempts.timeouts == pytest.approx([10, 8.95, 7.85])


async def test_the_last_error_is_raised_and_tells_how_often_it_was_tried(clock: HandClock) -> None:
    attempts = Attempts(clock, NoServer("a"), NoServer("b"), NoServer("c"))
    error = await failed(policy(clock, retry=Retry(attempts=3)), attempts)
    assert str(error) == "c (attempt 3 of 3)"
    assert error.attempts == 3


async def test_the_log_names_the_call_whose_attempt_failed(
    clock: HandClock, caplog: pytest.LogCaptureFixture
) -> None:
    busy = Busy()
    busy.call_id = "a1"
    caplog.set_level(logging.DEBUG, "leveret.client")
    await policy(clock, retry=Retry()).run(Attempts(clock, busy, "done"), 10)
    (record,) = caplog.records
    assert record.getMessage().startswith("shop.buy (call a1): attempt 1 failed")
    fields = {"call_id": "a1", "method": "shop.buy", "service": "shop"}
    assert fields.items() <= vars(record).items()


async def test_what_no_attempt_cures_ends_the_call(clock: HandClock) -> None:
    attempts = Attempts(clock, NoServer("a"), RemoteError("bug"))
    error = await failed(policy(clock, "count", retry=Retry()), attempts)
    assert (str(error), error.attempts) == ("bug", 2)


async def test_executed_is_true_of_all_attempts(clock: HandClock) -> None:
    attempts = Attempts(clock, ConnectionLost("cut"), NoServer("down"))
    error = await failed(policy(clock, "count", retry=Retry(attempts=2)), attempts)
    assert (type(error), error.executed) == (NoServer, "maybe")


async def test_what_may_have_run_is_not_tried_again_unless_it_is_idempotent(
    clock: HandClock,
) -> None:
    error = await failed(policy(clock, retry=Retry()), Attempts(clock, ConnectionLost("cut")))
    assert (str(error), error.attempts) == ("cut", 1)
    attempts = Attempts(clock, ConnectionLost("cut"), "done")
    assert await policy(clock, "count", retry=Retry()).run(attempts, 10) == "done"


async def test_no_attempt_begins_that_could_not_end_in_time(clock: HandClock) -> None:
    attempts = Attempts(clock, Busy("later", retry_after=2))
    error = await failed(policy(clock, retry=Retry(backoff=0)), attempts, timeout=2)
    assert str(error) == "later (attempt 1 of 3; the next, in 2 s, would be past the deadline)"
    assert clock.slept == []


async def test_a_server_that_says_no_is_not_asked_again(clock: HandClock) -> None:
    attempts = Attempts(clock, Busy("no", retry_after=-1))
    error = await failed(policy(clock, retry=Retry()), attempts)
    assert str(error) == "no (attempt 1 of 3; the server says not to try again)"


async def test_a_budget_that_is_spent_ends_the_call(clock: HandClock) -> None:
    policies = Policies(clock=clock.clock)
    while policies.budget.spend():
        pass
    attempts = Attempts(clock, NoServer("down"))
    error = await failed(policy(clock, policies=policies, retry=Retry()), attempts)
    assert str(error) == "down (attempt 1 of 3; the client's budget of retries is spent)"


async def test_calls_share_the_budget_of_their_client(clock: HandClock) -> None:
    policies = Policies(retry=Retry(attempts=100, backoff=0, budget=0), clock=clock.clock)
    attempts = Attempts(clock, *(NoServer("down") for _ in range(100)))
    assert (await failed(policy(clock, "buy", policies), attempts)).attempts == 11
    assert (await failed(policy(clock, "count", policies), attempts)).attempts == 1


async def test_a_cancelled_caller_is_not_tried_again(clock: HandClock) -> None:
    async def attempt(timeout: float) -> str:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await policy(clock, "count", retry=Retry()).run(attempt, 10)
    assert clock.slept == []


# -- who has a say ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "options", "tries"),
    [
        ("count", {}, 5),  # the client's
        ("look", {"hedge": False}, 2),  # the method's
        ("look", {"hedge": False, "retry": Retry(attempts=4)}, 4),  # the caller's
        ("once", {"retry": Retry(attempts=4)}, 4),
    ],
)
async def test_the_caller_is_heard_before_the_method_before_the_client(
    clock: HandClock, name: str, options: dict[str, Any], tries: int
) -> None:
    policies = Policies(retry=Retry(attempts=5), clock=clock.clock)
    attempts = Attempts(clock, *(NoServer("down") for _ in range(9)))
    assert (await failed(policy(clock, name, policies, **options), attempts)).attempts == tries


@pytest.mark.parametrize(
    ("name", "options"),
    [("buy", {}), ("once", {}), ("look", {"retry": False, "hedge": False})],
)
def test_calls_without_any_of_it_go_the_short_way(name: str, options: dict[str, Any]) -> None:
    given: dict[str, Any] = {} if name == "buy" else {"retry": Retry(), "hedge": 0.1}
    policies = Policies(**given)
    assert policies.of(spec_of(Shop).methods[name], CallOptions().merged(options)) is None


def test_hedging_what_must_not_run_twice_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="shop.buy: hedge .* not declared idempotent"):
        policy(HandClock(), "buy", hedge=0.1)


def test_a_client_hedges_only_what_may_run_twice() -> None:
    policies = Policies(hedge=Hedge())
    assert policies.of(spec_of(Shop).methods["buy"], CallOptions()) is None
    assert policies.of(spec_of(Shop).methods["count"], CallOptions()) is not None


def test_what_is_no_policy_is_refused() -> None:
    for wrong in ({"retry": 3}, {"hedge": "p95"}, {"breaker": True}):
        with pytest.raises(InvalidArgument, match=f"{next(iter(wrong))} must be a"):
            Policies(**wrong)


# -- with a breaker --------------------------------------------------------------------------------


async def test_a_circuit_that_opens_ends_the_retries(clock: HandClock) -> None:
    policies = Policies(breaker=Breaker(volume=2), clock=clock.clock)
    attempts = Attempts(clock, NoServer("a"), NoServer("b"))
    error = await failed(policy(clock, policies=policies, retry=Retry(attempts=5)), attempts)
    assert str(error) == "b (attempt 2 of 5; the circuit of 'shop' has opened)"
    error = await failed(policy(clock, "count", policies, retry=Retry()), attempts)
    assert isinstance(error, CircuitOpen)
    assert (error.attempts, error.method) == (0, "shop.count")


async def test_a_probe_is_not_hedged(clock: HandClock) -> None:
    policies = Policies(breaker=Breaker(volume=1), clock=clock.clock)
    hedged = policy(clock, "count", policies, hedge=0)
    await failed(hedged, Attempts(clock, NoServer("a"), NoServer("b")))
    clock.now += 1
    attempts = Attempts(clock, "done")
    assert await hedged.run(attempts, 10) == "done"
    assert len(attempts.timeouts) == 1


async def test_a_caller_that_gives_up_does_not_keep_the_circuit_open(clock: HandClock) -> None:
    async def given_up(timeout: float) -> str:
        raise asyncio.CancelledError

    policies = Policies(breaker=Breaker(volume=1), clock=clock.clock)
    bare = policy(clock, "buy", policies)
    await failed(bare, Attempts(clock, NoServer("a")))
    clock.now += 1
    with pytest.raises(asyncio.CancelledError):
        await bare.run(given_up, 10)
    assert await bare.run(Attempts(clock, "done"), 10) == "done"
