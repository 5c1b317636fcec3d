"""The fixtures of `tests/conftest.py`: no test meets what another one left."""

from __future__ import annotations

from urllib.parse import urlsplit

import pika
import pytest

from leveret.testing import RabbitMQ


@pytest.mark.parametrize("durable", [True, False])
def test_the_vhost_of_a_test_is_empty(rabbitmq_url: str, durable: bool) -> None:
    # Were the vhost shared, the second declaration would fail: PRECONDITION_FAILED.
    with pika.BlockingConnection(pika.URLParameters(rabbitmq_url)) as connection:
        connection.channel().queue_declare("the-same-name", durable=durable)


def test_the_shared_broker_takes_orders_for_one_vhost(
    rabbitmq: RabbitMQ, rabbitmq_url: str
) -> None:
    connection = pika.BlockingConnection(pika.URLParameters(rabbitmq_url))
    assert rabbitmq.close_connections("gone", vhost=urlsplit(rabbitmq_url).path[1:]) == 1
    with pytest.raises(pika.exceptions.ConnectionClosedByBroker, match="gone"):
        connection.process_data_events(time_limit=20)


def test_a_broker_of_ones_own_is_another_one(rabbitmq: RabbitMQ, own_rabbitmq: RabbitMQ) -> None:
    own_rabbitmq.kill()
    assert rabbitmq.is_up
