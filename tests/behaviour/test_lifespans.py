"""Services that are async context managers: entered before the first call, left after the last."""

from __future__ import annotations

import asyncio
from typing import Self

import pytest

from leveret import Rabbit, Service, TopologyError, method
from tests.behaviour.crashing import crash
from tests.behaviour.patience import until, until_found
from tests.behaviour.raw import RawPeer
from tests.behaviour.services import Echo


class Pool(Service):
    """Writes down what happens to it."""

    def __init__(self, log: list[str], name: str = "pool") -> None:
        self.log = log
        self.name = name
        self.started = asyncio.Event()
        self.opened = asyncio.Event()

    async def __aenter__(self) -> Self:
        self.log.append(f"{self.name} entered")
        return self

    async def __aexit__(self, *error: object) -> None:
        self.log.append(f"{self.name} left")

    @method(timeout=30)
    async def use(self) -> None:
        self.log.append("call began")
        self.started.set()
        await self.opened.wait()
        self.log.append("call ended")


class SecondPool(Pool, name="second"):
    pass


class Leaky(Pool, name="leaky"):
    async def __aenter__(self) -> Self:
        raise OSError("no database")


async def test_a_service_is_entered_before_its_first_call_and_left_after_its_last(
    client: Rabbit, host: Rabbit, raw: RawPeer
) -> None:
    log: list[str] = []
    pool = Pool(log)
    async with host.serving(Echo()):
        pass
    waiting = client.remote(Pool).with_options(wait_for_server=True)
    call = asyncio.create_task(waiting.use())
    async with host.serving(pool) as server:
        await pool.started.wait()
        draining = asyncio.create_task(server.drain())
        await until_found(lambda: raw.consumers("leveret.pool.use"), 0, "the server drains")
        log.append("drain began")
        pool.opened.set()
        await draining
        await call
    assert log == ["pool entered", "call began", "drain began", "call ended", "pool left"]


async def test_services_are_left_in_the_reverse_order(host: Rabbit) -> None:
    log: list[str] = []
    async with host.serving(Pool(log, "a"), SecondPool(log, "b")):
        pass
    assert log == ["a entered", "b entered", "b left", "a left"]


async def test_a_service_is_left_when_the_next_one_cannot_be_entered(host: Rabbit) -> None:
    log: list[str] = []
    with pytest.raises(OSError, match="no database"):
        async with host.serving(Pool(log, "a"), Leaky(log)):
            pass
    assert log == ["a entered", "a left"]
    async with host.serving(Pool(log, "a")):  # nothing of the failed start is in the way
        pass


async def test_a_service_is_left_when_its_queue_cannot_be_declared(
    host: Rabbit, raw: RawPeer
) -> None:
    log: list[str] = []
    await raw.declare("leveret.pool.use", x_max_length=7)
    with pytest.raises(TopologyError):
        async with host.serving(Pool(log)):
            pass
    assert log == ["pool entered", "pool left"]


async def test_a_service_is_left_when_the_connection_breaks(mortal_host: Rabbit) -> None:
    log: list[str] = []
    async with mortal_host.serving(Pool(log)) as server:
        crash(mortal_host)
        await until(server.failed.done, "the server knows")
    assert log == ["pool entered", "pool left"]


class Lingering(Pool, name="lingering"):
    async def __aexit__(self, *error: object) -> None:
        self.started.set()
        await asyncio.Event().wait()


async def test_a_service_that_hangs_while_it_is_left_ends_when_the_drain_is_hurried(
    host: Rabbit,
) -> None:
    log: list[str] = []
    lingering = Lingering(log, "lingering")
    server = await host.serving(Pool(log), lingering)
    closing = asyncio.create_task(server.close())
    await lingering.started.wait()
    server.cancel_running()
    async with asyncio.timeout(10):
        await closing
    assert log == ["pool entered", "lingering entered", "pool left"]
