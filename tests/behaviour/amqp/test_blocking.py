"""A broker that is short of memory: who publishes is told and waits, who consumes goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any, Protocol

import pytest
from pamqp.commands import Basic, Connection

from leveret.testing import Broker
from tests.behaviour.amqp.script import Client, Connect, Lane
from tests.rabbitmq.broker import RabbitMQ


class Blockable(Protocol):
    """A broker whose memory alarm a test may raise: it is nobody else's."""

    @property
    def url(self) -> str: ...

    def block_publishers(self) -> None: ...

    def unblock_publishers(self) -> None: ...

    def close_connections(self, reason: str) -> int: ...


@pytest.fixture(
    scope="module",
    params=[pytest.param("rabbitmq", marks=pytest.mark.xdist_group("own_rabbitmq")), "embedded"],
)
def node(request: pytest.FixtureRequest) -> Iterator[Blockable]:
    """One for all tests here: a RabbitMQ takes seconds to start."""
    if request.param == "embedded":
        with Broker() as started:
            yield started
    else:
        rabbitmq: RabbitMQ = request.getfixturevalue("private_rabbitmq")
        rabbitmq.clear()
        yield rabbitmq


@pytest.fixture
def clean_shared_vhost() -> None:
    """These tests share no vhost with others: nothing is to be cleaned."""


@pytest.fixture
def broker_url(node: Blockable) -> str:
    """Where `connect` connects to."""
    return node.url


@pytest.fixture
async def connect(connect: Connect, node: Blockable) -> AsyncIterator[Connect]:
    """Nobody is blocked when the connections are closed at the end: they would not be heard."""
    yield connect
    await unblock(node)


async def block(node: Blockable) -> None:
    await asyncio.to_thread(node.block_publishers)


async def unblock(node: Blockable) -> None:
    await asyncio.to_thread(node.unblock_publishers)


async def told(client: Client) -> str:
    """What the connection is told next: a reason, or that it is over."""
    news: Any = await client.next(0)
    assert isinstance(news, Connection.Blocked | Connection.Unblocked), news
    return news.reason if isinstance(news, Connection.Blocked) else ""


async def test_a_publisher_is_told_and_its_message_waits(
    node: Blockable, ch: Lane, far: Lane
) -> None:
    await ch.declare("q", exclusive=False)
    await ch.confirms()
    await block(node)
    ch.publish("", "q", b"waits")
    assert await told(ch.client) == "low on memory"
    assert await far.counts("q") == (0, 0)
    await unblock(node)
    assert await told(ch.client) == ""
    assert isinstance(await ch.next(), Basic.Ack)
    assert await far.bodies("q") == [b"waits"]


async def test_nothing_that_follows_the_publish_is_heard_until_then(
    node: Blockable, ch: Lane, ch2: Lane, far: Lane
) -> None:
    await ch.declare("q")
    await block(node)
    ch.publish("", "q", b"first")
    assert await told(ch.client) == "low on memory"
    ch2.publish("", "q", b"second")
    # Each channel asks after its own publish: RabbitMQ keeps order within a channel only.
    ch.send(Basic.Get(queue="q", no_ack=True))
    ch2.send(Basic.Get(queue="q", no_ack=True))
    assert await far.counts("q") == (0, 0)
    await unblock(node)
    assert await told(ch.client) == ""
    found = {(await ch.next()).body, (await ch2.next()).body}
    assert found == {b"first", b"second"}


async def test_who_published_before_is_told_when_it_publishes_again(
    node: Blockable, ch: Lane
) -> None:
    await ch.confirms()
    ch.publish("", "nowhere", b"before")
    assert isinstance(await ch.next(), Basic.Ack)
    await block(node)
    assert await ch.nothing_came()
    assert ch.client.put_back(0, []) == 0
    ch.publish("", "nowhere", b"again")
    assert await told(ch.client) == "low on memory"


async def test_consumers_go_on_draining(node: Blockable, ch: Lane, far: Lane) -> None:
    await ch.declare("q")
    for number in range(20):
        ch.publish("", "q", b"%d" % number)
    await far.until_ready("q", 20)
    await block(node)
    ch.publish("", "q", b"blocked")
    assert await told(ch.client) == "low on memory"
    await far.call(Basic.Qos(prefetch_count=2))
    await far.consume("q")
    for number in range(20):
        message = await far.delivery()
        assert message.body == b"%d" % number
        far.send(Basic.Ack(message.tag))
    await unblock(node)
    assert (await far.delivery()).body == b"blocked"


async def test_a_client_that_comes_while_memory_is_short_may_do_all_but_publish(
    node: Blockable, connect: Connect
) -> None:
    await block(node)
    late = await connect()
    lane = await late.channel()
    queue = await lane.declare(exclusive=True)
    await lane.consume(queue, no_ack=True)
    lane.publish("", queue, b"late")
    assert await told(late) == "low on memory"
    await unblock(node)
    assert await told(late) == ""
    assert (await lane.delivery()).body == b"late"


async def test_a_client_that_does_not_know_of_blocking_just_waits(
    node: Blockable, connect: Connect, far: Lane
) -> None:
    old = await connect(capabilities={})
    lane = await old.channel()
    queue = await far.declare()
    await block(node)
    lane.publish("", queue, b"patient")
    lane.send(Basic.Get(queue=queue, no_ack=True))
    assert await far.counts(queue) == (0, 0)
    await unblock(node)
    assert (await lane.next()).body == b"patient"


async def test_a_client_that_is_blocked_is_not_left_for_its_silence(
    node: Blockable, connect: Connect
) -> None:
    """It may beat as it likes, but is not read: the broker cannot know."""
    client = await connect(heartbeat=1)
    lane = await client.channel()
    await lane.confirms()
    await block(node)
    lane.publish("", "nowhere", b"patient")
    assert await told(client) == "low on memory"
    for _ in range(6):  # three seconds: the broker still beats
        assert (await client.frame()).kind == 8
    await unblock(node)
    assert await told(client) == ""
    assert isinstance(await lane.next(), Basic.Ack)


async def test_a_blocked_client_is_told_when_the_broker_closes_its_connection(
    node: Blockable, ch: Lane
) -> None:
    await block(node)
    ch.publish("", "nowhere", b"m")
    assert await told(ch.client) == "low on memory"
    await asyncio.to_thread(node.close_connections, "maintenance")
    assert (await ch.client.refusal()).code == 320
