"""Whether a call that must not wait is sent, and how many looks at the queue that takes."""

from __future__ import annotations

import asyncio

import pytest

from leveret.client.calls.request import Request
from leveret.client.calls.route import QueueState, Route
from leveret.client.calls.tasks import Tasks
from leveret.client.calls.vacancy import Vacancy
from leveret.errors import Busy, DeadlineExceeded, NoServer
from tests.behaviour.patience import until
from tests.unit.client.calls.making import a_request, found


class There:
    """A queue that is as the test says, and that answers when the test lets it."""

    def __init__(self, consumers: int = 1, messages: int = 0) -> None:
        self.finding = found(consumers, messages)
        self.found_out = True
        self.looks = 0
        self.answers = asyncio.Event()
        self.answers.set()
        self.request = a_request(if_busy_fail=True)
        self.vacancy = Vacancy(
            asyncio.get_running_loop(), begin=asyncio.create_task, probe=self._probe
        )

    async def _probe(self, route: Route) -> bool:
        self.looks += 1
        await self.answers.wait()
        route.probed(self.finding)
        return self.found_out

    async def check(self, timeout: float = 10.0) -> float:
        return await self.vacancy.check(self.request, timeout)


async def test_a_call_goes_where_nothing_waits_with_the_time_that_is_left() -> None:
    there = There()
    assert 0 < await there.check() <= 10.0
    assert (there.looks, there.vacancy.looking) == (1, 0)


async def test_a_call_does_not_go_where_requests_wait() -> None:
    there = There(consumers=2, messages=3)
    with pytest.raises(Busy) as busy:
        await there.check()
    assert str(busy.value) == (
        "gate.once: all servers are busy this moment: 2 servers listen, 3 requests waiting in its"
        " queue"
    )
    there.finding = found(0, 1)
    with pytest.raises(NoServer) as nobody:
        await there.check()
    assert str(nobody.value) == "gate.once: no server listens, 1 request waiting in its queue"
    for error in (busy.value, nobody.value):
        assert (error.executed, error.attempts) == ("no", 0)


async def test_a_call_goes_where_the_look_does_not_tell() -> None:
    """The broker may know better: RabbitMQ takes a quorum queue without a leader for empty."""
    there = There(consumers=0, messages=0)
    await there.check()
    there.finding = found(state=QueueState.MISSING)
    await there.check()
    there.finding, there.found_out = found(1, 5), False
    await there.check()


async def test_calls_share_a_look_that_was_begun_after_they_came() -> None:
    there = There()
    there.answers.clear()
    first = asyncio.create_task(there.check())
    await until(lambda: there.looks == 1, "the first look is under way")
    others = [asyncio.create_task(there.check()) for _ in range(9)]
    await until(lambda: there.vacancy.looking == 10, "all wait for a look")
    there.answers.set()
    await asyncio.gather(first, *others)
    assert there.looks == 2
    await there.check()
    assert there.looks == 3


async def test_a_look_that_takes_too_long_ends_its_call_and_no_other() -> None:
    there = There()
    there.answers.clear()
    patient = asyncio.create_task(there.check())
    with pytest.raises(DeadlineExceeded, match="did not tell whether requests wait") as caught:
        await there.check(0.01)
    error = caught.value
    assert (error.where, error.executed, error.attempts) == ("client", "no", 0)
    there.answers.set()
    assert await patient > 0


async def test_calls_go_on_when_the_looks_are_cancelled() -> None:
    there = There()
    loop = asyncio.get_running_loop()
    tasks = Tasks(loop)
    there.vacancy = Vacancy(loop, begin=tasks.begin, probe=there._probe)
    there.answers.clear()
    first = asyncio.create_task(there.check())
    await until(lambda: there.looks == 1, "the first look is under way")
    second = asyncio.create_task(there.check())
    await until(lambda: there.vacancy.looking == 2, "the second waits for the next")
    await tasks.close()
    assert await first > 0
    assert await second > 0


# -- servers of the tutorial's kind ------------------------------------------------------------


def a_foreign_request(**options: bool) -> Request:
    return a_request(Route("queue rpc", "rpc"), **options)


async def test_a_call_to_a_foreign_server_does_not_go_where_nobody_listens() -> None:
    there = There(consumers=0, messages=0)
    there.request = a_foreign_request()
    with pytest.raises(NoServer, match="no server listens, 0 requests.*Start a server") as caught:
        await there.check()
    assert (caught.value.executed, caught.value.attempts) == ("no", 0)
    assert caught.value.method == "queue rpc"


async def test_a_call_to_a_foreign_server_waits_behind_others_as_any_call() -> None:
    there = There(consumers=1, messages=5)
    there.request = a_foreign_request()
    assert await there.check() > 0


async def test_a_foreign_server_that_was_seen_just_now_is_not_looked_for() -> None:
    there = There(consumers=1)
    there.request = a_foreign_request()
    there.request.route.heard(asyncio.get_running_loop().time())
    assert await there.check() == 10.0
    assert there.looks == 0


def test_requests_that_may_stay_in_the_queue_are_not_looked_for() -> None:
    assert a_request(if_busy_fail=True).looks_first
    assert a_foreign_request().looks_first
    assert not a_foreign_request(wait_for_server=True).looks_first
    assert not a_request().looks_first
