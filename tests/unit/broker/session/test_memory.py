"""What counts for the memory of a broker, and what becomes of those who take too much of it."""

from __future__ import annotations

from typing import Any

import pytest

from leveret.amqp import frames, methods
from leveret.amqp.events import Method
from leveret.broker.node import Node
from tests.unit.broker.world import Client, new_node


@pytest.fixture
def node() -> Node:
    return new_node()


LARGE: dict[str, Any] = {"x-of-no-meaning": ["x" * 1000]}


def said(client: Client) -> list[str]:
    """The names of the methods that the broker has sent."""
    return [event.method.name for event in client.received() if isinstance(event, Method)]


def test_who_publishes_while_memory_is_short_is_told_and_not_read() -> None:
    node = new_node(memory=5000)
    client = Client.opened(node, **{"connection.blocked": True})
    queue = node.vhosts["/"].declare_queue("q", None)
    client.publish("q", bytes(6000))
    assert said(client) == []
    client.publish("q", b"one too many")
    assert said(client) == ["connection.blocked"]
    assert (queue.ready, client.socket.reading) == (1, False)
    queue.purge()
    node.end_pass()
    assert said(client) == ["connection.unblocked"]
    assert (queue.ready, client.socket.reading) == (1, True)


def test_publishers_are_let_go_on_as_far_as_there_is_memory() -> None:
    node = new_node(memory=5000)
    queue = node.vhosts["/"].declare_queue("q", None)
    clients = [Client.opened(node, **{"connection.blocked": True}) for _ in range(3)]
    clients[0].publish("q", bytes(6000))
    for client in clients:
        client.publish("q", bytes(6000))
    for left in (2, 1, 0):
        queue.purge()
        node.end_pass()
        assert sum(not client.socket.reading for client in clients) == left
        assert queue.ready == 1


def test_messages_that_are_never_finished_end_the_connection() -> None:
    node = new_node(memory=5000)
    client = Client.opened(node)
    client.send(2, methods.Channel.Open())
    client.received()
    for channel in (1, 2):
        half = frames.publish_prefix(channel, "", "q")
        half += frames.content_frames(channel, b"\0\0", bytes(6000), 3008)
        client.send_bytes(half[:-3008])  # all but the last of its frames
    (close,) = client.received()
    assert isinstance(close, Method)
    assert isinstance(close.method, methods.Connection.Close)
    assert close.method.reply_code == 506


Queue, Exchange = methods.Queue, methods.Exchange
DECLARED: dict[str, list[Any]] = {
    "a queue": [Queue.Declare(queue="q", arguments=LARGE), Queue.Delete(queue="q")],
    "an exchange": [
        Exchange.Declare(exchange="x", arguments=LARGE),
        Exchange.Delete(exchange="x"),
    ],
    "a binding that is undone": [
        Queue.Declare(queue="q"),
        Queue.Bind(queue="q", exchange="amq.direct", arguments=LARGE),
        Queue.Unbind(queue="q", exchange="amq.direct", arguments=LARGE),
    ],
    "a binding to a queue that is deleted": [
        Queue.Declare(queue="q"),
        Queue.Bind(queue="q", exchange="amq.direct", arguments=LARGE),
        Queue.Delete(queue="q"),
    ],
    "a binding of an exchange that is deleted": [
        Exchange.Declare(exchange="x"),
        Exchange.Bind(destination="amq.fanout", source="x", arguments=LARGE),
        Exchange.Delete(exchange="x"),
    ],
    "a binding of an exchange to itself": [
        Exchange.Declare(exchange="x"),
        Exchange.Bind(destination="x", source="x", arguments=LARGE),
        Exchange.Delete(exchange="x"),
    ],
}
"""What weighs its arguments until the last of these methods."""


@pytest.mark.parametrize("what", DECLARED)
def test_arguments_weigh_as_long_as_what_has_them_is_there(what: str) -> None:
    node = new_node()
    client = Client.opened(node)
    *made, gone = DECLARED[what]
    for _ in range(2):  # the second time nothing is new
        for method in made:
            client.ask(method)
        assert 1000 < node.memory.used < 1500
    client.ask(gone)
    assert node.memory.used == 0


@pytest.mark.parametrize(
    "method",
    [
        lambda number: Queue.Declare(queue=f"q{number}", arguments=LARGE),
        lambda number: Exchange.Declare(exchange=f"x{number}", arguments=LARGE),
        lambda number: Queue.Bind(
            queue="q", exchange="amq.direct", routing_key=str(number), arguments=LARGE
        ),
    ],
    ids=["queues", "exchanges", "bindings"],
)
def test_who_declares_more_arguments_than_there_is_memory_loses_his_connection(
    method: Any,
) -> None:
    node = new_node(memory=5000)
    client = Client.opened(node)
    client.ask(Queue.Declare(queue="q"))
    answers = [client.ask(method(number)) for number in range(5)]
    assert [getattr(answer, "reply_code", 0) for answer in answers] == [0, 0, 0, 0, 506]
    assert node.memory.used < 5000
    other = Client.opened(node)
    assert isinstance(other.ask(Queue.Declare(queue="small")), Queue.DeclareOk)
    vhost = node.vhosts["/"]
    for queue in list(vhost.queues.values()):
        vhost.delete_queue(queue)
    for number in range(5):
        vhost.delete_exchange(f"x{number}")
    assert node.memory.used == 0  # nothing is there of what was refused


def test_gets_of_a_queue_that_may_expire_leave_no_timers(node: Node) -> None:
    client = Client.opened(node)
    client.ask(Queue.Declare(queue="soon", arguments={"x-expires": 1000}))
    client.ask(Queue.Declare(queue="q", arguments={"x-expires": 2000}))
    for _ in range(1000):
        client.ask(methods.Basic.Get(queue="q"))
    assert node.clock.timers < 100
