"""The deliveries of a channel that the client has not settled, by delivery tag. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from leveret.broker.model.consumers import Consumer
from leveret.broker.model.messages import Entry
from leveret.broker.model.queues import Queue
from leveret.broker.refusals import precondition

Unacked = tuple[Entry, Queue, Consumer | None]
"""A delivery: its entry, its queue, and its consumer, or None if basic.get took it."""


class Ledger:
    """The unacknowledged deliveries of one channel."""

    __slots__ = ("_by_tag", "_gets", "in_flight", "last_tag")

    def __init__(self) -> None:
        self.last_tag = 0
        """The delivery tag that was given last."""
        self.in_flight = 0
        """Deliveries that count against the prefetch of the whole channel."""
        self._gets = 0
        self._by_tag: dict[int, Unacked] = {}

    def next_tag(self) -> int:
        """A tag for a delivery that nobody acknowledges."""
        self.last_tag += 1
        return self.last_tag

    def add(self, entry: Entry, queue: Queue, consumer: Consumer | None) -> int:
        """Add a delivery. Returns its tag."""
        self.last_tag = tag = self.last_tag + 1
        self._by_tag[tag] = (entry, queue, consumer)
        if consumer is not None:
            self.in_flight += 1
        return tag

    def count_gets(self) -> None:
        """Count what basic.get took, as the channel gets a prefetch where it had none.

        RabbitMQ counts what is unacknowledged then, and later only what consumers acknowledge.
        """
        gets = sum(consumer is None for _, _, consumer in self._by_tag.values())
        self.in_flight += gets - self._gets
        self._gets = gets

    def tags(self, tag: int, multiple: bool) -> list[int]:
        """The tags that an acknowledgement means.

        :param multiple: with it, all tags up to this one, or all if it is 0.
        :raises Refused: if there is no such tag.
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
        """Remove one delivery and return it; None if there is none of this tag."""
        found = self._by_tag.pop(tag, None)
        if found is not None and found[2] is not None:
            self.in_flight -= 1
            found[2].unacked -= 1
        return found

    def take(self, tags: list[int]) -> list[Unacked]:
        """Remove deliveries and return them; tags without a delivery are skipped."""
        return [found for found in map(self.take_one, tags) if found is not None]

    def take_all(self) -> list[Unacked]:
        """Remove all deliveries and return them."""
        return self.take(list(self._by_tag))

    # -- transactions ------------------------------------------------------------------------

    def set_aside(self, tags: list[int]) -> list[tuple[int, Unacked]]:
        """Remove deliveries that count as unacknowledged until `count_out` has them."""
        return [(tag, self._by_tag.pop(tag)) for tag in tags]

    def count_out(self, deliveries: Iterable[Unacked]) -> None:
        """Count deliveries that were set aside as settled."""
        for _, _, consumer in deliveries:
            if consumer is not None:
                self.in_flight -= 1
                consumer.unacked -= 1

    def bring_back(self, deliveries: Iterable[tuple[int, Unacked]]) -> None:
        """Add deliveries that were set aside again, under their tags."""
        self._by_tag.update(deliveries)
        self._by_tag = dict(sorted(self._by_tag.items()))
