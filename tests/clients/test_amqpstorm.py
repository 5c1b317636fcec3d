"""RabbitMQ's tutorials by amqpstorm."""

from __future__ import annotations

from collections.abc import Iterator

import amqpstorm
import pytest
from amqpstorm import Channel, Message


@pytest.fixture
def connection(broker_url: str) -> Iterator[amqpstorm.UriConnection]:
    with amqpstorm.UriConnection(f"{broker_url}?heartbeat=60") as connection:
        yield connection


@pytest.fixture
def channel(connection: amqpstorm.UriConnection) -> Channel:
    return connection.channel()


def deliveries(channel: Channel, count: int) -> list[Message]:
    """The next messages of the channel's consumers."""
    found = []
    for message in channel.build_inbound_messages(auto_decode=False):
        found.append(message)
        if len(found) == count:
            break
    return found


def bodies(channel: Channel, queue: str, count: int) -> list[bytes]:
    channel.basic.consume(queue=queue, no_ack=True)
    return [message.body for message in deliveries(channel, count)]


def test_amqpstorm_shares_a_work_queue(connection: amqpstorm.UriConnection) -> None:
    workers = [connection.channel() for _ in range(2)]
    for worker in workers:
        worker.queue.declare("tasks", durable=True)
        worker.basic.qos(prefetch_count=1)
        worker.basic.consume(queue="tasks")
    for task in ("1", "2", "3"):
        workers[0].basic.publish(task, "tasks", properties={"delivery_mode": 2})
    (first,), (second,) = [deliveries(worker, 1) for worker in workers]
    assert {first.body, second.body} == {b"1", b"2"}
    first.nack(requeue=True)
    (again,) = deliveries(workers[0], 1)
    assert (again.body, again.redelivered) == (first.body, True)
    again.ack()
    assert deliveries(workers[0], 1)[0].body == b"3"
    second.ack()


def test_amqpstorm_publishes_to_all_subscribers(connection: amqpstorm.UriConnection) -> None:
    subscribers = [connection.channel() for _ in range(2)]
    subscribers[0].exchange.declare("logs", "fanout")
    for subscriber in subscribers:
        queue = subscriber.queue.declare(exclusive=True)["queue"]
        subscriber.queue.bind(queue, "logs")
        subscriber.basic.consume(queue=queue, no_ack=True)
    subscribers[0].basic.publish("all", "", exchange="logs")
    assert [deliveries(subscriber, 1)[0].body for subscriber in subscribers] == [b"all", b"all"]


def test_amqpstorm_routes_by_key(channel: Channel) -> None:
    channel.exchange.declare("direct_logs", "direct")
    queue = channel.queue.declare(exclusive=True)["queue"]
    for severity in ("warning", "error"):
        channel.queue.bind(queue, "direct_logs", severity)
    for severity in ("info", "error", "debug", "warning"):
        channel.basic.publish(severity, severity, exchange="direct_logs")
    assert bodies(channel, queue, 2) == [b"error", b"warning"]


def test_amqpstorm_routes_by_topic(channel: Channel) -> None:
    channel.exchange.declare("topic_logs", "topic")
    queue = channel.queue.declare(exclusive=True)["queue"]
    for pattern in ("kern.*", "#.critical"):
        channel.queue.bind(queue, "topic_logs", pattern)
    for key in ("kern.info", "user.info", "kern.a.b", "user.critical", "critical"):
        channel.basic.publish(key, key, exchange="topic_logs")
    assert bodies(channel, queue, 3) == [b"kern.info", b"user.critical", b"critical"]


def test_amqpstorm_calls_and_answers(connection: amqpstorm.UriConnection) -> None:
    server, client = connection.channel(), connection.channel()
    server.queue.declare("rpc_queue")
    server.basic.consume(queue="rpc_queue")
    replies = client.queue.declare(exclusive=True)["queue"]
    client.basic.consume(queue=replies, no_ack=True)
    client.basic.publish("21", "rpc_queue", properties={"reply_to": replies, "correlation_id": "7"})
    (request,) = deliveries(server, 1)
    server.basic.publish(
        str(int(request.body) * 2),
        str(request.reply_to),
        properties={"correlation_id": request.correlation_id},
    )
    request.ack()
    (reply,) = deliveries(client, 1)
    assert (reply.body, reply.correlation_id) == (b"42", "7")


def test_amqpstorm_waits_for_confirms(channel: Channel) -> None:
    channel.confirm_deliveries()
    channel.queue.declare(
        "full", exclusive=True, arguments={"x-max-length": 1, "x-overflow": "reject-publish"}
    )
    assert channel.basic.publish("fits", "full") is True
    assert channel.basic.publish("does not", "full") is False
    with pytest.raises(amqpstorm.AMQPMessageError, match="NO_ROUTE"):
        channel.basic.publish("back", "nowhere", mandatory=True)


def test_amqpstorm_sends_frames_whose_payload_has_the_size_of_a_frame(channel: Channel) -> None:
    """It cuts bodies without room for the 8 bytes around them, which brokers take as well."""
    channel.queue.declare("large", exclusive=True)
    body = b"0123456789" * 30_000
    channel.basic.publish(body, "large")
    assert bodies(channel, "large", 1) == [body]
