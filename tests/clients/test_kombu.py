"""RabbitMQ's tutorials by kombu, the messaging library of Celery (on py-amqp)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import kombu
import pytest
from amqp.exceptions import MessageNacked
from kombu import Consumer, Exchange, Producer, Queue

PATIENCE = 15


@pytest.fixture
def connection(broker_url: str) -> Iterator[kombu.Connection]:
    url = broker_url.replace("amqp://", "pyamqp://")
    with kombu.Connection(url, transport_options={"confirm_publish": True}) as connection:
        yield connection


class Inbox:
    """A consumer on a channel of its own, and what came to it."""

    def __init__(self, connection: kombu.Connection, queue: Queue, *, prefetch: int = 0) -> None:
        self._connection = connection
        self.channel = connection.channel()
        self.came: list[Any] = []
        self._consumer = Consumer(
            self.channel,
            [queue],
            on_message=self.came.append,
            prefetch_count=prefetch or None,
            auto_declare=False,  # it is; and a name of the broker's may not be declared again
            accept=["text/plain", "json"],
        )
        self._consumer.consume()

    def next(self) -> Any:
        """The next message."""
        while not self.came:
            self._connection.drain_events(timeout=PATIENCE)
        return self.came.pop(0)

    def bodies(self, count: int) -> list[str]:
        return [self.next().payload for _ in range(count)]


def declared(connection: kombu.Connection, queue: Queue) -> Queue:
    bound = queue(connection.default_channel)
    bound.declare()
    return bound


def test_kombu_shares_a_work_queue(connection: kombu.Connection) -> None:
    tasks = declared(connection, Queue("tasks", durable=True))
    workers = [Inbox(connection, tasks, prefetch=1) for _ in range(2)]
    producer = Producer(connection.default_channel)
    for task in ("1", "2", "3"):
        producer.publish(task, routing_key="tasks")
    first, second = [worker.next() for worker in workers]
    assert {first.payload, second.payload} == {"1", "2"}
    first.requeue()
    again = workers[0].next()
    assert (again.payload, again.delivery_info["redelivered"]) == (first.payload, True)
    again.ack()
    assert workers[0].next().payload == "3"
    second.ack()


def test_kombu_publishes_to_all_subscribers(connection: kombu.Connection) -> None:
    logs = Exchange("logs", "fanout", durable=False)
    inboxes = [
        Inbox(connection, declared(connection, Queue("", logs, exclusive=True, no_ack=True)))
        for _ in range(2)
    ]
    Producer(connection.default_channel, logs).publish("all")
    assert [inbox.bodies(1) for inbox in inboxes] == [["all"], ["all"]]


def test_kombu_routes_by_key(connection: kombu.Connection) -> None:
    logs = Exchange("direct_logs", "direct", durable=False)
    keys = [kombu.binding(logs, severity) for severity in ("warning", "error")]
    inbox = Inbox(connection, declared(connection, Queue("picked", bindings=keys, no_ack=True)))
    producer = Producer(connection.default_channel, logs)
    for severity in ("info", "error", "debug", "warning"):
        producer.publish(severity, routing_key=severity)
    assert inbox.bodies(2) == ["error", "warning"]


def test_kombu_routes_by_topic(connection: kombu.Connection) -> None:
    logs = Exchange("topic_logs", "topic", durable=False)
    keys = [kombu.binding(logs, pattern) for pattern in ("kern.*", "#.critical")]
    inbox = Inbox(connection, declared(connection, Queue("picked", bindings=keys, no_ack=True)))
    producer = Producer(connection.default_channel, logs)
    for key in ("kern.info", "user.info", "kern.a.b", "user.critical", "critical"):
        producer.publish(key, routing_key=key)
    assert inbox.bodies(3) == ["kern.info", "user.critical", "critical"]


def test_kombu_calls_and_answers(connection: kombu.Connection) -> None:
    server = Inbox(connection, declared(connection, Queue("rpc_queue")))
    replies = declared(connection, Queue("", exclusive=True, no_ack=True))
    client = Inbox(connection, replies)
    producer = Producer(connection.default_channel)
    producer.publish({"n": 21}, routing_key="rpc_queue", reply_to=replies.name, correlation_id="7")
    request = server.next()
    producer.publish(
        {"result": request.payload["n"] * 2},
        routing_key=request.properties["reply_to"],
        correlation_id=request.properties["correlation_id"],
    )
    request.ack()
    reply = client.next()
    assert (reply.payload, reply.properties["correlation_id"]) == ({"result": 42}, "7")


def test_kombu_waits_for_confirms(connection: kombu.Connection) -> None:
    full = Queue(
        "full", exclusive=True, max_length=1, queue_arguments={"x-overflow": "reject-publish"}
    )
    declared(connection, full)
    producer = Producer(connection.default_channel)
    producer.publish("fits", routing_key="full")
    with pytest.raises(MessageNacked):
        producer.publish("does not", routing_key="full")
    returned: list[Any] = []
    connection.default_channel.events["basic_return"].add(
        lambda error, exchange, routing_key, message: returned.append(message.body)
    )
    producer.publish("back", routing_key="nowhere", mandatory=True)
    assert returned == ["back"]


def test_kombu_raises_the_prefetch_of_a_consumer_that_runs(connection: kombu.Connection) -> None:
    """As a Celery worker does for each task that is not due yet: it holds that, and wants more."""
    tasks = declared(connection, Queue("tasks", durable=True))
    inbox = Inbox(connection, tasks)
    # On the consumer's channel: what another one publishes may come to the queue before it hears
    # that there is a prefetch at all.
    producer = Producer(inbox.channel)
    if not connection.connection.server_properties["version"].startswith("4."):
        # Else kombu would take `global=false` for the prefetch of a channel, as of RabbitMQ 4.
        assert not connection.qos_semantics_matches_spec
    held = []
    for count in (1, 2, 3):
        inbox.channel.basic_qos(0, count, True)
        if count == 1:
            for task in "1234":
                producer.publish(task, routing_key="tasks")
        held.append(inbox.next())
    assert [task.payload for task in held] == ["1", "2", "3"]
    assert not inbox.came
    held[1].ack()
    assert inbox.next().payload == "4"
