"""The fixtures of `tests/conftest.py`: no test meets what another one left."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlsplit

import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel

from leveret.testing import RabbitMQ
from tests.rabbitmq.broker import RabbitMQ as OwnRabbitMQ
from tests.vhosts import Vhosts


def channel_in(rabbitmq: RabbitMQ, vhost: str) -> BlockingChannel:
    return pika.BlockingConnection(pika.URLParameters(rabbitmq.url + vhost)).channel()


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


def test_a_broker_of_ones_own_is_as_new_after_all_that_can_be_done_to_it(
    own_rabbitmq: OwnRabbitMQ,
) -> None:
    def seen() -> str:
        return own_rabbitmq.evaluate(
            "[lists:sort(rabbit_vhost:list_names()), rabbit_auth_backend_internal:list_users(), "
            "rabbit_auth_backend_internal:list_permissions(), rabbit_amqqueue:list(), "
            "rabbit_alarm:get_alarms()]"
        )

    new = seen()
    channel = channel_in(own_rabbitmq, "")
    channel.queue_declare("left")
    own_rabbitmq.add_vhost("left")
    own_rabbitmq.evaluate(
        'rabbit_auth_backend_internal:add_user(<<"left">>, <<"secret">>, <<"leveret">>)'
    )
    own_rabbitmq.block_publishers()
    assert seen() != new
    own_rabbitmq.clear()
    assert seen() == new
    with pytest.raises(pika.exceptions.ConnectionClosedByBroker):
        channel.connection.process_data_events(time_limit=20)
    channel = channel_in(own_rabbitmq, "")
    channel.confirm_delivery()
    channel.basic_publish("", "nowhere", b"is confirmed")
    channel.connection.close()


def test_a_vhost_is_emptied_and_used_again(rabbitmq: RabbitMQ, worker_id: str) -> None:
    if not rabbitmq.owned:
        pytest.skip("it is not ours to make vhosts in")
    vhosts = Vhosts(rabbitmq, f"{worker_id}-emptied")
    name = vhosts.take()
    for durable, kind in ((True, "direct"), (False, "fanout")):
        channel = channel_in(rabbitmq, name)
        channel.queue_declare("q", durable=durable)
        channel.queue_declare("exclusive", exclusive=True)
        channel.exchange_declare("e", kind)
        channel.queue_bind("q", "e", "key")
        channel.queue_bind("q", "amq.direct", "key")
        channel.basic_publish("", "q", b"left", pika.BasicProperties(delivery_mode=2))
        channel.connection.close()
        vhosts.give_back(name)
        assert vhosts.take() == name
    channel = channel_in(rabbitmq, name)
    assert channel.queue_declare("q", exclusive=True).method.message_count == 0
    channel.connection.close()
    rabbitmq.delete_vhost(name)


def _quorum_queue(channel: BlockingChannel) -> None:
    channel.queue_declare("q", durable=True, arguments={"x-queue-type": "quorum"})


def _binding(channel: BlockingChannel) -> None:
    channel.exchange_bind("amq.fanout", "amq.direct", "key")


@pytest.mark.parametrize(
    "leave", [_quorum_queue, _binding, None], ids=["quorum queue", "binding", "connection"]
)
def test_a_vhost_in_which_something_would_stay_is_not_used_again(
    leave: Callable[[BlockingChannel], None] | None, rabbitmq: RabbitMQ, worker_id: str
) -> None:
    if not rabbitmq.owned:
        pytest.skip("it is not ours to make vhosts in")
    vhosts = Vhosts(rabbitmq, f"{worker_id}-{leave and leave.__name__}")
    name = vhosts.take()
    channel = channel_in(rabbitmq, name)
    if leave is not None:
        leave(channel)
        channel.connection.close()
    vhosts.give_back(name)  # and without anything else, the connection is still open
    assert name not in rabbitmq.evaluate("rabbit_vhost:list_names()")
    if leave is None:
        with pytest.raises(pika.exceptions.ConnectionClosedByBroker):
            channel.connection.process_data_events(time_limit=20)
    other = vhosts.take()
    assert other != name
    rabbitmq.delete_vhost(other)
