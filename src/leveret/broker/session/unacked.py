"""What a channel has delivered and not heard of again, by delivery tag."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from leveret.broker.model.consumers import Consumer
from leveret.broker.model.messages import Entry
from leveret.broker.model.queues import Queue
from leveret.broker.refusals import precondition

Unacked = tuple[Entry, Queue, Consumer | None]
"""A delivery: without a consumer where basic.get took it."""


class Ledger:
    """The unacknowledged deliveries of one channel.

    `in_flight` is what the prefetch of the channel holds against its consumers.
    """

    __slots__ = ("_by_tag", "_gets", "in_flight", "last_tag")

    def __init__(self) -> None:
        self.last_tag = 0
        self.in_flight = 0
        self._gets = 0
        self._by_tag: dict[int, Unacked] = {}

    def number(self) -> int:
        """A tag for a delivery that nobody acknowledges."""
        self.last_tag += 1
        return self.last_tag

    def add(self, entry: Entry, queue: Queue, consumer: Consumer | None) -> int:
        """Note a delivery; returns its tag."""
        self.last_tag = tag = self.last_tag + 1
        self._by_tag[tag] = (entry, queue, consumer)
        if consumer is not None:
            self.in_flight += 1
        return tag

    def count_gets(self) -> None:
        """The channel's prefetch is set, from none: what basic.get has taken counts, for good.

        RabbitMQ counts what is unacknowledged then, and later only what consumers acknowledge.
        """
        gets = sum(consumer is None for _, _, consumer in self._by_tag.values())
        self.in_flight += gets - self._gets
        self._gets = gets

    def tags(self, tag: int, multiple: bool) -> list[int]:
        """The tags that an acknowledgement means: with `multiple` all up to it, with 0 all.

        :raises Refused: if this one is not there.
        """
        if multiple and not tag:
            return list(self._by_tag)
        if tag not in self._by_tag:
            raise precondition(f"unknown delivery tag {tag}")
        return list(self._up_to(tag)) if multiple else [tag]

    def _up_to(self, last: int) -> Iterator[int]:
        for tag in self._by_tag:
            if tag > last:
                return
            yield tag

    def take_one(self, tag: int) -> Unacked | None:
        """Take one delivery, if it is there."""
        found = self._by_tag.pop(tag, None)
        if found is not None and found[2] is not None:
            self.in_flight -= 1
            found[2].unacked -= 1
        return found

    def take(self, tags: list[int]) -> list[Unacked]:
        """Take these deliveries, as far as they are there."""
        return [found for found in map(self.take_one, tags) if found is not None]

    def take_all(self) -> list[Unacked]:
        """Take all deliveries."""
        return self.take(list(self._by_tag))

    # -- transactions ------------------------------------------------------------------------

    def set_aside(self, tags: list[int]) -> list[tuple[int, Unacked]]:
        """Take these deliveries, which count as unacknowledged until `count_out` hears of them."""
        return [(tag, self._by_tag.pop(tag)) for tag in tags]

    def count_out(self, deliveries: Iterable[Unacked]) -> None:
        """Those that were set aside are settled."""
        for _, _, consumer in deliveries:
            if consumer is not None:
                self.in_flight -= 1
                consumer.unacked -= 1

    def bring_back(self, deliveries: Iterable[tuple[int, Unacked]]) -> None:
        """Those that were set aside can be acknowledged again."""
        self._by_tag.update(deliveries)
        self._by_tag = dict(sorted(self._by_tag.items()))
