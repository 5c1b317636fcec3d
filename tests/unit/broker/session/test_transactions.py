"""What transactions weigh, and that nothing of them is left."""

from __future__ import annotations

from typing import Any

import pytest

from leveret.amqp import methods
from leveret.broker.node import Node
from tests.unit.broker.world import Client, new_node


@pytest.fixture
def node() -> Node:
    return new_node()


def test_a_transaction_publishes_when_it_is_committed(node: Node) -> None:
    client = Client.opened(node)
    client.ask(methods.Queue.Declare(queue="q"))
    client.ask(methods.Tx.Select())
    client.publish("q", b"x")
    look = methods.Queue.Declare(queue="q", passive=True)
    assert client.ask(look).message_count == 0
    client.ask(methods.Tx.Commit())
    assert client.ask(look).message_count == 1
    client.publish("q", b"y")
    client.ask(methods.Tx.Rollback())
    assert client.ask(look).message_count == 1


def weighty(client: Client) -> None:
    """A transaction of a message whose bytes are in its headers, and one whose are in its body."""
    client.ask(methods.Tx.Select())
    client.publish("q", b"", headers={"h": "x" * 1000})
    client.publish("nowhere", b"x" * 1000)
    assert client.node.memory.used > 2000


def test_an_uncommitted_transaction_weighs_nothing_once_its_connection_is_gone(node: Node) -> None:
    client = Client.opened(node)
    weighty(client)
    client.session.lost()
    assert node.memory.used == 0


def test_an_uncommitted_transaction_weighs_nothing_once_its_channel_is_gone(node: Node) -> None:
    client = Client.opened(node)
    weighty(client)
    client.ask(methods.Channel.Close(reply_code=200, reply_text=""))
    assert node.memory.used == 0


@pytest.mark.parametrize("end", [methods.Tx.Commit, methods.Tx.Rollback])
def test_a_transaction_weighs_nothing_after_its_end(node: Node, end: Any) -> None:
    client = Client.opened(node)
    weighty(client)
    client.ask(end())
    assert node.memory.used == 0
