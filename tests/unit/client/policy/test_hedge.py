"""When a second request goes, and which of two wins."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from leveret import Busy, CallError, Hedge, NoServer
from leveret.client.policy.hedge import delay_of, race
from leveret.client.policy.hedge import latencies as no_latencies
from leveret.sliding_window import SlidingWindow


def latencies(*seconds: float) -> SlidingWindow:
    known = no_latencies()
    for second in seconds:
        known.add(second)
    return known


def test_a_percentile_is_what_so_many_calls_did_not_exceed() -> None:
    known = latencies(*(n / 1000 for n in range(100, 0, -1)))
    assert known.percentile(95) == 0.095
    assert known.percentile(50) == 0.050
    assert known.percentile(0.1) == 0.001
    assert known.percentile(99.9) == 0.100


def test_a_percentile_of_few_calls_means_nothing() -> None:
    assert latencies(*[0.1] * 19).percentile(95) is None
    assert latencies(*[0.1] * 20).percentile(95) == 0.1


def test_only_the_latest_calls_count() -> None:
    known = latencies(*[9.0] * 128, *[0.1] * 128)
    assert known.percentile(99) == 0.1


def test_a_percentile_follows_within_a_few_calls() -> None:
    known = latencies(*[0.1] * 128)
    assert known.percentile(95) == 0.1
    for _ in range(128):
        known.add(0.5)
    assert known.percentile(95) == 0.5


@pytest.mark.parametrize(
    ("hedge", "known", "delay"),
    [
        (Hedge(after=0.001), latencies(), 0.001),
        (Hedge(), latencies(*[0.1] * 19), None),
        (Hedge(percentile=50), latencies(*[0.1] * 20, *[0.2] * 10), 0.1),
        (Hedge(at_least=0.005), latencies(*[0.001] * 20), 0.005),
    ],
)
def test_the_second_request_goes_after_a_time_or_a_percentile(
    hedge: Hedge, known: SlidingWindow, delay: float | None
) -> None:
    assert delay_of(hedge, known) == delay


# -- the race --------------------------------------------------------------------------------------


class Requests:
    """Requests that end when the test says, in the order in which they were sent."""

    def __init__(self) -> None:
        self.ends: list[asyncio.Future[str]] = []
        self.timeouts: list[float] = []
        self.cancelled: list[int] = []
        self._begun = asyncio.Semaphore(0)

    async def send(self, timeout: float) -> str:
        number = len(self.ends)
        self.timeouts.append(timeout)
        self.ends.append(asyncio.get_running_loop().create_future())
        self._begun.release()
        try:
            return await self.ends[number]
        except asyncio.CancelledError:
            self.cancelled.append(number)
            raise

    async def sent(self, count: int) -> None:
        """Return when there are so many."""
        for _ in range(count):
            await self._begun.acquire()


def start(
    requests: Requests, *, delay: float = 0.0, may_send: Callable[[], bool] = lambda: True
) -> asyncio.Task[Any]:
    return asyncio.create_task(race(requests.send, 30.0, delay, may_send))


async def test_the_first_result_wins_and_the_loser_is_cancelled() -> None:
    requests = Requests()
    call = start(requests)
    await requests.sent(2)
    requests.ends[1].set_result("second")
    assert await call == "second"
    assert requests.cancelled == [0]


async def test_the_first_request_can_still_win() -> None:
    requests = Requests()
    call = start(requests)
    await requests.sent(2)
    requests.ends[0].set_result("first")
    assert await call == "first"
    assert requests.cancelled == [1]


async def test_a_quick_request_has_no_second() -> None:
    requests = Requests()
    call = start(requests, delay=30.0)
    await requests.sent(1)
    requests.ends[0].set_result("first")
    assert await call == "first"
    assert len(requests.ends) == 1


async def test_the_second_request_has_the_time_that_is_left() -> None:
    requests = Requests()
    call = start(requests, delay=0.02)
    await requests.sent(2)
    assert requests.timeouts[0] == 30
    assert 0 < requests.timeouts[1] <= 29.981
    requests.ends[0].set_result("first")
    await call


async def test_without_leave_no_second_request_goes() -> None:
    requests = Requests()
    asked = asyncio.Event()

    def refuse() -> bool:
        asked.set()
        return False

    call = start(requests, may_send=refuse)
    await asked.wait()
    requests.ends[0].set_result("first")
    assert await call == "first"
    assert len(requests.ends) == 1


@pytest.mark.parametrize("loser", [0, 1])
async def test_an_error_waits_for_the_other_request(loser: int) -> None:
    requests = Requests()
    call = start(requests)
    await requests.sent(2)
    requests.ends[loser].set_exception(Busy("full"))
    await asyncio.sleep(0)
    requests.ends[1 - loser].set_result("done")
    assert await call == "done"
    assert requests.cancelled == []


async def test_two_errors_are_one_that_tells_of_both() -> None:
    requests = Requests()
    call = start(requests)
    await requests.sent(2)
    requests.ends[1].set_exception(NoServer("gone", executed="maybe"))
    requests.ends[0].set_exception(Busy("full"))
    with pytest.raises(CallError, match="full") as caught:
        await call
    assert type(caught.value) is Busy
    assert (caught.value.executed, caught.value.attempts) == ("maybe", 2)


async def test_an_early_error_is_not_hedged() -> None:
    requests = Requests()
    call = start(requests, delay=30.0)
    await requests.sent(1)
    requests.ends[0].set_exception(Busy("full"))
    with pytest.raises(Busy) as caught:
        await call
    assert caught.value.attempts == 1


async def test_a_caller_that_gives_up_cancels_both() -> None:
    requests = Requests()
    call = start(requests)
    await requests.sent(2)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert requests.cancelled == [0, 1]
