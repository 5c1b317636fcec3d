"""What the tests of the documents share: connections, a bare client, and a tidy end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pika
import pytest

import leveret
from leveret import Rabbit
from leveret.testing import RabbitMQ
from tests.docs.bare_client import BareClient
from tests.docs.protocol_services import Desk, Fibonacci


@pytest.fixture
def bare(rabbitmq_url: str) -> Iterator[BareClient]:
    with BareClient(rabbitmq_url, name="bare") as client:
        yield client


@pytest.fixture
async def rabbit(rabbitmq_url: str) -> AsyncIterator[Rabbit]:
    async with leveret.connect(rabbitmq_url) as connected:
        yield connected


@pytest.fixture
async def desk(rabbit: Rabbit) -> AsyncIterator[Desk]:
    """A desk that Leveret serves."""
    served = Desk()
    async with rabbit.serving(served, Fibonacci()):
        yield served
        served.may_end.set()


@pytest.fixture(autouse=True)
def clean_shared_vhost(rabbitmq: RabbitMQ) -> Iterator[None]:
    """Where all tests share one vhost (see tests/conftest.py), delete the queues of this one."""
    yield
    if not rabbitmq.owned:
        connection = pika.BlockingConnection(pika.URLParameters(rabbitmq.url))
        for service in (Desk, Fibonacci):
            for spec in service.__leveret__.methods.values():
                connection.channel().queue_delete(spec.queue_name)
        connection.close()
