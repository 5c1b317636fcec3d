"""A queue: what waits in it, who gets it, and what becomes of the rest. Pure.

It behaves like a classic queue of RabbitMQ: messages expire only at its head, a requeued message
returns to its old position, and a message goes straight to a consumer that can take it. A quorum
queue (on this single node) also counts how often a message was requeued.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import Any

from leveret.broker.model.arguments import Overflow, QueueOptions
from leveret.broker.model.backlog import backlog_for
from leveret.broker.model.clock import Clock, Timer
from leveret.broker.model.consumers import Consumer, Consumers, Receiver
from leveret.broker.model.deadletter import Death
from leveret.broker.model.memory import Memory
from leveret.broker.model.messages import Entry, Message


class Queue:
    """One queue.

    :param on_dead: called with (queue, message, reason) for each message that dies in it, if it has
        a dead-letter exchange.
    :param on_unused: called with the queue when it is to be deleted: its last consumer left (if it
        is auto-delete), or nobody used it for the time of x-expires.
    :param exclusive_to: the connection that alone may use it; None for any.
    """

    def __init__(
        self,
        name: str,
        options: QueueOptions,
        clock: Clock,
        memory: Memory,
        *,
        on_dead: Callable[[Queue, Message, Death], None],
        on_unused: Callable[[Queue], None],
        durable: bool = False,
        exclusive_to: object | None = None,
        auto_delete: bool = False,
        arguments: dict[str, Any] | None = None,
    ) -> None:
        self.name = name
        self.durable = durable
        self.exclusive_to = exclusive_to
        self.auto_delete = auto_delete
        self.arguments = arguments if arguments is not None else {}
        self.consumers = Consumers(single_active=options.single_active_consumer)
        self.deleted = False
        self._clock = clock
        self._memory = memory
        self._on_dead = on_dead
        self._on_unused = on_unused
        self._backlog = backlog_for(options)
        self._next_position = 0
        self._head_timer: Timer | None = None
        self._use_timer: Timer | None = None
        self.set_options(options)
        self.touch()

    def set_options(self, options: QueueOptions) -> None:
        """Have other options from now on, as an operator's policy gives them to a queue.

        What waits stays, and is not given to a backlog of another kind.
        """
        self.options = options
        drops_head = options.overflow is Overflow.DROP_HEAD
        self._bounded = options.bounded
        self._drops_head = options.bounded and drops_head
        self._refuses = options.bounded and not drops_head

    @property
    def ready(self) -> int:
        """How many messages wait."""
        return self._backlog.count

    # -- in ----------------------------------------------------------------------------------

    def publish(self, message: Message) -> bool:
        """Take a message. Returns False if the queue is full and refuses it (x-overflow)."""
        options = self.options
        if self._refuses and self._would_overflow(message):
            if options.overflow is Overflow.REJECT_PUBLISH_DLX:
                self._dead_letter(message, Death.MAXLEN)
            return False
        ttl = options.message_ttl
        expiration = message.properties.expiration
        if expiration is not None:
            own = int(expiration) / 1000
            ttl = own if ttl is None or own < ttl else ttl
        entry = Entry(message, self._next_position, None if ttl is None else self._clock.now + ttl)
        self._next_position += 1
        self._memory.keep(message)
        backlog = self._backlog
        if not backlog.count:
            consumer = self.consumers.take_turn()
            if consumer is not None:
                entry.priority = message.properties.priority or 0
                self._deliver(entry, consumer)
                return True
        backlog.push(entry)
        if self._drops_head:
            self._drop_surplus()
        if backlog.count and (ttl is not None or self._bounded):
            self._expire()
        return True

    def requeue(self, entries: Iterable[Entry], *, channel_ended: bool = False) -> None:
        """Put back what was delivered, marked as redelivered.

        :param channel_ended: whether the channel that had it has ended.
        """
        back = self._within_delivery_limit(entries)
        if self.deleted or not back:
            self._discard(back)
            return
        if self.options.quorum and self.options.delivery_limit is None and not channel_ended:
            for entry in back:
                self._backlog.push(entry)  # RabbitMQ puts it at the end
        else:
            self._backlog.put_back(back)
        if self._drops_head:  # a queue that refuses may hold more than its limit
            self._drop_surplus()
        self._expire()
        self.run()

    def _within_delivery_limit(self, entries: Iterable[Entry]) -> list[Entry]:
        """Leave out the entries that were requeued too often; these die."""
        back: list[Entry] = []
        limit = self.options.delivery_limit
        for entry in entries:
            entry.redelivered = True
            entry.delivery_count += self.options.quorum
            if limit is not None and entry.delivery_count > limit:
                self._die(entry, Death.DELIVERY_LIMIT)
            else:
                back.append(entry)
        return back

    # -- out ---------------------------------------------------------------------------------

    def run(self, most: int = sys.maxsize) -> bool:
        """Deliver what waits, as long as a consumer can take it, and at most so many messages.

        Returns whether it delivered so many.
        """
        backlog = self._backlog
        if not backlog.count:
            return False
        while most and backlog.count:
            if backlog.head().expires_at is not None:
                self._expire()
                if not backlog.count:
                    return False
            consumer = self.consumers.take_turn()
            if consumer is None:
                break
            most -= 1
            self._deliver(backlog.pop(), consumer)
        self._time_head()
        return not most

    def get(self, no_ack: bool) -> Entry | None:
        """Take the next message, for basic.get. None if none waits."""
        self.touch()
        self._expire()
        if not self._backlog.count:
            return None
        entry = self._backlog.pop()
        if no_ack:
            self._memory.free(entry.message)
        self._expire()
        return entry

    def ack(self, entry: Entry) -> None:
        """Release a delivered message that was acknowledged."""
        self._memory.free(entry.message)

    def reject(self, entry: Entry) -> None:
        """Drop or dead-letter a delivered message that was rejected."""
        self._die(entry, Death.REJECTED)

    def purge(self) -> int:
        """Drop all that waits. Returns how many."""
        count = self._backlog.count
        self._discard(self._backlog.clear())
        return count

    def _deliver(self, entry: Entry, consumer: Consumer) -> None:
        if consumer.no_ack:
            self._memory.free(entry.message)
        else:
            consumer.unacked += 1
        consumer.receiver.deliver(consumer, entry)

    # -- consumers ---------------------------------------------------------------------------

    def add_consumer(self, consumer: Consumer) -> None:
        """Add a consumer. `run` delivers its first message."""
        self.consumers.add(consumer)
        if self._use_timer is not None:
            self._use_timer.cancel()

    def remove_consumer(self, consumer: Consumer) -> None:
        """Remove a consumer. The last one takes an auto-delete queue along."""
        self.consumers.remove(consumer)
        if self.consumers.count:
            self.run()  # another may be the single active one now
        elif self.auto_delete:
            self._on_unused(self)
        else:
            self.touch()

    def end_channel(self, channel: Receiver, held: list[Entry]) -> None:
        """Remove the consumers of a channel that ended, and requeue what it held.

        Other consumers get nothing in between, so that they get all of it in order.
        """
        leaving = self.consumers.remove_all(channel)
        if leaving and not self.consumers.count:
            if self.auto_delete:
                self._on_unused(self)
            else:
                self.touch()
        self.requeue(held, channel_ended=True)
        self.run()

    # -- time --------------------------------------------------------------------------------

    def touch(self) -> None:
        """Note that a client used it: x-expires counts from now."""
        expires = self.options.expires
        if expires is None or self.deleted:
            return
        if self._use_timer is not None:
            self._use_timer.cancel()
        if not self.consumers.count:
            self._use_timer = self._clock.at(self._clock.now + expires, self._on_use_timer)

    def _on_use_timer(self) -> None:
        if not self.consumers.count:
            self._on_unused(self)

    def _expire(self) -> None:
        """Drop what expired, but only at the head, as RabbitMQ does."""
        backlog = self._backlog
        now = self._clock.now
        while backlog.count:
            at = backlog.head().expires_at
            if at is None or at > now:
                break
            self._die(backlog.pop(), Death.EXPIRED)
        self._time_head()

    def _time_head(self) -> None:
        """Schedule a check for when the head expires. An early check is harmless."""
        if not self._backlog.count:
            return
        at = self._backlog.head().expires_at
        if at is None:
            return
        timer = self._head_timer
        if timer is not None and timer.callback is not None:
            if timer.when <= at:
                return
            timer.cancel()
        self._head_timer = self._clock.at(at, self._on_head_timer)

    def _on_head_timer(self) -> None:
        self._head_timer = None
        if not self.deleted:
            self._expire()

    # -- the end of messages -----------------------------------------------------------------

    def _would_overflow(self, message: Message) -> bool:
        options = self.options
        backlog = self._backlog
        if options.quorum:  # a quorum queue looks once it has taken one too many
            return options.exceeded_by(backlog.count, backlog.size)
        return options.exceeded_by(backlog.count + 1, backlog.size + len(message.body))

    def _drop_surplus(self) -> None:
        backlog = self._backlog
        while backlog.count and self.options.exceeded_by(backlog.count, backlog.size):
            self._die(backlog.pop(), Death.MAXLEN)  # the head, whatever its priority

    def _die(self, entry: Entry, reason: Death) -> None:
        self._memory.free(entry.message)
        if not self.deleted:
            self._dead_letter(entry.message, reason)

    def _dead_letter(self, message: Message, reason: Death) -> None:
        if self.options.dead_letter_exchange is not None:
            self._on_dead(self, message, reason)

    def _discard(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            self._memory.free(entry.message)

    def delete(self) -> int:
        """Tell the consumers and drop all messages. Returns how many waited."""
        self.deleted = True
        for timer in (self._head_timer, self._use_timer):
            if timer is not None:
                timer.cancel()
        for consumer in self.consumers.all():
            self.consumers.remove(consumer)
            consumer.receiver.on_queue_deleted(consumer)
        return self.purge()
