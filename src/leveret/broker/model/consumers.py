"""The consumers of one queue, and whose turn it is. Pure.

A message goes to one of the consumers of the highest priority that can take it, in turn (round
robin). A consumer that has as many unacknowledged messages as it may is passed over until it
acknowledges some.
"""

from __future__ import annotations

from collections import deque
from typing import Protocol

from leveret.broker.model.messages import Entry


class Receiver(Protocol):
    """The channel of a consumer, as far as a queue needs it."""

    def has_room(self) -> bool:
        """Whether the channel can take another message."""
        ...

    def deliver(self, consumer: Consumer, entry: Entry) -> None:
        """Send a message to the consumer."""
        ...

    def on_queue_deleted(self, consumer: Consumer) -> None:
        """Called once the consumer's queue was deleted."""
        ...


class Consumer:
    """One consumer of one queue.

    :param receiver: the channel that it consumes on.
    """

    __slots__ = (
        "exclusive",
        "no_ack",
        "prefetch",
        "priority",
        "receiver",
        "tag",
        "unacked",
        "waiting",
    )

    def __init__(
        self,
        tag: str,
        receiver: Receiver,
        *,
        no_ack: bool = False,
        exclusive: bool = False,
        prefetch: int = 0,
        priority: int = 0,
    ) -> None:
        self.tag = tag
        self.receiver = receiver
        self.no_ack = no_ack
        """Whether its messages count as acknowledged once they are sent."""
        self.exclusive = exclusive
        """Whether it wants the queue for itself."""
        self.prefetch = prefetch
        """How many unacknowledged messages it may have; 0 for any number."""
        self.priority = priority
        self.unacked = 0
        """How many unacknowledged messages it has."""
        self.waiting = False
        """Whether it was passed over, and has to be woken when it can take more."""

    def has_room(self) -> bool:
        """Whether it can take another message now."""
        if self.prefetch and self.unacked >= self.prefetch and not self.no_ack:
            return False
        return self.receiver.has_room()


class Consumers:
    """All consumers of a queue.

    :param single_active: only one gets messages; when it leaves, the next takes over
        (https://www.rabbitmq.com/docs/consumers#single-active-consumer).
    """

    def __init__(self, *, single_active: bool = False) -> None:
        self.count = 0
        self._single_active = single_active
        self._all: list[Consumer] = []  # the highest priority first, then the oldest
        self._active: Consumer | None = None
        self._waiting: dict[Consumer, None] = {}  # in the order in which they were passed over
        self._levels: dict[int, deque[Consumer]] = {}  # the ready ones, highest priority first

    def all(self) -> list[Consumer]:
        """All of them, the highest priority first."""
        return list(self._all)

    @property
    def exclusive(self) -> bool:
        """Whether one of them wants the queue for itself."""
        return any(consumer.exclusive for consumer in self._all)

    def add(self, consumer: Consumer) -> None:
        """Add a consumer, which takes its turns from now on."""
        self._all.append(consumer)
        self._all.sort(key=lambda other: -other.priority)
        self.count += 1
        if self._single_active and self._active is not None:
            return
        self._active = consumer
        self._make_ready(consumer)

    def remove(self, consumer: Consumer) -> None:
        """Remove a consumer."""
        self._all.remove(consumer)
        self.count -= 1
        consumer.waiting = False
        self._waiting.pop(consumer, None)
        level = self._levels.get(consumer.priority)
        if level is not None and consumer in level:
            level.remove(consumer)
        if self._single_active and self._active is consumer:
            self._active = self._all[0] if self._all else None
            if self._active is not None:
                self._make_ready(self._active)

    def remove_all(self, receiver: Receiver) -> bool:
        """Remove the consumers of one channel. Returns whether there were any."""
        leaving = [consumer for consumer in self._all if consumer.receiver is receiver]
        for consumer in leaving:
            self.remove(consumer)
        return bool(leaving)

    def wake(self, consumer: Consumer) -> None:
        """Give turns again to a consumer that was passed over."""
        if consumer.waiting:
            consumer.waiting = False
            del self._waiting[consumer]
            self._make_ready(consumer)

    def wake_all(self, receiver: Receiver) -> None:
        """Give turns again to the consumers of one channel that have room."""
        for consumer in list(self._waiting):
            if consumer.receiver is receiver and consumer.has_room():
                self.wake(consumer)

    def take_turn(self) -> Consumer | None:
        """The consumer that gets the next message; None if none can take one now."""
        for level in self._levels.values():
            while level:
                consumer = level[0]
                if consumer.has_room():
                    if len(level) > 1:
                        level.rotate(-1)
                    return consumer
                level.popleft()
                consumer.waiting = True
                self._waiting[consumer] = None
        return None

    def _make_ready(self, consumer: Consumer) -> None:
        level = self._levels.get(consumer.priority)
        if level is None:
            level = self._levels[consumer.priority] = deque()
            self._levels = dict(sorted(self._levels.items(), reverse=True))
        level.append(consumer)
