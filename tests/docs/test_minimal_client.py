"""The listing under "A minimal client" in docs/protocol.md calls servers of Leveret."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import Future

import pytest

from leveret import Rabbit
from tests.behaviour.patience import until
from tests.docs.minimal_client import MinimalClient, Outcome
from tests.docs.protocol_services import Desk, Fibonacci


@pytest.fixture
def rabbitmq_url(broker_url: str) -> str:
    """On each broker."""
    return broker_url


@pytest.fixture
def minimal(rabbitmq_url: str) -> Iterator[MinimalClient]:
    with MinimalClient(rabbitmq_url) as client:
        yield client


async def ended(minimal: MinimalClient, future: Future[Outcome]) -> Outcome:
    return await asyncio.to_thread(minimal.end, future)


async def test_it_gets_results_and_errors(minimal: MinimalClient, desk: Desk) -> None:
    async def call(key: str, **arguments: int) -> Outcome:
        return await asyncio.to_thread(minimal.call, key, arguments)

    assert await call("fibonacci.fib", n=30) == ("OK", "yes", 832040)
    code, executed, error = await call("desk.limit", n=10)
    assert (code, executed, error["data"]) == ("TOO_LARGE", "yes", {"limit": 9})
    assert (await call("fibonacci.fib", n=-1))[:2] == ("INVALID_ARGUMENT", "no")
    assert await call("desk.fly") == ("UNIMPLEMENTED", "no", None)
    assert not minimal.listing.pending


async def test_a_call_that_is_told_accepted_goes_on_until_its_result(
    minimal: MinimalClient, desk: Desk
) -> None:
    waiting = asyncio.create_task(
        ended(minimal, minimal.listing.call("desk.wait", {}, 30_000)),
    )
    await until(lambda: minimal.heard == ["accepted"], "the server says accepted")
    desk.may_end.set()
    assert await waiting == ("OK", "yes", "waited")


async def test_a_server_that_comes_later_is_told_who_still_waits(
    minimal: MinimalClient, rabbit: Rabbit
) -> None:
    async with rabbit.serving(Desk(), Fibonacci()):
        pass
    given_up = minimal.listing.call("desk.wait", {}, 30_000)
    minimal.listing.end(minimal.listing.pending.copy().popitem()[0], "CANCELLED", "maybe")
    waits = minimal.listing.call("fibonacci.fib", {"n": 10}, 30_000)
    later = Desk()
    async with rabbit.serving(later, Fibonacci()):
        assert await ended(minimal, waits) == ("OK", "yes", 55)
        later.may_end.set()
        assert await asyncio.to_thread(minimal.call, "desk.wait", {}) == ("OK", "yes", "waited")
    assert given_up.result()[0] == "CANCELLED"
    assert later.ran == 1, "not the one that was given up"
    assert minimal.heard.count("claim") == 2


async def test_what_nobody_takes_and_what_finds_no_place_comes_back(
    minimal: MinimalClient, rabbit: Rabbit
) -> None:
    async with rabbit.serving(Desk()):
        pass
    minimal.names["call_later"] = lambda *_: None  # so that it is the broker who ends the calls
    late = minimal.listing.call("desk.wait", {}, 200)
    assert (await ended(minimal, late))[:2] == ("DEADLINE_EXCEEDED", "maybe")
    assert minimal.heard == ["call"]
    minimal.listing.call("desk.short", {}, 30_000)
    full = minimal.listing.call("desk.short", {}, 30_000)
    assert (await ended(minimal, full))[:2] == ("RESOURCE_EXHAUSTED", "maybe")


async def test_a_connection_that_breaks_ends_all_calls(
    minimal: MinimalClient, rabbit: Rabbit
) -> None:
    async with rabbit.serving(Desk()):
        pass
    futures = [minimal.listing.call("desk.wait", {}, 30_000) for _ in range(2)]
    minimal.connection.close()
    minimal.listing.on_broken_connection()
    assert [future.result()[:2] for future in futures] == [("UNAVAILABLE", "maybe")] * 2
