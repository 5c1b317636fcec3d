"""Calls to and from programs of the RabbitMQ tutorial's kind, on a named queue."""

from __future__ import annotations

import asyncio

import pytest

from leveret import NoServer, Rabbit
from tests.behaviour.patience import at_once, until, until_found
from tests.behaviour.raw import RawPeer
from tests.behaviour.services import Gate

QUEUE = "rpc_queue"


async def test_a_call_without_a_server_leaves_nothing_for_one_that_comes_later(
    client: Rabbit, host: Rabbit, raw: RawPeer
) -> None:
    gate = Gate()
    gate.opened.set()
    await raw.declare(QUEUE)
    async with at_once():
        with pytest.raises(NoServer, match="no server listens, 0 requests waiting") as caught:
            await client.plain(QUEUE, timeout=60).call(1)
    assert (caught.value.executed, caught.value.attempts) == ("no", 0)
    assert await raw.waiting(QUEUE) == 0
    async with host.serving(gate, plain={QUEUE: "gate.once"}):
        assert await client.plain(QUEUE, result=int).call(2) == 2
    assert gate.ended == [2]


async def test_a_request_that_stays_behind_when_its_server_dies_may_be_executed(
    client: Rabbit, host: Rabbit, raw: RawPeer
) -> None:
    """A server that comes later does not ask whether anybody waits: it runs the request."""
    gate = Gate()
    gate.opened.set()
    await raw.declare(QUEUE)
    taken = await raw.take(QUEUE)
    call = asyncio.create_task(client.plain(QUEUE, timeout=60).call(1))
    await taken.get()
    raw.crash()
    async with at_once():
        with pytest.raises(NoServer, match="stays there until its timeout ends") as caught:
            await call
    assert (caught.value.executed, caught.value.attempts) == ("maybe", 1)
    async with host.serving(gate, plain={QUEUE: "gate.again"}):
        await until(lambda: gate.ended == [1], "the later server runs it")


async def test_a_plain_call_waits_for_a_server_when_told_to(
    client: Rabbit, host: Rabbit, raw: RawPeer
) -> None:
    gate = Gate()
    gate.opened.set()
    await raw.declare(QUEUE)
    patient = client.plain(QUEUE, result=int, wait_for_server=True)
    call = asyncio.create_task(patient.call(1))
    await until_found(lambda: raw.waiting(QUEUE), 1, "the request waits")
    async with host.serving(gate, plain={QUEUE: "gate.once"}):
        assert await call == 1


async def test_a_plain_call_has_the_priority_that_it_is_given(client: Rabbit, raw: RawPeer) -> None:
    await raw.declare(QUEUE, x_max_priority=2)
    patient = client.plain(QUEUE, wait_for_server=True)
    calls = [
        asyncio.create_task(patient.with_options(priority=priority).call(priority))
        for priority in (0, 1, 2)
    ]
    await until_found(lambda: raw.waiting(QUEUE), 3, "all wait")
    taken = await raw.take(QUEUE)
    order = [(await taken.get()) for _ in calls]
    assert [request.body for request in order] == [b"2", b"1", b"0"]
    for request in order:
        raw.answer(request, request.body or b"")
    assert await asyncio.gather(*calls) == ["0", "1", "2"]
