"""A cluster of RabbitMQ nodes: any one may die, quorum queues go on, and it comes back whole."""

from __future__ import annotations

import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pika
import pytest

import leveret
from leveret import Service, method
from leveret.testing import RabbitMQ, RabbitMQUnavailable
from tests.rabbitmq.cluster import RabbitMQCluster

pytestmark = pytest.mark.slow

GIVE_UP = 30.0
QUORUM = {"x-queue-type": "quorum"}

HOLD_A_CLUSTER = """
import sys
from tests.rabbitmq.cluster import RabbitMQCluster
cluster = RabbitMQCluster(2).start()
print(cluster.nodes[0].evaluate('os:getenv("HOME")'), flush=True)
print(cluster.nodes[1].evaluate('os:getenv("HOME")'), flush=True)
sys.stdin.read()
"""


class Echo(Service):
    @method(queue="quorum", idempotent=True, timeout=GIVE_UP)
    async def echo(self, text: str) -> str:
        return text


@pytest.fixture
def vhost(rabbitmq_cluster: RabbitMQCluster) -> Iterator[str]:
    name = f"test-{secrets.token_hex(4)}"
    rabbitmq_cluster.add_vhost(name)
    yield name
    rabbitmq_cluster.start()
    rabbitmq_cluster.delete_vhost(name)


def channel_of(node: RabbitMQ, vhost: str) -> pika.adapters.blocking_connection.BlockingChannel:
    channel = pika.BlockingConnection(pika.URLParameters(node.url + vhost)).channel()
    channel.confirm_delivery()
    return channel


def declare(node: RabbitMQ, vhost: str, queue: str, **arguments: str) -> None:
    channel = channel_of(node, vhost)
    channel.queue_declare(queue, durable=True, arguments=arguments)
    channel.connection.close()


def processes_at_home_in(folder: str) -> list[str]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if f"HOME={folder}\0".encode() in (process / "environ").read_bytes():
                found.append(process.name)
        except OSError:  # it ended meanwhile, or is another user's
            continue
    return found


def is_gone(folder: str) -> bool:
    return not processes_at_home_in(folder) and not Path(folder).exists()


def wait_until(true: Callable[[], bool], failure: str) -> None:
    give_up = time.monotonic() + GIVE_UP
    while not true():
        assert time.monotonic() < give_up, failure
        time.sleep(0.02)


def test_all_nodes_are_one_broker(rabbitmq_cluster: RabbitMQCluster, vhost: str) -> None:
    first, second, third = rabbitmq_cluster.nodes
    declare(first, vhost, "of the first")
    for node in (second, third):
        channel = channel_of(node, vhost)
        channel.queue_declare("of the first", passive=True)
        channel.connection.close()
    assert rabbitmq_cluster.node_of("of the first", vhost=vhost) is first


def test_its_url_names_every_node(rabbitmq_cluster: RabbitMQCluster) -> None:
    hosts = ",".join(f"127.0.0.1:{node.port}" for node in rabbitmq_cluster.nodes)
    assert rabbitmq_cluster.url == f"amqp://guest:guest@{hosts}/"


async def test_a_quorum_queue_outlives_the_node_that_leads_it_and_clients_find_another(
    rabbitmq_cluster: RabbitMQCluster, vhost: str
) -> None:
    first, second, _ = rabbitmq_cluster.nodes
    declare(first, vhost, "work", **QUORUM)
    channel = channel_of(second, vhost)
    channel.basic_publish("", "work", b"kept")
    assert rabbitmq_cluster.node_of("work", vhost=vhost) is first
    first.kill()
    rabbitmq_cluster.await_ready()
    assert rabbitmq_cluster.node_of("work", vhost=vhost) is not first
    assert channel.basic_get("work", auto_ack=True)[2] == b"kept"
    channel.connection.close()
    # The URL of the cluster begins with the dead one.
    async with leveret.connect(rabbitmq_cluster.url + vhost) as rabbit, rabbit.serving(Echo()):
        assert await rabbit.remote(Echo).echo("on another") == "on another"


def test_a_node_that_was_killed_rejoins_and_another_may_die(
    rabbitmq_cluster: RabbitMQCluster, vhost: str
) -> None:
    first, second, third = rabbitmq_cluster.nodes
    declare(first, vhost, "work", **QUORUM)
    second.kill()
    channel = channel_of(first, vhost)
    channel.basic_publish("", "work", b"published while it was away")
    channel.connection.close()
    second.start()
    rabbitmq_cluster.await_ready()
    third.kill()
    rabbitmq_cluster.await_ready()
    channel = channel_of(second, vhost)
    assert channel.basic_get("work", auto_ack=True)[2] == b"published while it was away"
    channel.connection.close()


def test_a_node_that_stops_tells_its_clients_and_a_minority_serves_nobody_until_all_come_back(
    rabbitmq_cluster: RabbitMQCluster, vhost: str
) -> None:
    first, second, third = rabbitmq_cluster.nodes
    declare(first, vhost, "work", **QUORUM)
    connection = channel_of(first, vhost).connection
    first.stop()
    with pytest.raises(pika.exceptions.ConnectionClosedByBroker, match="CONNECTION_FORCED"):
        connection.process_data_events(time_limit=GIVE_UP)
    second.kill()
    wait_until(lambda: not third.is_up, "a node that is alone goes on")
    with pytest.raises(RabbitMQUnavailable, match="0 of 1 nodes serve"):
        rabbitmq_cluster.await_ready(0.1)
    with pytest.raises(RabbitMQUnavailable, match="no node of the cluster serves"):
        rabbitmq_cluster.node_of("work", vhost=vhost)
    rabbitmq_cluster.start()
    assert all(node.is_up for node in rabbitmq_cluster.nodes)
    channel = channel_of(third, vhost)
    channel.queue_declare("work", passive=True)
    channel.connection.close()


async def test_calls_go_through_every_node(rabbitmq_cluster: RabbitMQCluster, vhost: str) -> None:
    first, *others = rabbitmq_cluster.nodes
    async with leveret.connect(first.url + vhost) as serving, serving.serving(Echo()):
        for node in others:
            async with leveret.connect(node.url + vhost) as rabbit:
                assert await rabbit.remote(Echo).echo("across") == "across"


def test_killing_the_process_that_holds_it_leaves_no_process_and_no_file() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD_A_CLUSTER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout is not None
        folders = [holder.stdout.readline().strip().strip('"') for _ in range(2)]
        assert all(map(processes_at_home_in, folders))
        holder.kill()
    for folder in folders:
        wait_until(partial(is_gone, folder), f"{folder} is left, or a process of it")


def test_a_cluster_without_nodes_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one node, not 0"):
        RabbitMQCluster(0)


def test_a_cluster_that_is_not_started_says_so() -> None:
    with pytest.raises(RabbitMQUnavailable, match="not started"):
        _ = RabbitMQCluster().url


def test_a_machine_without_any_rabbitmq_is_told_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("LEVERET_RABBITMQ_ROOT", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("leveret.testing.rabbitmq.installed._SCRIPT_FOLDERS", ())
    with pytest.raises(RabbitMQUnavailable, match="apt-get install rabbitmq-server"):
        RabbitMQCluster().start()
