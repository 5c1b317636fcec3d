"""Queues that have other options than the contract says: operators set policies on shared brokers.

A client never declares a request queue, so a queue that was declared with such options stands for
one that a policy gives them to.
"""

from __future__ import annotations

import asyncio

import pytest

import leveret
from leveret import Busy, DeadlineExceeded, Rabbit, TopologyError
from leveret.testing import RabbitMQ
from tests.behaviour.patience import at_once, until_found
from tests.behaviour.raw import RawPeer
from tests.behaviour.services import Gate


async def declare(raw: RawPeer, key: str, **options: object) -> None:
    queue = f"leveret.{key}"
    await raw.declare(queue, x_dead_letter_exchange="", **options)
    await raw.channel.bind_queue(queue, "leveret", key)


@pytest.mark.parametrize("method", ["once", "again"])
async def test_a_queue_that_is_full_by_policy_is_full_for_each_kind_of_call(
    client: Rabbit, raw: RawPeer, method: str
) -> None:
    await declare(raw, f"gate.{method}", x_max_length=1, x_overflow="reject-publish")
    call = getattr(client.remote(Gate).with_options(wait_for_server=True), method)
    first = asyncio.create_task(call(1))
    await until_found(lambda: raw.waiting(f"leveret.gate.{method}"), 1, "the queue is full")
    for _ in range(3):
        async with at_once():
            with pytest.raises(Busy, match="its queue is full") as caught:
                await call(2)
        assert caught.value.executed == "no"
    assert not first.done()
    first.cancel()
    await asyncio.wait((first,))


async def test_a_request_that_lives_shorter_by_policy_is_told_how_long_it_waited(
    client: Rabbit, raw: RawPeer
) -> None:
    await declare(raw, "gate.once", x_message_ttl=50)
    async with at_once():
        with pytest.raises(DeadlineExceeded) as caught:
            await client.remote(Gate).with_options(wait_for_server=True).once(1)
    assert "no server took the request in 30 s" not in str(caught.value)
    assert "before its 30 s were over" in str(caught.value)
    assert (caught.value.where, caught.value.executed) == ("queue", "no")


async def test_a_full_queue_that_drops_the_oldest_by_policy_says_that_it_is_full(
    client: Rabbit, raw: RawPeer
) -> None:
    await declare(raw, "gate.once", x_max_length=1)
    patient = client.remote(Gate).with_options(wait_for_server=True)
    first = asyncio.create_task(patient.once(1))
    await until_found(lambda: raw.waiting("leveret.gate.once"), 1, "the queue is full")
    second = asyncio.create_task(patient.once(2))
    async with at_once():
        with pytest.raises(Busy, match="full") as caught:
            await first
    assert caught.value.executed == "no"
    second.cancel()
    await asyncio.wait((second,))


async def test_policies_and_limits_of_a_vhost_are_told_for_what_they_are(
    rabbitmq: RabbitMQ, worker_id: str
) -> None:
    if not rabbitmq.owned:
        pytest.skip("the broker is not ours to set policies on")
    vhost = f"policies-{worker_id}"
    url = rabbitmq.add_vhost(vhost)
    rabbitmq.evaluate(
        f'rabbit_policy:set(<<"{vhost}">>, <<"short">>, <<"^leveret.gate">>, '
        '[{<<"max-length">>, 1}, {<<"overflow">>, <<"reject-publish">>}], '
        '0, <<"queues">>, <<"leveret">>)'
    )
    gate = Gate()
    async with leveret.connect(url) as host, leveret.connect(url) as client, host.serving(gate):
        raw = await RawPeer.open(url)
        calls = [asyncio.create_task(client.remote(Gate).one_by_one(1))]
        await gate.started.get()
        calls.append(asyncio.create_task(client.remote(Gate).one_by_one(2)))
        await until_found(lambda: raw.waiting("leveret.gate.one_by_one"), 1, "the queue is full")
        with pytest.raises(Busy, match="its queue is full") as caught:
            await client.remote(Gate).one_by_one(3)
        assert caught.value.executed == "no"
        gate.opened.set()
        assert await asyncio.gather(*calls) == [1, 2]
        await raw.close()
        rabbitmq.evaluate(
            f'rabbit_vhost_limit:set(<<"{vhost}">>, [{{<<"max-queues">>, 0}}], <<"leveret">>)'
        )

        class Late(leveret.Service):
            @leveret.method
            async def work(self) -> None: ...

        with pytest.raises(TopologyError, match="cannot be declared.*queue limit") as refused:
            await host.serving(Late()).__aenter__()
        assert "with other options" not in str(refused.value)
    rabbitmq.delete_vhost(vhost)
