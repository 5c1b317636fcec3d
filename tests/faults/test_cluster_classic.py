"""Classic queues on a cluster: each has one home node, and is out of reach while that is down."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import pytest

import leveret
from leveret import ConnectionLost, DeadlineExceeded, MaybeExecuted, Rabbit
from leveret.client.calls.route import QueueState
from leveret.testing import RabbitMQ
from tests.behaviour.patience import at_once, until
from tests.faults.cluster_scene import (
    AWAY,
    ClusterScene,
    Replicated,
    by_way_of,
    cluster_scene,
    connected_elsewhere,
)
from tests.faults.diary import Diary
from tests.faults.judgement import Call
from tests.faults.oracle import Oracle
from tests.faults.work import Work
from tests.rabbitmq.cluster import RabbitMQCluster

pytestmark = pytest.mark.slow

_RUNS: Final = 0.6
"""Seconds that a call runs which shall run when its queue's node dies."""


def _waits(client: Rabbit, count: int) -> bool:
    """Whether so many calls of each method have reached the broker."""
    return client.in_flight == count and not client.calls.unconfirmed


async def _seen_down(client: Rabbit) -> None:
    """Wait until a look has found the queues out of reach."""
    routes = [client.calls.routes[f"work.{method}"] for method in ("again", "once")]
    await until(
        lambda: all(route.finding.state is QueueState.DOWN for route in routes),
        "the client knows of it",
    )


@asynccontextmanager
async def _late_server(there: ClusterScene, node: RabbitMQ, diary: Diary) -> AsyncIterator[None]:
    """One that starts while the classic queues are out of reach: it serves its other methods."""
    async with (
        leveret.connect(by_way_of(there.cluster, node, there.vhost)) as rabbit,
        rabbit.serving(Work(diary), Replicated(diary), grace=2),
    ):
        yield


async def test_what_becomes_of_running_waiting_and_new_calls(
    rabbitmq_cluster: RabbitMQCluster, oracle: Oracle, diary: Diary
) -> None:
    home, client, server = rabbitmq_cluster.nodes
    async with cluster_scene(
        rabbitmq_cluster,
        diary,
        services=(Work,),
        home=home,
        client=client,
        server=server,
        concurrency=1,
    ) as there:

        def call(
            *, idempotent: bool, timeout: float = AWAY, seconds: float = 0.0
        ) -> asyncio.Task[Call]:
            return oracle.begin(
                there.client, idempotent=idempotent, timeout=timeout, seconds=seconds
            )

        running = [call(idempotent=idempotent, seconds=_RUNS) for idempotent in (True, False)]
        await oracle.handlers_began()
        waiting_again = call(idempotent=True)
        waiting_once = call(idempotent=False, timeout=2.0)
        await until(lambda: _waits(there.client, 4), "two run and two wait")
        await asyncio.to_thread(home.kill)
        oracle.faults += 1
        # Handlers run on, and their servers need no queue to answer.
        async with at_once():
            ran = [await each for each in running]
        assert [each.error for each in ran] == [None, None]
        assert not home.is_up
        # What waited was in the memory of the node; who may not send it again learns no more.
        ended = await waiting_once
        assert isinstance(ended.error, DeadlineExceeded), ended
        assert ended.error.executed == "maybe"
        await _seen_down(there.client)
        # RabbitMQ 3 takes no new calls: they wait, and are not run if that was in vain. Version 4
        # refuses them late or drops them: idempotent ones are sent again, of others nobody knows.
        new_again = call(idempotent=True)
        new_once = call(idempotent=False)
        in_vain = await call(idempotent=False, timeout=0.8)
        assert isinstance(in_vain.error, DeadlineExceeded), in_vain
        assert "down" in str(in_vain.error)
        dropped = in_vain.error.executed == "maybe"
        assert in_vain.error.where == ("unknown" if dropped else "client"), in_vain
        async with _late_server(there, server, diary):
            late = await oracle.call(
                there.client, idempotent=True, timeout=AWAY, service=Replicated
            )
            assert late.error is None, late
            start = time.monotonic()
            await asyncio.to_thread(home.start)
            up = time.monotonic()
            for each in (waiting_again, new_again):
                assert (await each).error is None, await each
            print(f"{up - start:.1f} s to start, all served {time.monotonic() - up:.1f} s later")
            once = (await new_once).error
            lost = isinstance(once, DeadlineExceeded | ConnectionLost) and once.executed == "maybe"
            assert once is None or (dropped and lost), once
    print(await oracle.fair())


async def test_a_client_whose_reply_queue_is_on_a_dead_node_takes_another_while_there_is_one(
    rabbitmq_cluster: RabbitMQCluster, oracle: Oracle, diary: Diary
) -> None:
    home, client, _ = rabbitmq_cluster.nodes
    async with cluster_scene(
        rabbitmq_cluster,
        diary,
        services=(Work,),
        home=home,
        client=client,
        server=home,
    ) as there:
        before = there.client.calls.reply_queue.name
        assert rabbitmq_cluster.node_of(before, vhost=there.vhost) is client
        calls = [
            oracle.begin(there.client, idempotent=idempotent, timeout=AWAY, seconds=_RUNS)
            for idempotent in (True, False)
        ]
        await oracle.handlers_began()
        await until(lambda: _waits(there.client, 2), "both are confirmed")
        await asyncio.to_thread(client.kill)
        oracle.faults += 1
        async with at_once():
            again, once = [await call for call in calls]
            assert again.error is None, again
            assert isinstance(once.error, MaybeExecuted), once
            await connected_elsewhere(there, there.client, client)
            assert there.client.calls.reply_queue.name != before
            for idempotent in (True, False):
                new = await oracle.call(there.client, idempotent=idempotent, timeout=AWAY)
                assert new.error is None, new
        await asyncio.to_thread(home.kill)  # the third is a minority now, and serves nobody
        await until(lambda: there.client.state == "reconnecting", "the connection is lost")
        in_vain = await oracle.call(there.client, idempotent=False, timeout=1.0)
        assert isinstance(in_vain.error, DeadlineExceeded), in_vain
        assert (in_vain.error.where, in_vain.error.executed) == ("client", "no")
    print(await oracle.fair())
