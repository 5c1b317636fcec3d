"""Quorum queues, which other brokers do not have."""

from __future__ import annotations

import asyncio

import pytest

from leveret import Busy, DeadlineExceeded, Rabbit, Service, TopologyError, method
from tests.behaviour.patience import at_once, until_found
from tests.behaviour.raw import RawPeer
from tests.behaviour.services import Gate


class Replicated(Service):
    @method(timeout=30, queue="quorum", max_length=2)
    async def work(self, n: int) -> int:
        return n


class ReplicatedGate(Gate, name="replicated_gate"):
    @method(timeout=30, queue="quorum", concurrency=1)
    async def one_by_one(self, n: int) -> int:
        return await self._wait(n)


async def test_calls_go_through_a_quorum_queue(
    client: Rabbit, host: Rabbit, raw: RawPeer
) -> None:
    async with host.serving(Replicated()):
        assert await client.remote(Replicated).work(1) == 1
        await raw.declare(
            "leveret.replicated.work",
            x_queue_type="quorum",
            x_dead_letter_exchange="",
            x_max_length=2,
            x_overflow="reject-publish",
        )


async def test_a_call_fails_at_once_when_a_quorum_queue_is_full(
    client: Rabbit, host: Rabbit, raw: RawPeer
) -> None:
    async with host.serving(Replicated()):
        pass
    remote = client.remote(Replicated).with_options(wait_for_server=True)
    waiting = [asyncio.create_task(remote.work(n)) for n in range(2)]
    await until_found(lambda: raw.waiting("leveret.replicated.work"), 2, "the queue is full")
    async with at_once():
        with pytest.raises(Busy, match="full.*try again later") as caught:
            # RabbitMQ lets some more in than it should: it counts a little late.
            while True:
                waiting.append(asyncio.create_task(remote.work(len(waiting))))
                await asyncio.sleep(0)
                await remote.work(0)
    assert caught.value.executed == "no"
    async with host.serving(Replicated()):
        await asyncio.gather(*waiting)


async def test_a_request_expires_in_a_quorum_queue(client: Rabbit, host: Rabbit) -> None:
    gate = ReplicatedGate()
    remote = client.remote(ReplicatedGate)
    async with host.serving(gate):
        running = asyncio.create_task(remote.one_by_one(1))
        await gate.started.get()
        with pytest.raises(DeadlineExceeded) as caught:
            await remote.with_options(timeout=0.4).one_by_one(2)
        assert (caught.value.where, caught.value.executed) == ("queue", "no")
        gate.opened.set()
        assert await running == 1


async def test_a_classic_queue_does_not_become_a_quorum_queue(host: Rabbit, raw: RawPeer) -> None:
    await raw.declare("leveret.replicated.work", x_dead_letter_exchange="")
    with pytest.raises(TopologyError, match=r"leveret\.replicated\.work.*x-queue-type"):
        await host.serve(Replicated())
