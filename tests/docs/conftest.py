"""What the tests of the documents share: connections, a bare client, and a tidy end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pika
import pytest

import leveret
from leveret import Rabbit, Service
from leveret.testing import RabbitMQ
from tests.docs.bare_client import BareClient
from tests.docs.pages import files
from tests.docs.protocol_services import Desk, Fibonacci
from tests.docs.shell import Shell


@pytest.fixture
def bare(rabbitmq_url: str) -> Iterator[BareClient]:
    with BareClient(rabbitmq_url, name="bare") as client:
        yield client


@pytest.fixture
async def rabbit(rabbitmq_url: str) -> AsyncIterator[Rabbit]:
    async with leveret.connect(rabbitmq_url) as connected:
        yield connected


@pytest.fixture
def shell(rabbitmq_url: str, tmp_path: Path) -> Shell:
    """A folder with README's files in it."""
    for name, text in files().items():
        (tmp_path / name).write_text(text)
    return Shell(tmp_path, rabbitmq_url)


@pytest.fixture
async def desk(rabbit: Rabbit) -> AsyncIterator[Desk]:
    """A desk that Leveret serves."""
    served = Desk()
    async with rabbit.serving(served, Fibonacci()):
        yield served
        served.may_end.set()


@pytest.fixture(autouse=True)
def clean_shared_vhost(request: pytest.FixtureRequest) -> Iterator[None]:
    """Where all tests share one vhost (see tests/conftest.py), delete the queues of this one."""
    if "rabbitmq_url" not in request.fixturenames:
        yield
        return
    broker: RabbitMQ = request.getfixturevalue("rabbitmq")
    yield
    if not broker.owned:
        with pika.BlockingConnection(pika.URLParameters(broker.url)) as connection:
            for service in services(Service):
                for spec in service.__leveret__.methods.values():
                    connection.channel().queue_delete(spec.queue_name)


def services(base: type[Service]) -> Iterator[type[Service]]:
    """All services that tests have defined so far, without those that were refused."""
    for service in base.__subclasses__():
        if "__leveret__" in vars(service):
            yield service
        yield from services(service)
