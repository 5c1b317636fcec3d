"""A queue: what waits in it, who has what of it, and what becomes of the rest. Pure.

As a classic queue of RabbitMQ: messages expire at its head only, what is requeued returns to its
old position, a message goes straight to a consumer where one can take it. A quorum queue (on this
single node) differs in counting how often a message came back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from leveret.broker.model.arguments import QueueOptions
from leveret.broker.model.backlog import backlog_for
from leveret.broker.model.clock import Clock, Timer
from leveret.broker.model.consumers import Consumer, Consumers, Receiver
from leveret.broker.model.memory import Memory
from leveret.broker.model.messages import Entry, Message


class Queue:
    """One queue.

    :param dead: called with (queue, message, reason) for each message that dies in it, where the
        queue has a dead-letter exchange.
    :param unused: called with the queue when it is to be deleted: its last consumer left (and it is
        auto-delete), or nobody used it for the time of x-expires.
    """

    def __init__(
        self,
        name: str,
        options: QueueOptions,
        clock: Clock,
        memory: Memory,
        *,
        dead: Callable[[Queue, Message, str], None],
        unused: Callable[[Queue], None],
        durable: bool = False,
        exclusive_to: object | None = None,
        auto_delete: bool = False,
        arguments: dict[str, Any] | None = None,
    ) -> None:
        self.name = name
        self.options = options
        self.durable = durable
        self.exclusive_to = exclusive_to
        self.auto_delete = auto_delete
        self.arguments = arguments if arguments is not None else {}
        self.consumers = Consumers(single_active=options.single_active_consumer)
        self.deleted = False
        self._bounded = options.bounded
        self._clock = clock
        self._memory = memory
        self._dead = dead
        self._unused = unused
        self._backlog = backlog_for(options)
        self._next_position = 0
        self._head_timer: Timer | None = None
        self._use_timer: Timer | None = None
        self.used()

    @property
    def ready(self) -> int:
        """How many messages wait."""
        return self._backlog.count

    # -- in ----------------------------------------------------------------------------------

    def publish(self, message: Message) -> bool:
        """Take a message; False where the queue is full and refuses (x-overflow)."""
        options = self.options
        if self._bounded and options.overflow != "drop-head" and self._would_overflow(message):
            if options.overflow == "reject-publish-dlx":
                self._bury(message, "maxlen")
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
                self._hand(entry, consumer)
                return True
        backlog.push(entry)
        if self._bounded and options.overflow == "drop-head":
            self._drop_surplus()
        if backlog.count and (ttl is not None or self._bounded):
            self._expire()
        return True

    def put_back(self, entries: Iterable[Entry], *, left: bool = False) -> None:
        """Requeue what was delivered, marked as redelivered; `left` says that its channel ended."""
        back = self._that_may_come_back(entries)
        if self.deleted or not back:
            self._forget(back)
            return
        if self.options.quorum and self.options.delivery_limit is None and not left:
            for entry in back:
                self._backlog.push(entry)  # as RabbitMQ: at the end
        else:
            self._backlog.put_back(back)
        if self._bounded and self.options.overflow == "drop-head":  # else it may be too full
            self._drop_surplus()
        self._expire()
        self.run()

    def _that_may_come_back(self, entries: Iterable[Entry]) -> list[Entry]:
        """Without those that came back too often."""
        back: list[Entry] = []
        limit = self.options.delivery_limit
        for entry in entries:
            entry.redelivered = True
            entry.delivery_count += self.options.quorum
            if limit is not None and entry.delivery_count > limit:
                self._die(entry, "delivery_limit")
            else:
                back.append(entry)
        return back

    # -- out ---------------------------------------------------------------------------------

    def run(self) -> None:
        """Hand out what waits while somebody can take it."""
        backlog = self._backlog
        if not backlog.count:
            return
        while backlog.count:
            if backlog.head().expires_at is not None:
                self._expire()
                if not backlog.count:
                    return
            consumer = self.consumers.take_turn()
            if consumer is None:
                break
            self._hand(backlog.pop(), consumer)
        self._watch_head()

    def get(self, no_ack: bool) -> Entry | None:
        """The next message, for basic.get."""
        self.used()
        self._expire()
        if not self._backlog.count:
            return None
        entry = self._backlog.pop()
        if no_ack:
            self._memory.free(entry.message)
        self._expire()
        return entry

    def ack(self, entry: Entry) -> None:
        """A delivered message was acknowledged."""
        self._memory.free(entry.message)

    def reject(self, entry: Entry) -> None:
        """A delivered message was rejected for good."""
        self._die(entry, "rejected")

    def purge(self) -> int:
        """Drop all that waits; returns how many."""
        count = self._backlog.count
        self._forget(self._backlog.clear())
        return count

    def _hand(self, entry: Entry, consumer: Consumer) -> None:
        if consumer.no_ack:
            self._memory.free(entry.message)
        else:
            consumer.unacked += 1
        consumer.receiver.deliver(consumer, entry)

    # -- consumers ---------------------------------------------------------------------------

    def add_consumer(self, consumer: Consumer) -> None:
        """Let it take messages; `run` gives it the first."""
        self.consumers.add(consumer)
        if self._use_timer is not None:
            self._use_timer.cancel()

    def remove_consumer(self, consumer: Consumer) -> None:
        """It takes no more; an auto-delete queue goes with its last."""
        self.consumers.remove(consumer)
        if self.consumers.count:
            self.run()  # another may be the single active one now
        elif self.auto_delete:
            self._unused(self)
        else:
            self.used()

    def channel_gone(self, channel: Receiver, held: list[Entry]) -> None:
        """A channel ended: its consumers take no more, and what it held comes back.

        Before anybody gets more: so what the others get comes in its order.
        """
        leaving = self.consumers.remove_all(channel)
        if leaving and not self.consumers.count:
            if self.auto_delete:
                self._unused(self)
            else:
                self.used()
        self.put_back(held, left=True)
        self.run()

    # -- time --------------------------------------------------------------------------------

    def used(self) -> None:
        """Somebody used it: x-expires counts from now."""
        expires = self.options.expires
        if expires is None or self.deleted:
            return
        if self._use_timer is not None:
            self._use_timer.cancel()
        if not self.consumers.count:
            self._use_timer = self._clock.at(self._clock.now + expires, self._unused_for_long)

    def _unused_for_long(self) -> None:
        if not self.consumers.count:
            self._unused(self)

    def _expire(self) -> None:
        """Drop what expired, at the head only, as RabbitMQ does."""
        backlog = self._backlog
        now = self._clock.now
        while backlog.count:
            at = backlog.head().expires_at
            if at is None or at > now:
                break
            self._die(backlog.pop(), "expired")
        self._watch_head()

    def _watch_head(self) -> None:
        """Be called when the head expires; a call that came too early does no harm."""
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
        self._head_timer = self._clock.at(at, self._head_due)

    def _head_due(self) -> None:
        self._head_timer = None
        if not self.deleted:
            self._expire()

    # -- the end of messages -----------------------------------------------------------------

    def _would_overflow(self, message: Message) -> bool:
        options = self.options
        backlog = self._backlog
        if options.quorum:  # which looks after it has taken one too many
            return options.are_too_many(backlog.count, backlog.size)
        return options.are_too_many(backlog.count + 1, backlog.size + len(message.body))

    def _drop_surplus(self) -> None:
        backlog = self._backlog
        while backlog.count and self.options.are_too_many(backlog.count, backlog.size):
            self._die(backlog.pop(), "maxlen")  # the head, whatever its priority

    def _die(self, entry: Entry, reason: str) -> None:
        self._memory.free(entry.message)
        if not self.deleted:
            self._bury(entry.message, reason)

    def _bury(self, message: Message, reason: str) -> None:
        if self.options.dead_letter_exchange is not None:
            self._dead(self, message, reason)

    def _forget(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            self._memory.free(entry.message)

    def delete(self) -> int:
        """Its end: consumers are told, messages dropped; returns how many waited."""
        self.deleted = True
        for timer in (self._head_timer, self._use_timer):
            if timer is not None:
                timer.cancel()
        for consumer in self.consumers.all():
            self.consumers.remove(consumer)
            consumer.receiver.consumer_gone(consumer)
        return self.purge()
