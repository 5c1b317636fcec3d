"""All nodes of a cluster are restarted, one after the other, under load."""

from __future__ import annotations

import asyncio

import pytest

from tests.faults.cluster_scene import AWAY, Replicated, cluster_scene
from tests.faults.diary import Diary
from tests.faults.oracle import Oracle
from tests.faults.scene import Load
from tests.faults.work import Work
from tests.rabbitmq.cluster import RabbitMQCluster

pytestmark = pytest.mark.slow

_TIMEOUT = 8.0


async def test_a_rolling_restart_of_all_nodes_loses_no_call(
    rabbitmq_cluster: RabbitMQCluster, oracle: Oracle, diary: Diary
) -> None:
    """The classic queues' home is the last, and is killed: the others are stopped in good order."""
    first, second, home = rabbitmq_cluster.nodes
    async with (
        cluster_scene(
            rabbitmq_cluster,
            diary,
            services=(Work, Replicated),
            home=home,
            client=first,
            server=second,
        ) as there,
        Load(oracle, there.client, timeout=_TIMEOUT, service=Replicated) as quorum,
        Load(oracle, there.client, timeout=AWAY) as classic,
    ):
        assert there.home(Work) is home
        for end in (first.stop, second.stop, home.kill):
            await classic.some_more()
            await asyncio.to_thread(end)
            oracle.faults += 1
            await quorum.some_more()
            await there.heal()
            await quorum.some_more()
        await classic.some_more()
    print(await oracle.fair())
