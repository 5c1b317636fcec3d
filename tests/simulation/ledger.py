"""What the broker is told to forget: no request that nobody has answered."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from leveret.broker.embedded import EmbeddedBroker
from leveret.broker.model.messages import Entry, Message
from leveret.broker.model.queues import Queue
from leveret.broker.session.channel import Channel
from leveret.wire.native.failed import FAILED_SUFFIX
from leveret.wire.native.headers import ATTEMPT, CREDIT_ITEMS, DEADLINE, UPLOADS
from leveret.wire.native.names import CALL, ERROR, RESULT
from tests.simulation.world import World

_ENDED: Final = (RESULT, ERROR)
_CLOCKS: Final = 0.5
"""Seconds before a deadline from which on an answer may have been given up for late."""
_LATER: Final = 8.0
"""Seconds by which the deadline of a copy may be later: its client's clock was set, or it was
suspended meanwhile, more than once perhaps."""

_BLOCKED: Final = 1.0
"""Seconds after a time in which the broker read nothing, in which it reads what came meanwhile."""

_KEY: Final = re.compile(rb'"(?:key|way)":"([^"/]+)')

Key = tuple[str, str]
"""The reply address and the call id of a request."""


class Ledger:
    """Counts the copies of each request that the broker has.

    A server that acknowledges a request has had its reply published before, or a copy of the
    request that another server gets: else the call is lost with the next thing that breaks.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._copies: Counter[Key] = Counter()
        self._answered: set[Key] = set()
        self._deadlines: dict[Key, float] = {}
        self._unblocked_at = -_BLOCKED
        self.dropped_at: dict[str, float] = {}
        """When requests were dropped last, by the keys of their calls."""
        self.kept: set[str] = set()
        """The keys of the calls whose failed requests a queue has taken."""

    def published(self, message: Message) -> None:
        """Somebody publishes this, whether there is a queue for it or not."""
        properties = message.properties
        if properties.type in _ENDED:
            self._answered.add((message.routing_key, properties.correlation_id or ""))
        elif properties.type == CALL and ATTEMPT in (properties.headers or {}):
            # A server that counts what was delivered again does not wait for the copy's confirm.
            self._answered.add(_key(message))

    def taken(self, message: Message) -> None:
        """A queue has taken this."""
        if message.properties.type != CALL:
            return
        key = _key(message)
        self._copies[key] += 1
        deadline = _deadline(message)
        late = deadline - self._deadlines.setdefault(key, deadline)
        if late > _LATER:
            self._world.complain("ledger", f"a copy of a request has {late:.3f} s more than it had")

    def failed(self, message: Message) -> None:
        """A queue of failed requests has taken this."""
        if (found := _KEY.search(bytes(message.body))) is not None:
            self.kept.add(found[1].decode())

    def unblocked(self) -> None:
        """The broker reads again."""
        self._unblocked_at = self._world.now

    def refused(self, message: Message) -> None:
        """A queue has not taken this."""
        self._copies[_key(message)] -= 1
        self.unrouted(message)

    def unrouted(self, message: Message) -> None:
        """Nothing has taken this, and its caller is not told, or ignores it as it is a copy.

        A server that drains while the broker reads nothing cannot wait until its copies are
        confirmed.
        """
        is_call = message.properties.type == CALL
        if is_call and self._world.now < self._unblocked_at + _BLOCKED:
            self._answered.add(_key(message))

    def died(self, message: Message) -> None:
        """A queue gave this up, which its caller is told."""
        if message.properties.type == CALL:
            self._answered.add(_key(message))

    def dropped(self, messages: Iterable[Message]) -> None:
        """The broker was told to forget these, by a deletion or a policy."""
        for message in messages:
            if (found := _KEY.search(bytes(message.body))) is not None:
                self.dropped_at[found[1].decode()] = self._world.now

    def acknowledged(self, queue: Queue, message: Message) -> None:
        """A server has it forgotten."""
        if message.properties.type != CALL:
            return
        key = _key(message)
        self._copies[key] -= 1
        if self._copies[key] > 0 or key in self._answered or _streams(message) or queue.deleted:
            return
        if not message.properties.reply_to:
            return  # nobody waits for an answer: what became of it is judged when the run is over
        if self._world.wall() < _deadline(message) - _CLOCKS:
            self._world.complain(
                "ledger", f"a request of {queue.name} is acknowledged, and nobody has answered it"
            )


def _key(message: Message) -> Key:
    return message.properties.reply_to or "", message.properties.correlation_id or ""


def _streams(message: Message) -> bool:
    """Whether a server has it forgotten as soon as its handler begins."""
    headers = message.properties.headers or {}
    return CREDIT_ITEMS in headers or UPLOADS in headers


def _deadline(message: Message) -> float:
    """As the request says, in seconds since 1970."""
    at: int = (message.properties.headers or {}).get(DEADLINE, 0)
    return at / 1000


@contextmanager
def watched(ledger: Ledger) -> Iterator[None]:
    """Have it kept of all brokers that run."""
    channel: Any = Channel
    queue: Any = Queue
    broker: Any = EmbeddedBroker
    before = channel._publish, queue.publish, queue._die, queue.ack, queue._discard
    unblock = broker.unblock_publishers

    def on_publish(self: Any, message: Message, queues: Any, *args: Any) -> Any:
        ledger.published(message)
        if not queues:
            ledger.unrouted(message)
        return before[0](self, message, queues, *args)

    def on_take(self: Queue, message: Message) -> bool:
        ledger.taken(message)  # before it: a queue may deliver it at once
        if before[1](self, message):
            if self.name.endswith(FAILED_SUFFIX):
                ledger.failed(message)
            return True
        ledger.refused(message)
        return False

    def on_death(self: Queue, entry: Entry, reason: Any) -> None:
        ledger.died(entry.message)
        ledger.dropped((entry.message,))
        before[2](self, entry, reason)

    def on_ack(self: Queue, entry: Entry) -> None:
        ledger.acknowledged(self, entry.message)
        before[3](self, entry)

    def on_discard(self: Queue, entries: Iterable[Entry]) -> None:
        gone = list(entries)
        ledger.dropped(entry.message for entry in gone)
        before[4](self, gone)

    def on_unblock(self: EmbeddedBroker) -> None:
        ledger.unblocked()
        unblock(self)

    channel._publish, queue.publish, queue._die, queue.ack = on_publish, on_take, on_death, on_ack
    queue._discard, broker.unblock_publishers = on_discard, on_unblock
    try:
        yield
    finally:
        channel._publish, queue.publish, queue._die, queue.ack, queue._discard = before
        broker.unblock_publishers = unblock
