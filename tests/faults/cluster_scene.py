"""A client and a server on a cluster, each connected to a node that the test chooses."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

import leveret
from leveret import Rabbit, method
from leveret.testing import RabbitMQ
from tests.behaviour.patience import until
from tests.faults.diary import Diary
from tests.faults.work import EXPIRES, Work
from tests.rabbitmq.cluster import RabbitMQCluster

AWAY: Final = 25.0
"""Seconds for calls that have to wait for a node: it takes some to come back."""


class Replicated(Work, name="replicated"):
    """The same work, its requests in quorum queues."""

    @method(timeout=5, expires=EXPIRES, queue="quorum")
    async def once(self, key: str, seconds: float, padding: str, reply: int) -> str:
        return await self._work(key, seconds, reply)

    @method(timeout=5, idempotent=True, expires=EXPIRES, queue="quorum")
    async def again(self, key: str, seconds: float, padding: str, reply: int) -> str:
        return await self._work(key, seconds, reply)


@dataclass(slots=True)
class ClusterScene:
    """Who is there. Connections are as users have them: one that breaks comes back on its own."""

    cluster: RabbitMQCluster
    vhost: str
    client: Rabbit
    host: Rabbit

    def home(self, service: type[Work]) -> RabbitMQ:
        """The node where the queue of a service is, or the leader of its quorum queue."""
        queue = "replicated" if service is Replicated else "work"
        return self.cluster.node_of(f"leveret.{queue}.again", vhost=self.vhost)

    def node_of(self, rabbit: Rabbit) -> RabbitMQ:
        """The node that somebody is connected to."""
        name = rabbit.calls.link.connection.name
        return next(node for node in self.cluster.nodes if name.endswith(f":{node.port}"))

    async def heal(self) -> None:
        """Start what was stopped or killed, and wait until the cluster is whole."""
        await asyncio.to_thread(self.cluster.start)


def by_way_of(cluster: RabbitMQCluster, first: RabbitMQ, vhost: str) -> str:
    """A URL with all nodes, this one first."""
    nodes = sorted(cluster.nodes, key=lambda node: node is not first)
    hosts = ",".join(f"127.0.0.1:{node.port}" for node in nodes)
    return urlsplit(cluster.url)._replace(netloc=f"guest:guest@{hosts}").geturl() + vhost


@asynccontextmanager
async def own_vhost(cluster: RabbitMQCluster) -> AsyncIterator[str]:
    """A vhost of the test's own. At its end the cluster is whole."""
    name = f"test-{secrets.token_hex(4)}"
    await asyncio.to_thread(cluster.add_vhost, name)
    try:
        yield name
    finally:
        await asyncio.to_thread(cluster.start)
        await asyncio.to_thread(cluster.delete_vhost, name)


async def declare(url: str, diary: Diary, services: tuple[type[Work], ...]) -> None:
    """Have the request queues declared, on the first node of the URL, and nobody serve them."""
    async with (
        leveret.connect(url) as rabbit,
        rabbit.serving(*(service(diary) for service in services), grace=0),
    ):
        pass


@asynccontextmanager
async def cluster_scene(
    cluster: RabbitMQCluster,
    diary: Diary,
    *,
    services: tuple[type[Work], ...],
    home: RabbitMQ,
    client: RabbitMQ,
    server: RabbitMQ,
    concurrency: int | None = None,
) -> AsyncIterator[ClusterScene]:
    """A client and a server at their nodes, the request queues at theirs, their home."""
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        vhost = await enter(own_vhost(cluster))
        await declare(by_way_of(cluster, home, vhost), diary, services)
        host = await enter(leveret.connect(by_way_of(cluster, server, vhost)))
        serving = [service(diary) for service in services]
        await enter(host.serving(*serving, concurrency=concurrency, grace=2))
        caller = await enter(leveret.connect(by_way_of(cluster, client, vhost)))
        yield ClusterScene(cluster, vhost, caller, host)


async def connected_elsewhere(scene: ClusterScene, rabbit: Rabbit, dead: RabbitMQ) -> None:
    """Wait until somebody has found another node."""
    await until(
        lambda: rabbit.state == "connected" and scene.node_of(rabbit) is not dead,
        "it is connected to another node",
    )
