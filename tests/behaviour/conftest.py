"""A client, a host for services and a raw peer, each on a connection of its own, and a tidy end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

import leveret
from leveret import Rabbit, Service
from leveret.client.calls import client as calls_client
from leveret.client.calls import route, table, verdicts
from leveret.testing import RabbitMQ
from tests.behaviour.patience import PATIENCE, until_found
from tests.behaviour.raw import RawPeer


@pytest.fixture(autouse=True)
async def nothing_is_left_behind() -> AsyncIterator[None]:
    """No task outlives a test, and none of asyncio's callbacks failed unseen."""
    loop = asyncio.get_running_loop()
    complaints: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _loop, context: complaints.append(context))
    before = asyncio.all_tasks()
    yield

    async def left() -> set[asyncio.Task[Any]]:
        current = asyncio.current_task()
        return {task for task in asyncio.all_tasks() - before if task is not current}

    await until_found(left, set(), "all tasks end")
    assert not complaints


@pytest.fixture(autouse=True)
def stalls_of_the_machine_are_no_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that stalls for 20 ms cannot know as much, and says "maybe" where it would say "no".

    Tests of that moment are those of the files themselves.
    """
    monkeypatch.setattr(verdicts, "BACK_AT_ONCE", PATIENCE)
    monkeypatch.setattr(route, "BESIDE", PATIENCE)


@pytest.fixture
def rabbitmq_url(broker_url: str) -> str:
    """The behaviour of Leveret is the same on each broker; so the tests run on each."""
    return broker_url


@pytest.fixture
async def client(rabbitmq_url: str) -> AsyncIterator[Rabbit]:
    """A connection that calls."""
    async with leveret.connect(rabbitmq_url) as rabbit:
        yield rabbit


@pytest.fixture
async def host(rabbitmq_url: str) -> AsyncIterator[Rabbit]:
    """A connection that serves."""
    async with leveret.connect(rabbitmq_url) as rabbit:
        yield rabbit


@pytest.fixture
async def other_host(rabbitmq_url: str) -> AsyncIterator[Rabbit]:
    """Another connection that serves."""
    async with leveret.connect(rabbitmq_url) as rabbit:
        yield rabbit


@pytest.fixture
async def mortal_client(rabbitmq_url: str) -> AsyncIterator[Rabbit]:
    """A connection that calls, and stays broken once it is."""
    async with leveret.connect(rabbitmq_url, reconnect=False) as rabbit:
        yield rabbit


@pytest.fixture
async def mortal_host(rabbitmq_url: str) -> AsyncIterator[Rabbit]:
    """A connection that serves, and stays broken once it is."""
    async with leveret.connect(rabbitmq_url, reconnect=False) as rabbit:
        yield rabbit


@pytest.fixture
def patient_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls end by what the server or the broker says of their deadlines, however late that is.

    Otherwise they end 80 ms after their deadlines, and a busy machine may be late for more.
    """
    monkeypatch.setattr(table, "REPLY_GRACE", PATIENCE)
    monkeypatch.setattr(calls_client, "REPLY_GRACE", PATIENCE)
    monkeypatch.setattr(calls_client, "LATEST_END", PATIENCE)


@pytest.fixture
async def raw(rabbitmq_url: str) -> AsyncIterator[RawPeer]:
    """A peer that speaks bare AMQP."""
    peer = await RawPeer.open(rabbitmq_url)
    yield peer
    await peer.close()


@pytest.fixture(autouse=True)
async def clean_shared_vhost(request: pytest.FixtureRequest) -> AsyncIterator[None]:
    """Where all tests share one vhost (see tests/conftest.py), delete the queues of this one."""
    on_rabbitmq = {"rabbitmq_url", "broker_url"} & set(request.fixturenames)
    if not on_rabbitmq or request.getfixturevalue("broker_kind") != "rabbitmq":
        yield
        return
    broker: RabbitMQ = request.getfixturevalue("rabbitmq")
    yield
    if not broker.owned:
        await _delete_queues(broker.url)


async def _delete_queues(url: str) -> None:
    peer = await RawPeer.open(url)
    for service in _services(Service):
        for spec in service.__leveret__.methods.values():
            await peer.delete(spec.queue_name)
    await peer.close()


def _services(base: type[Service]) -> Iterator[type[Service]]:
    for service in base.__subclasses__():
        yield service
        yield from _services(service)
