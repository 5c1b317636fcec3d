from __future__ import annotations

import pytest

from leveret.amqp import methods
from leveret.broker.node import Node
from tests.unit.broker.world import Client, FakeSocket, message, new_node


@pytest.fixture
def node() -> Node:
    return new_node()


def test_a_vhost_is_made_once(node: Node) -> None:
    assert node.add_vhost("a") is node.add_vhost("a")
    assert set(node.vhosts) == {"/", "a"}


def test_a_session_is_known_until_its_socket_is_lost(node: Node) -> None:
    session = node.open_session(FakeSocket(), "peer")
    assert list(node.sessions) == [session]
    session.lost()
    assert not node.sessions


def test_dead_letters_are_published_at_the_end_of_a_pass(node: Node) -> None:
    vhost = node.vhosts["/"]
    dead = vhost.declare_queue("dead", None)
    arguments = {
        "x-message-ttl": 10,
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": "dead",
    }
    vhost.declare_queue("q", None, arguments=arguments).publish(message("x"))
    node.clock.tick(node.clock.now + 1)
    assert dead.ready == 0
    node.end_pass()
    assert dead.ready == 1


def test_those_who_publish_while_memory_is_short_go_on_when_it_is_free(node: Node) -> None:
    client = Client.opened(node)
    client.ask(methods.Queue.Declare(queue="q"))
    node.memory.force(True)
    client.publish("q")
    assert not client.socket.reading
    node.memory.force(False)
    assert client.socket.reading
    assert node.vhosts["/"].queue("q").ready == 1
