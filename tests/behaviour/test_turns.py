"""Calls that a server has and does not run yet: what waits for a thread, a process or its turn."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from leveret import DeadlineExceeded, Rabbit, Service, method
from leveret.client.calls.life import State
from leveret.server.server import Server
from tests.behaviour.crashing import crash
from tests.behaviour.patience import until
from tests.behaviour.services import Gate


class Threads(Service):
    """One call at a time."""

    def __init__(self) -> None:
        self.opened = threading.Event()
        self.began: list[str] = []

    @method(timeout=30, concurrency=1)
    def work(self, name: str) -> str:
        self.began.append(name)
        assert self.opened.wait(20)
        return name


@asynccontextmanager
async def a_full_house(
    client: Rabbit, host: Rabbit, threads: Threads
) -> AsyncIterator[tuple[Server, asyncio.Task[str]]]:
    """A server whose one thread is busy, and which takes calls from another queue as well."""
    async with host.serving(threads, plain={"threads": "threads.work"}) as server:
        busy = asyncio.create_task(client.plain("threads").call("busy"))
        await until(lambda: threads.began == ["busy"], "the thread is taken")
        yield server, busy
        threads.opened.set()


@pytest.mark.usefixtures("patient_clients")
async def test_a_call_that_waits_for_a_thread_until_its_deadline_did_not_run_and_will_not(
    client: Rabbit, host: Rabbit
) -> None:
    threads = Threads()
    async with a_full_house(client, host, threads) as (server, busy):
        with pytest.raises(DeadlineExceeded) as caught:
            await client.remote(Threads).with_options(timeout=1).work("late")
        assert (caught.value.where, caught.value.executed) == ("queue", "no")
        threads.opened.set()
        assert await busy == "busy"
        await until(lambda: not server.calls(), "nothing is left to run")
    assert threads.began == ["busy"]


async def test_what_waits_for_a_thread_is_run_in_its_turn(client: Rabbit, host: Rabbit) -> None:
    threads = Threads()
    async with a_full_house(client, host, threads) as (server, busy):
        later = asyncio.create_task(client.remote(Threads).work("later"))
        await until(lambda: len(server.calls()) == 2, "it waits at the server")
        threads.opened.set()
        assert (await busy, await later) == ("busy", "later")


async def test_a_call_whose_server_dies_while_it_waits_there_is_not_said_to_have_run(
    client: Rabbit, mortal_host: Rabbit
) -> None:
    threads = Threads()
    remote = client.remote(Threads).with_options(timeout=1.0, wait_for_server=True)
    async with a_full_house(client, mortal_host, threads) as (_, busy):
        waits = asyncio.create_task(remote.work("waits"))
        await until(
            lambda: client.calls.at_servers == 1,
            "the client hears of it",
        )
        assert not client.calls.count(State.RUNNING)
        crash(mortal_host)
        with pytest.raises(DeadlineExceeded) as caught:
            await waits
        assert caught.value.executed == "maybe"
        busy.cancel()
        await asyncio.wait({busy})


async def test_what_waits_for_a_thread_is_handed_back_by_a_drain(
    client: Rabbit, host: Rabbit, other_host: Rabbit
) -> None:
    one, two = Threads(), Threads()
    two.opened.set()
    async with a_full_house(client, host, one) as (server, busy):
        waits = asyncio.create_task(client.remote(Threads).work("waits"))
        await until(lambda: len(server.calls()) == 2, "it waits at the server")
        async with other_host.serving(two):
            draining = asyncio.create_task(server.drain(0))
            assert await waits == "waits"
            one.opened.set()
            await draining
        busy.cancel()
        await asyncio.wait({busy})
    assert (one.began, two.began) == (["busy"], ["waits"])


async def test_concurrency_counts_the_calls_of_all_queues_of_a_method(
    client: Rabbit, host: Rabbit
) -> None:
    gate = Gate()
    async with host.serving(gate, plain={"gate": "gate.one_by_one"}) as server:
        calls = [
            asyncio.ensure_future(client.remote(Gate).one_by_one(1)),
            asyncio.ensure_future(client.plain("gate").call("2")),
        ]
        await until(lambda: len(server.calls()) == 2, "both are at the server")
        first = await gate.started.get()
        assert gate.started.empty()
        gate.opened.set()
        await asyncio.gather(*calls)
        assert {first, await gate.started.get()} == {1, 2}
