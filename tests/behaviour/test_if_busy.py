"""Calls that must not wait: run at once, or told `Busy` at once, however many wait before them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

import leveret
from leveret import Busy, NoServer, Rabbit, Retry, Service, method
from leveret.testing import FaultProxy, Stall, before_frame
from leveret.wire.native.names import NOT_BEGUN
from tests.behaviour.patience import at_once, until_found
from tests.behaviour.raw import RawPeer


class Lane(Service):
    """One call at a time, on each kind of queue."""

    def __init__(self) -> None:
        self.started: asyncio.Queue[int] = asyncio.Queue()
        self.opened = asyncio.Event()
        self.ended: list[int] = []

    @method(timeout=30, concurrency=1)
    async def classic(self, n: int) -> int:
        return await self._wait(n)

    @method(timeout=30, concurrency=1, queue="quorum")
    async def quorum(self, n: int) -> int:
        return await self._wait(n)

    @method(timeout=30, concurrency=1, priority_levels=2, max_length=3)
    async def bounded(self, n: int) -> int:
        return await self._wait(n)

    async def _wait(self, n: int) -> int:
        self.started.put_nowait(n)
        await self.opened.wait()
        self.ended.append(n)
        return n


def in_a_moment(rabbit: Rabbit, name: str) -> Callable[[int], Awaitable[int]]:
    """A call that must not wait, made again until the broker knows that the server is free."""
    again = Retry(attempts=20, backoff=0.01, most=0.1)
    found: Callable[[int], Awaitable[int]] = getattr(
        rabbit.remote(Lane).with_options(if_busy="fail", retry=again), name
    )
    return found


QUEUES = pytest.mark.parametrize("name", ["classic", "quorum", "bounded"])


@QUEUES
@pytest.mark.parametrize("backlog", [1, 3])
async def test_a_call_that_must_not_wait_does_not_wait_behind_others(
    client: Rabbit, host: Rabbit, raw: RawPeer, name: str, backlog: int
) -> None:
    lane, queue = Lane(), f"leveret.lane.{name}"
    patient = getattr(client.remote(Lane), name)
    hurried = getattr(client.remote(Lane).with_options(if_busy="fail", timeout=60), name)
    async with host.serving(lane):
        calls = [asyncio.create_task(patient(0))]
        await lane.started.get()
        calls += [asyncio.create_task(patient(n + 1)) for n in range(backlog)]
        await until_found(lambda: raw.waiting(queue), backlog, "the others wait")
        async with at_once():
            ended = await asyncio.gather(
                *(hurried(n) for n in range(10, 15)), return_exceptions=True
            )
        for error in ended:
            assert isinstance(error, Busy)
            assert (error.executed, error.attempts) == ("no", 0)
            assert "all servers are busy this moment: 1 server listens" in str(error)
        assert await raw.waiting(queue) == backlog
        lane.opened.set()
        assert await asyncio.gather(*calls) == list(range(backlog + 1))
        assert await in_a_moment(client, name)(20) == 20
    assert lane.ended == [*range(backlog + 1), 20]


@QUEUES
async def test_a_call_that_must_not_wait_leaves_nothing_where_others_wait_for_a_server(
    client: Rabbit, host: Rabbit, raw: RawPeer, name: str
) -> None:
    queue = f"leveret.lane.{name}"
    remote = client.remote(Lane)
    patient = getattr(remote.with_options(wait_for_server=True), name)
    hurried = getattr(remote.with_options(if_busy="fail", timeout=60), name)
    async with host.serving(Lane()):
        pass
    calls = [asyncio.create_task(patient(n)) for n in range(2)]
    await until_found(lambda: raw.waiting(queue), 2, "two wait for a server")
    async with at_once():
        with pytest.raises(NoServer, match="no server listens, 2 requests waiting") as caught:
            await hurried(10)
    assert caught.value.executed == "no"
    assert await raw.waiting(queue) == 2
    lane = Lane()
    lane.opened.set()
    async with host.serving(lane):
        assert sorted(await asyncio.gather(*calls)) == [0, 1]
    assert sorted(lane.ended) == [0, 1]


@pytest.mark.parametrize("name", ["classic", "quorum"])
async def test_a_request_that_others_overtook_is_not_run_later_and_its_caller_told_soon(
    rabbitmq_url: str, host: Rabbit, raw: RawPeer, name: str
) -> None:
    """The queue was empty when the client looked, and another's request came before its own."""
    lane, queue = Lane(), f"leveret.lane.{name}"
    patient = getattr(host.remote(Lane), name)
    async with (
        host.serving(lane),
        FaultProxy(rabbitmq_url) as proxy,
        leveret.connect(proxy.url) as client,
    ):
        calls = [asyncio.create_task(patient(0))]
        await lane.started.get()
        rule = proxy.when(before_frame(1, "to_broker", kind="basic.publish"), Stall("to_broker"))
        hurried = getattr(client.remote(Lane).with_options(if_busy="fail", timeout=60), name)
        late = asyncio.create_task(hurried(10))
        await rule.fired.wait()
        calls.append(asyncio.create_task(patient(1)))
        await until_found(lambda: raw.waiting(queue), 1, "the other one waits")
        proxy.resume()
        async with at_once():
            with pytest.raises(Busy, match="no server has said that it has") as caught:
                await late
        assert caught.value.executed == "maybe"
        lane.opened.set()
        assert await asyncio.gather(*calls) == [0, 1]
        await until_found(lambda: raw.waiting(queue), 0, "nothing waits any more")
        assert await in_a_moment(client, name)(20) == 20
    assert lane.ended == [0, 1, 20]


async def test_a_caller_that_must_not_wait_hears_of_its_server_before_the_handler_begins(
    host: Rabbit, raw: RawPeer
) -> None:
    """If the server dies then, the request expires as if no server had been free."""
    lane = Lane()
    await raw.listen()
    async with host.serving(lane):
        raw.request("lane.classic", b'{"n":1}', expiration="0")
        told = await raw.reply()
        assert (told.properties.type, told.body) == ("accepted", NOT_BEGUN)
        assert await lane.started.get() == 1
        lane.opened.set()


async def test_a_handler_begins_only_once_its_caller_will_hear_of_it_who_must_not_wait(
    broker_url: str, client: Rabbit
) -> None:
    """Until then its caller may be told that it has not run, as the server's connection breaks."""
    lane = Lane()
    lane.opened.set()
    async with (
        FaultProxy(broker_url) as proxy,
        leveret.connect(proxy.url) as host,
        host.serving(lane),
    ):
        notice = before_frame(1, "to_broker", kind="basic.publish")
        rule = proxy.when(notice, Stall("to_broker"))
        call = client.remote(Lane).with_options(if_busy="fail", timeout=60).classic(1)
        hurried = asyncio.create_task(call)
        await rule.fired.wait()
        assert lane.started.empty()
        proxy.cut()
        async with at_once():
            with pytest.raises((Busy, NoServer)):
                await hurried
        proxy.resume()
        assert await client.remote(Lane).with_options(wait_for_server=True).classic(2) == 2
    assert lane.ended == [2]
