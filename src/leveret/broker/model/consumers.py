"""The consumers of one queue: whose turn it is. Pure.

Those of the highest priority that can take a message get it, in turn (round robin); one that has
as many unacknowledged as it may is passed over until it acknowledges.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Protocol

from leveret.broker.model.messages import Entry

if TYPE_CHECKING:
    from leveret.broker.model.queues import Queue


class Receiver(Protocol):
    """What a consumer hands its messages to: a channel."""

    def has_room(self, no_ack: bool) -> bool:
        """Whether another message may be sent on it."""
        ...

    def deliver(self, consumer: Consumer, entry: Entry) -> None:
        """Send a message."""
        ...

    def consumer_gone(self, consumer: Consumer) -> None:
        """Its queue was deleted."""
        ...


class Consumer:
    """One consumer of one queue.

    `prefetch` is how many unacknowledged messages it may have, 0 for any number; `waiting` says
    that it was passed over, so that it has to be woken when it can take more.
    """

    __slots__ = (
        "exclusive",
        "no_ack",
        "prefetch",
        "priority",
        "queue",
        "receiver",
        "start",
        "tag",
        "unacked",
        "waiting",
    )

    def __init__(
        self,
        tag: str,
        queue: Queue,
        receiver: Receiver,
        *,
        no_ack: bool = False,
        exclusive: bool = False,
        prefetch: int = 0,
        priority: int = 0,
    ) -> None:
        self.tag = tag
        self.queue = queue
        self.receiver = receiver
        self.no_ack = no_ack
        self.exclusive = exclusive
        self.prefetch = prefetch
        self.priority = priority
        self.unacked = 0
        self.waiting = False
        self.start = b""  # how its basic.deliver frames begin; its channel's to set

    def has_room(self) -> bool:
        """Whether it may get another message now."""
        if self.prefetch and self.unacked >= self.prefetch and not self.no_ack:
            return False
        return self.receiver.has_room(self.no_ack)


class Consumers:
    """All consumers of a queue; `count` of them.

    :param single_active: only one gets messages; when it leaves, the next takes over
        (https://www.rabbitmq.com/docs/consumers#single-active-consumer).
    """

    def __init__(self, *, single_active: bool = False) -> None:
        self.count = 0
        self._single_active = single_active
        self._all: list[Consumer] = []  # the highest priority first, then the oldest
        self._active: Consumer | None = None
        self._waiting: dict[Consumer, None] = {}  # passed over, in the order in which they were
        self._levels: dict[int, deque[Consumer]] = {}  # the ready ones, highest priority first

    def all(self) -> list[Consumer]:
        """All of them, the highest priority first."""
        return list(self._all)

    @property
    def exclusive(self) -> bool:
        """Whether one of them wants the queue for itself."""
        return any(consumer.exclusive for consumer in self._all)

    def add(self, consumer: Consumer) -> None:
        """Have it take its turns."""
        self._all.append(consumer)
        self._all.sort(key=lambda other: -other.priority)
        self.count += 1
        if self._single_active and self._active is not None:
            return
        self._active = consumer
        self._make_ready(consumer)

    def remove(self, consumer: Consumer) -> None:
        """It takes no more."""
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
        """Those of one channel take no more; whether there were any."""
        leaving = [consumer for consumer in self._all if consumer.receiver is receiver]
        for consumer in leaving:
            self.remove(consumer)
        return bool(leaving)

    def wake(self, consumer: Consumer) -> None:
        """One that was passed over can take messages again."""
        if consumer.waiting:
            consumer.waiting = False
            del self._waiting[consumer]
            self._make_ready(consumer)

    def wake_all(self, receiver: Receiver) -> None:
        """Those of one channel can take messages again, if they can."""
        for consumer in list(self._waiting):
            if consumer.receiver is receiver and consumer.has_room():
                self.wake(consumer)

    def take_turn(self) -> Consumer | None:
        """Who gets the next message; None if nobody can take one now."""
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
