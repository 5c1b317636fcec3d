"""Transactions of a channel: what waits for their end, and what that does. Pure.

As with RabbitMQ, what a message or an acknowledgement means is decided when it comes, and only what
it does waits: a message is routed when it is published, a delivery is no longer there to be
acknowledged once it was. https://www.rabbitmq.com/docs/semantics#tx
"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Literal

from leveret.broker.model.messages import Message
from leveret.broker.model.queues import Queue
from leveret.broker.session.unacked import Unacked

if TYPE_CHECKING:
    from leveret.broker.session.channel import Channel

Outcome = Literal["acked", "requeued", "rejected"]
"""How a delivery is settled."""


class Transaction:
    """What a client has published and settled on one channel since its last commit.

    A message that waits here counts in the broker's memory as in a queue; an acknowledgement weighs
    nothing, as there is one at most for each delivery.
    """

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._memory = channel.session.node.memory
        self._published: list[tuple[Message, tuple[str, ...], bool]] = []
        self._settled: dict[int, tuple[Unacked, Outcome]] = {}

    def publish(self, message: Message, queues: tuple[Queue, ...], mandatory: bool) -> None:
        """Keep a message, which was routed to these queues.

        The default exchange routes to queues of a name, be they there already or not.
        """
        self._memory.keep(message)
        found = (queue.name for queue in queues) if message.exchange else message.routing_keys
        self._published.append((message, tuple(dict.fromkeys(found)), mandatory))

    def settle(self, tags: list[int], outcome: Outcome) -> None:
        """Keep in mind what becomes of these deliveries, which nothing else settles from now on."""
        for tag, delivery in self._channel.unacked.set_aside(tags):
            self._settled[tag] = delivery, outcome

    def publish_all(self) -> bool:
        """Hand the messages to their queues, as far as they are still there.

        Whether no queue refused one.
        """
        published, self._published = self._published, []
        there = self._channel.vhost.queues
        taken = True
        for message, names, mandatory in published:
            queues = [there[name] for name in names if name in there]
            if mandatory and not queues:
                self._channel.send_back(message)
            for queue in queues:
                taken &= queue.publish(message)
            self._memory.free(message)
        return taken

    def settle_all(self) -> None:
        """Settle the deliveries: those of one outcome that follow one another together, by tag."""
        settled, self._settled = self._settled, {}
        channel = self._channel
        channel.unacked.count_out(delivery for delivery, _ in settled.values())
        do = {"acked": channel.acked, "requeued": channel.put_back, "rejected": channel.reject}
        for outcome, group in groupby(settled, lambda tag: settled[tag][1]):
            do[outcome]([settled[tag][0] for tag in sorted(group)])

    def roll_back(self) -> None:
        """Forget the messages; what was acknowledged may be again."""
        published, self._published = self._published, []
        for message, _, _ in published:
            self._memory.free(message)
        settled, self._settled = self._settled, {}
        self._channel.unacked.bring_back((tag, delivery) for tag, (delivery, _) in settled.items())
