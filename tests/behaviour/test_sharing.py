"""Who takes which call, and when: competing servers, concurrency, priorities."""

from __future__ import annotations

import asyncio

import pytest

from leveret import ContractError, InvalidArgument, Rabbit, Service, method
from tests.behaviour.patience import until, until_found
from tests.behaviour.raw import RawPeer
from tests.behaviour.services import Echo, Gate


class Crowd(Service):
    """Counts how many of its handlers run at a time."""

    def __init__(self) -> None:
        self.running = 0
        self.most = 0
        self.opened = asyncio.Event()

    @method(timeout=30, concurrency=3)
    async def enter(self) -> None:
        self.running += 1
        self.most = max(self.most, self.running)
        await self.opened.wait()
        self.running -= 1


class Urgent(Service):
    """Notes the order of its calls, one at a time."""

    def __init__(self) -> None:
        self.started = asyncio.Event()
        self.opened = asyncio.Event()
        self.order: list[int] = []

    @method(timeout=30, concurrency=1, priority_levels=9)
    async def work(self, n: int) -> None:
        self.order.append(n)
        self.started.set()
        await self.opened.wait()


async def test_competing_servers_share_the_work(
    client: Rabbit, host: Rabbit, other_host: Rabbit
) -> None:
    one, two = Gate(), Gate()
    remote = client.remote(Gate)
    async with host.serving(one), other_host.serving(two):
        calls = [asyncio.create_task(remote.one_by_one(n)) for n in range(4)]
        first, second = await one.started.get(), await two.started.get()
        assert first != second
        one.opened.set()
        two.opened.set()
        assert await asyncio.gather(*calls) == [0, 1, 2, 3]
    assert sorted(one.ended + two.ended) == [0, 1, 2, 3]


async def test_a_server_that_is_busy_leaves_the_work_to_the_other(
    client: Rabbit, host: Rabbit, other_host: Rabbit
) -> None:
    one, two = Gate(), Gate()
    two.opened.set()
    remote = client.remote(Gate)
    async with host.serving(one):
        held = asyncio.create_task(remote.one_by_one(0))
        await one.started.get()
        async with other_host.serving(two):
            assert [await remote.one_by_one(n) for n in range(1, 10)] == list(range(1, 10))
        one.opened.set()
        assert await held == 0
    assert (one.ended, two.ended) == ([0], list(range(1, 10)))


async def test_several_services_are_served_on_one_connection(client: Rabbit, host: Rabbit) -> None:
    gate = Gate()
    gate.opened.set()
    async with host.serving(gate, Echo()):
        assert await client.remote(Echo).echo("x") == "x"
        assert await client.remote(Gate).once(1) == 1


async def test_no_more_calls_run_at_a_time_than_the_concurrency_allows(
    client: Rabbit, host: Rabbit, raw: RawPeer
) -> None:
    crowd = Crowd()
    async with host.serving(crowd):
        calls = [asyncio.create_task(client.remote(Crowd).enter()) for _ in range(12)]
        await until_found(lambda: raw.waiting("leveret.crowd.enter"), 9, "nine have to wait")
        await until(lambda: crowd.running == 3, "three run")
        crowd.opened.set()
        await asyncio.gather(*calls)
    assert crowd.most == 3


async def test_the_concurrency_of_serving_replaces_that_of_its_methods(
    client: Rabbit, host: Rabbit, raw: RawPeer
) -> None:
    crowd = Crowd()
    async with host.serving(crowd, concurrency=5):
        calls = [asyncio.create_task(client.remote(Crowd).enter()) for _ in range(12)]
        await until_found(lambda: raw.waiting("leveret.crowd.enter"), 7, "seven have to wait")
        await until(lambda: crowd.running == 5, "five run")
        crowd.opened.set()
        await asyncio.gather(*calls)
    assert crowd.most == 5


@pytest.mark.parametrize("concurrency", [0, -1, 65_536, 1.5, "3"])
async def test_a_concurrency_that_cannot_be_is_refused(host: Rabbit, concurrency: int) -> None:
    with pytest.raises(ContractError, match="concurrency"):
        async with host.serving(Echo(), concurrency=concurrency):
            pass


async def test_a_higher_priority_is_served_first(
    client: Rabbit, host: Rabbit, raw: RawPeer
) -> None:
    urgent = Urgent()
    remote = client.remote(Urgent)
    async with host.serving(urgent):
        calls = [asyncio.create_task(remote.work(100))]
        await urgent.started.wait()
        calls += [
            asyncio.create_task(remote.with_options(priority=priority).work(priority))
            for priority in (1, 5, 9, 3)
        ]
        calls.append(asyncio.create_task(remote.work(0)))
        await until_found(lambda: raw.waiting("leveret.urgent.work"), 5, "five wait")
        urgent.opened.set()
        await asyncio.gather(*calls)
    assert urgent.order == [100, 9, 5, 3, 1, 0]


async def test_a_priority_that_the_method_does_not_have_is_refused(
    client: Rabbit, host: Rabbit
) -> None:
    with pytest.raises(InvalidArgument, match=r"priority 9 is more than .*priority_levels"):
        await client.remote(Echo).with_options(priority=9).echo("x")
    async with host.serving(Echo()):  # a caller without the contract cannot know
        assert await client.with_options(priority=9).call("echo.echo", text="x") == "x"
