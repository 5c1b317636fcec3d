"""Transactions: what they settle, what they weigh, and that nothing of them is left."""

from __future__ import annotations

from typing import Any

import pytest

from leveret.amqp import methods
from leveret.broker.model.messages import Entry
from leveret.broker.node import Node
from leveret.broker.session.transactions import Outcome, Transaction
from leveret.broker.session.unacked import Ledger
from tests.unit.broker.world import Client, World, message, new_node


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


# -- a transaction without a channel -------------------------------------------------------------


class Alone:
    """A transaction, its ledger, and five deliveries of one queue."""

    def __init__(self) -> None:
        self.world = World()
        self.queue = self.world.queue()
        self.ledger = Ledger()
        self.transaction = Transaction(self.ledger, self.world.memory)
        self.entries = [Entry(message(str(n)), n, None) for n in range(1, 6)]
        for entry in self.entries:
            self.ledger.add(entry, self.queue, None)


def test_neighbours_of_one_outcome_are_settled_together_by_tag() -> None:
    alone = Alone()
    for tag, outcome in (
        (2, Outcome.ACKED),
        (1, Outcome.ACKED),
        (3, Outcome.REJECTED),
        (5, Outcome.REQUEUED),
        (4, Outcome.ACKED),
    ):
        alone.transaction.settle([tag], outcome)
    settled = alone.transaction.commit_settled()
    assert [
        (group.outcome, [int(entry.message.body) for entry, _, _ in group.deliveries])
        for group in settled
    ] == [
        (Outcome.ACKED, [1, 2]),
        (Outcome.REJECTED, [3]),
        (Outcome.REQUEUED, [5]),
        (Outcome.ACKED, [4]),
    ]
    assert alone.transaction.commit_settled() == []


def test_a_message_keeps_the_names_of_its_queues_each_once() -> None:
    alone = Alone()
    by_name = message("a", key="later")
    routed = message("b", key="k", exchange="amq.fanout")
    alone.transaction.publish(by_name, (), True)
    alone.transaction.publish(routed, (alone.queue, alone.queue), False)
    staged = alone.transaction.commit_published()
    assert [(one.message, one.queues, one.mandatory) for one in staged] == [
        (by_name, ("later",), True),
        (routed, ("q",), False),
    ]
    assert alone.transaction.commit_published() == []


def test_a_roll_back_leaves_nothing_to_commit_and_all_to_settle() -> None:
    alone = Alone()
    alone.transaction.publish(message("a"), (), False)
    alone.transaction.settle([1, 2], Outcome.ACKED)
    alone.transaction.roll_back()
    assert alone.transaction.commit_published() == []
    assert alone.transaction.commit_settled() == []
    assert alone.ledger.tags(0, multiple=True) == [1, 2, 3, 4, 5]
    assert alone.world.memory.used == 0
