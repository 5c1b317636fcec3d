"""RabbitMQ's tutorials by pika, with its blocking connection."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import NackError, UnroutableError

PATIENCE = 15


@pytest.fixture
def connection(broker_url: str) -> Iterator[pika.BlockingConnection]:
    with pika.BlockingConnection(pika.URLParameters(broker_url)) as connection:
        yield connection


@pytest.fixture
def channel(connection: pika.BlockingConnection) -> BlockingChannel:
    return connection.channel()


def deliveries(
    channel: BlockingChannel, queue: str, count: int, *, auto_ack: bool = True
) -> list[tuple[Any, Any, bytes]]:
    """The next messages of a queue: how they came, their properties and bodies."""
    found: list[tuple[Any, Any, bytes]] = []
    for message in channel.consume(queue, auto_ack=auto_ack, inactivity_timeout=PATIENCE):
        assert message[0] is not None, f"only {found} came"
        found.append(message)
        if len(found) == count:
            break
    channel.cancel()
    return found


def bodies(channel: BlockingChannel, queue: str, count: int) -> list[bytes]:
    return [body for _, _, body in deliveries(channel, queue, count)]


def test_pika_shares_a_work_queue(connection: pika.BlockingConnection) -> None:
    workers = [connection.channel() for _ in range(2)]
    got: list[tuple[int, bytes, bool]] = []
    tags: list[int] = []

    def work(number: int) -> Any:
        def taken(channel: Any, method: Any, properties: Any, body: bytes) -> None:
            got.append((number, body, method.redelivered))
            tags.append(method.delivery_tag)

        return taken

    for number, worker in enumerate(workers):
        worker.queue_declare("tasks", durable=True)
        worker.basic_qos(prefetch_count=1)
        worker.basic_consume("tasks", work(number))
    for task in (b"1", b"2", b"3"):
        workers[0].basic_publish("", "tasks", task, pika.BasicProperties(delivery_mode=2))

    def until(count: int) -> None:
        while len(got) < count:
            connection.process_data_events(time_limit=PATIENCE)

    until(2)
    assert sorted(got) == [(0, b"1", False), (1, b"2", False)]
    mine = got.index((0, b"1", False))
    workers[0].basic_nack(tags[mine], requeue=True)
    until(3)
    assert got[2] == (0, b"1", True)
    workers[0].basic_ack(tags[2])
    until(4)
    assert got[3] == (0, b"3", False)


def test_pika_publishes_to_all_subscribers(channel: BlockingChannel) -> None:
    channel.exchange_declare("logs", "fanout")
    queues = [channel.queue_declare("", exclusive=True).method.queue for _ in range(2)]
    for queue in queues:
        channel.queue_bind(queue, "logs")
    channel.basic_publish("logs", "", b"all")
    assert [bodies(channel, queue, 1) for queue in queues] == [[b"all"], [b"all"]]


def test_pika_routes_by_key(channel: BlockingChannel) -> None:
    channel.exchange_declare("direct_logs", "direct")
    queue = channel.queue_declare("", exclusive=True).method.queue
    for severity in ("warning", "error"):
        channel.queue_bind(queue, "direct_logs", severity)
    for severity in ("info", "error", "debug", "warning"):
        channel.basic_publish("direct_logs", severity, severity.encode())
    assert bodies(channel, queue, 2) == [b"error", b"warning"]


def test_pika_routes_by_topic(channel: BlockingChannel) -> None:
    channel.exchange_declare("topic_logs", "topic")
    queue = channel.queue_declare("", exclusive=True).method.queue
    for pattern in ("kern.*", "#.critical"):
        channel.queue_bind(queue, "topic_logs", pattern)
    for key in ("kern.info", "user.info", "kern.a.b", "user.critical", "critical"):
        channel.basic_publish("topic_logs", key, key.encode())
    assert bodies(channel, queue, 3) == [b"kern.info", b"user.critical", b"critical"]


@pytest.mark.parametrize("pseudo", [False, True], ids=["reply queue", "direct reply-to"])
def test_pika_calls_and_answers(connection: pika.BlockingConnection, pseudo: bool) -> None:
    server, client = connection.channel(), connection.channel()
    server.queue_declare("rpc_queue")
    replies: list[tuple[str, bytes]] = []

    def serve(channel: Any, method: Any, properties: Any, body: bytes) -> None:
        channel.basic_publish(
            "",
            properties.reply_to,
            str(int(body) * 2).encode(),
            pika.BasicProperties(correlation_id=properties.correlation_id),
        )
        channel.basic_ack(method.delivery_tag)

    def answered(channel: Any, method: Any, properties: Any, body: bytes) -> None:
        replies.append((properties.correlation_id, body))

    server.basic_consume("rpc_queue", serve)
    if pseudo:
        reply_to = "amq.rabbitmq.reply-to"
    else:
        reply_to = client.queue_declare("", exclusive=True).method.queue
    client.basic_consume(reply_to, answered, auto_ack=True)
    client.basic_publish(
        "", "rpc_queue", b"21", pika.BasicProperties(reply_to=reply_to, correlation_id="7")
    )
    while not replies:
        connection.process_data_events(time_limit=PATIENCE)
    assert replies == [("7", b"42")]


def test_pika_waits_for_confirms(channel: BlockingChannel) -> None:
    channel.confirm_delivery()
    channel.queue_declare(
        "full", exclusive=True, arguments={"x-max-length": 1, "x-overflow": "reject-publish"}
    )
    channel.basic_publish("", "full", b"fits")
    with pytest.raises(NackError):
        channel.basic_publish("", "full", b"does not")
    with pytest.raises(UnroutableError):
        channel.basic_publish("", "nowhere", b"back", mandatory=True)


WAITING: Final = 1_000
"""Messages in each queue. RabbitMQ gives turns by chance: a queue may have dozens on end."""


def test_pika_shares_a_prefetch_among_the_queues_of_a_channel(
    connection: pika.BlockingConnection, channel: BlockingChannel
) -> None:
    worker = connection.channel()
    worker.basic_qos(prefetch_count=2, global_qos=True)
    got: list[str] = []

    def work(channel: Any, method: Any, properties: Any, body: bytes) -> None:
        got.append(method.consumer_tag)
        channel.basic_ack(method.delivery_tag)

    for queue in ("a", "b", "c"):
        channel.queue_declare(queue, exclusive=True)
        for _ in range(WAITING):
            channel.basic_publish("", queue, b"")
    for queue in ("a", "b", "c"):
        worker.basic_consume(queue, work, consumer_tag=queue)
    while any(got.count(queue) < 2 for queue in ("a", "b", "c")):
        connection.process_data_events(time_limit=PATIENCE)
    assert max(map(got.count, got)) < WAITING, "a queue was served only once another was empty"


def test_pika_numbers_direct_replies_beside_its_messages(
    connection: pika.BlockingConnection, channel: BlockingChannel
) -> None:
    """A reply has the tag of the next message, which is acknowledged by that tag all the same."""
    client = connection.channel()
    came: list[tuple[bytes, int]] = []

    def note(channel: Any, method: Any, properties: Any, body: bytes) -> None:
        came.append((body, method.delivery_tag))

    def until(count: int) -> None:
        while len(came) < count:
            connection.process_data_events(time_limit=PATIENCE)

    for queue in ("requests", "news"):
        channel.queue_declare(queue, exclusive=True)
    client.basic_consume("amq.rabbitmq.reply-to", note, auto_ack=True)
    client.basic_publish(
        "", "requests", b"?", pika.BasicProperties(reply_to="amq.rabbitmq.reply-to")
    )
    ((_, request, _),) = deliveries(channel, "requests", 1)
    client.basic_consume("news", note)
    for turn, body in enumerate((b"1", b"2"), 1):
        channel.basic_publish("", "news", body)
        until(2 * turn - 1)
        channel.basic_publish("", request.reply_to, b"!")
        until(2 * turn)
    assert came == [(b"1", 1), (b"!", 2), (b"2", 2), (b"!", 3)]
    client.basic_ack(2, multiple=True)
    assert client.is_open
