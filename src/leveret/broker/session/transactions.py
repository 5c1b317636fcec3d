"""A channel's transaction: what waits for its commit. Pure.

As with RabbitMQ, the broker decides what a message or an acknowledgement means when it comes, and
only the effect waits. A message is routed when it is published. A delivery that was acknowledged
cannot be acknowledged again. https://www.rabbitmq.com/docs/semantics#tx
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from itertools import groupby

from leveret.broker.model.memory import Memory
from leveret.broker.model.messages import Message
from leveret.broker.model.queues import Queue
from leveret.broker.session.unacked import Ledger, Unacked


class Outcome(Enum):
    """What becomes of a delivery."""

    ACKED = auto()
    REQUEUED = auto()
    REJECTED = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Staged:
    """A message that waits for the commit."""

    message: Message
    """The message, as it was published."""
    queues: tuple[str, ...]
    """The names of the queues that it was routed to."""
    mandatory: bool
    """Whether it goes back to the client if none of the queues is there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """Deliveries that have the same outcome."""

    outcome: Outcome
    """What becomes of them."""
    deliveries: list[Unacked]
    """The deliveries, by tag."""


class Transaction:
    """What a client has published and settled on one channel since its last commit.

    A message that waits here counts in the broker's memory as in a queue. An acknowledgement does
    not count, as there is at most one for each delivery.

    :param ledger: the channel's unacknowledged deliveries.
    :param memory: counts the messages that wait.
    """

    def __init__(self, ledger: Ledger, memory: Memory) -> None:
        self._ledger = ledger
        self._memory = memory
        self._published: list[Staged] = []
        self._settled: dict[int, tuple[Unacked, Outcome]] = {}

    def publish(self, message: Message, queues: tuple[Queue, ...], mandatory: bool) -> None:
        """Keep a message that was routed to these queues.

        The default exchange routes to queues of a name, even if they are declared only later.
        """
        self._memory.keep(message)
        found = (queue.name for queue in queues) if message.exchange else message.routing_keys
        names = tuple(dict.fromkeys(found))
        self._published.append(Staged(message=message, queues=names, mandatory=mandatory))

    def settle(self, tags: list[int], outcome: Outcome) -> None:
        """Keep the outcome of these deliveries. Nothing else settles them from now on."""
        for tag, delivery in self._ledger.set_aside(tags):
            self._settled[tag] = delivery, outcome

    def commit_published(self) -> list[Staged]:
        """End the wait of the messages. They are to be put into their queues now."""
        return self._take_published()

    def commit_settled(self) -> list[Settled]:
        """End the wait of the outcomes. They are to be carried out now, after the messages.

        Neighbours of one outcome are a group, in the order in which the client settled them.
        """
        settled, self._settled = self._settled, {}
        self._ledger.count_out(delivery for delivery, _ in settled.values())
        return [
            Settled(outcome=outcome, deliveries=[settled[tag][0] for tag in sorted(group)])
            for outcome, group in groupby(settled, lambda tag: settled[tag][1])
        ]

    def roll_back(self) -> None:
        """Drop the messages. The deliveries can be acknowledged again."""
        self._take_published()
        settled, self._settled = self._settled, {}
        self._ledger.bring_back((tag, delivery) for tag, (delivery, _) in settled.items())

    def _take_published(self) -> list[Staged]:
        published, self._published = self._published, []
        for staged in published:
            self._memory.free(staged.message)
        return published
