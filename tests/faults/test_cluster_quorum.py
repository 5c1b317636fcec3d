"""Quorum queues: any node of the cluster is killed under load, and nobody waits for it."""

from __future__ import annotations

import asyncio
import time
from typing import Final

import pytest

from tests.faults.cluster_scene import Replicated, cluster_scene
from tests.faults.diary import Diary
from tests.faults.oracle import Oracle
from tests.faults.scene import Load
from tests.rabbitmq.cluster import RabbitMQCluster

pytestmark = pytest.mark.slow

_TIMEOUT: Final = 8.0

# Who is at which of the nodes; the first of them is the one that is killed.
_PLACES: Final = {
    "leader": (0, 1, 2),
    "client": (1, 0, 2),
    "server": (1, 2, 0),
    "third": (1, 2, 1),
    "all in one": (0, 0, 0),
}


@pytest.mark.parametrize(("home", "client", "server"), _PLACES.values(), ids=_PLACES)
async def test_a_node_is_killed_under_load_and_comes_back(
    home: int,
    client: int,
    server: int,
    rabbitmq_cluster: RabbitMQCluster,
    oracle: Oracle,
    diary: Diary,
) -> None:
    nodes = rabbitmq_cluster.nodes
    async with cluster_scene(
        rabbitmq_cluster,
        diary,
        services=(Replicated,),
        home=nodes[home],
        client=nodes[client],
        server=nodes[server],
    ) as there:
        assert there.home(Replicated) is nodes[home]
        async with Load(oracle, there.client, timeout=_TIMEOUT, service=Replicated) as load:
            await load.some_more()
            start = time.monotonic()
            await asyncio.to_thread(nodes[0].kill)
            oracle.faults += 1
            call = await oracle.call(
                there.client, idempotent=True, timeout=_TIMEOUT, service=Replicated
            )
            print(f"kill to next result {time.monotonic() - start:.3f} s", call)
            await load.some_more()
            await there.heal()
            await load.some_more()
    print(await oracle.fair())
