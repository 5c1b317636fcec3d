"""Quorum queues, which other brokers do not have."""

from __future__ import annotations

import asyncio

import pytest

from leveret import Busy, DeadlineExceeded, Rabbit, Service, TopologyError, method
from tests.behaviour.patience import at_once, until
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


async def test_calls_go_through_a_quorum_queue(client: Rabbit, host: Rabbit, raw: RawPeer) -> None:
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
    client: Rabbit, host: Rabbit
) -> None:
    async with host.serving(Replicated()):
        pass
    remote = client.remote(Replicated).with_options(wait_for_server=True)
    # RabbitMQ lets one or two more in than it should: it tells publishers a little late.
    calls: list[asyncio.Task[int]] = []
    async with at_once():
        while not any(call.done() for call in calls):
            calls.append(asyncio.create_task(remote.work(len(calls))))
            await until(
                lambda: (
                    calls[-1].done()
                    or (client.in_flight == len(calls) and not client.calls.unconfirmed)
                ),
                "the broker takes the request, or refuses it",
            )
    async with host.serving(Replicated()):
        results = await asyncio.gather(*calls, return_exceptions=True)
    refused = [error for error in results if isinstance(error, Busy)]
    assert len(refused) >= 1
    assert {error.executed for error in refused} == {"no"}
    assert all("full" in str(error) and "try again later" in str(error) for error in refused)
    assert {result for result in results if isinstance(result, int)} >= {0, 1}


@pytest.mark.usefixtures("patient_clients")
async def test_a_request_expires_in_a_quorum_queue(client: Rabbit, host: Rabbit) -> None:
    gate = ReplicatedGate()
    remote = client.remote(ReplicatedGate)
    async with host.serving(gate):
        running = asyncio.create_task(remote.one_by_one(1))
        await gate.started.get()
        with pytest.raises(DeadlineExceeded) as caught:
            await remote.with_options(timeout=1).one_by_one(2)
        assert (caught.value.where, caught.value.executed) == ("queue", "no")
        gate.opened.set()
        assert await running == 1


async def test_a_classic_queue_does_not_become_a_quorum_queue(host: Rabbit, raw: RawPeer) -> None:
    await raw.declare("leveret.replicated.work", x_dead_letter_exchange="", x_max_length=2)
    with pytest.raises(TopologyError, match=r"leveret\.replicated\.work.*inequivalent arg"):
        await host.serve(Replicated())
