"""What one client knows of one request queue and of the servers behind it.

The client learns it from probes (a probe is a passive declare, which tells how many requests wait
and how many consumers there are), from replies, and from the contract. A `Route` writes itself: its
methods are the only ways to change it. All times are on the event loop's clock.
"""

from __future__ import annotations

from enum import Enum
from math import inf
from typing import Final

from msgspec import Struct


class QueueState(Enum):
    """What a probe found of a queue."""

    UNKNOWN = "unknown"
    """No probe has been answered yet."""
    THERE = "there"
    """The queue exists, and its counts are known."""
    MISSING = "missing"
    """The queue does not exist."""
    DOWN = "down"
    """The queue exists on a node of the broker that is down, so its counts are unknown."""


class Finding(Struct, frozen=True, kw_only=True):
    """The answer to one probe."""

    state: QueueState
    """What became known of the queue."""
    asked_at: float
    """When the client sent the probe."""
    found_at: float
    """When the broker answered."""
    consumers: int = 0
    """How many servers listen; 0 unless the queue is THERE."""
    messages: int = 0
    """How many requests wait; 0 unless the queue is THERE."""
    covers_since: float = inf
    """It counts each server that can have taken a call that was sent after this time: the answer's
    time, or that of the call with which the probe was sent. Infinity if it counts none."""

    @property
    def in_words(self) -> str:
        """The finding as part of an error message; "" if there is none yet."""
        match self.state:
            case QueueState.UNKNOWN:
                return ""
            case QueueState.MISSING:
                return "its queue does not exist (any more)"
            case QueueState.DOWN:
                return "its queue is on a node of the broker that is down"
        waiting = f"{self.messages} request{'' if self.messages == 1 else 's'} waiting in its queue"
        match self.consumers:
            case 0:
                return f"no server listens, {waiting}"
            case 1:
                return f"1 server listens, {waiting}"
        return f"{self.consumers} servers listen, {waiting}"


HEARD_EVERY: Final = 0.05
"""Seconds within which several replies are noted as one sign of life."""

BESIDE: Final = 0.05
"""Seconds after sending a call within which a probe still tells which servers were there."""

_COUNTS_KEPT: Final = 64
"""How many findings are kept for their counts of servers. Beyond that every second one goes."""

NOTHING_FOUND: Final = Finding(state=QueueState.UNKNOWN, asked_at=-inf, found_at=-inf)


class Route:
    """What is known of one queue."""

    __slots__ = (
        "asked_at",
        "backlog",
        "change",
        "control_key",
        "counts",
        "finding",
        "is_probed",
        "key",
        "limited",
        "queue",
        "recovery",
        "refused_at",
        "refuses",
        "same_as_of",
        "same_servers",
        "same_since",
        "server_seen_at",
        "unprobed_since",
        "unsaid_at",
        "unwatched_until",
    )

    def __init__(self, key: str, queue: str, control_key: str = "") -> None:
        self.key = key
        """"service.method", or "queue name" of the tutorial's protocol; for error messages."""
        self.queue = queue
        """The name of the queue."""
        self.control_key = control_key
        """The routing key of control messages to its servers; "" if they do not listen to any."""
        self.limited: bool | None = None
        """Whether the contract bounds the queue (`max_length`); None if it is not known."""
        self.refuses = False
        """Whether it was found to be bounded, but not by the contract."""
        self.is_probed = False
        """Whether a probe is in flight."""
        self.asked_at = -inf
        """When the last probe was sent, whether it was answered or not."""
        self.server_seen_at = -inf
        """When a server was last known to be alive, by a reply or by a probe that found a
        consumer."""
        self.unprobed_since = inf
        """When the first call was sent that still needs a probe along with it."""
        self.unwatched_until = -inf
        """A server that no probe has seen may have taken calls that were sent before this time."""
        self.finding = NOTHING_FOUND
        """The last answer."""
        self.backlog = NOTHING_FOUND
        """The last finding with waiting requests whose next finding had as many servers."""
        self.change = NOTHING_FOUND
        """The last finding with another number of servers than the one before it."""
        self.same_since = inf
        """Since when all servers had been there, by their own word."""
        self.same_as_of = -inf
        """When they were asked for that word."""
        self.same_servers = 0
        """How many they were."""
        self.counts: list[Finding] = []
        """Earlier findings of how many servers there were, the oldest first."""
        self.unsaid_at = -inf
        """When they were last asked for it and did not all give it in time."""
        self.refused_at = -inf
        """When it last refused a request while it was not known to be bounded."""
        self.recovery = NOTHING_FOUND
        """The last finding that followed one with the queue's node down."""

    def sent_unseen(self, now: float) -> None:
        """A call is sent, and needs a probe along with it, as no server was seen for a while."""
        self.unprobed_since = min(self.unprobed_since, now)

    def asked(self, now: float) -> None:
        """A probe is begun."""
        self.is_probed = True
        self.asked_at = now

    def probe_sent(self, now: float) -> float:
        """A probe was sent: the earlier ones were answered, or hang.

        :returns: when the first of the calls was sent that it goes along with; infinity if it goes
            along with none.
        """
        beside, self.unprobed_since = self.unprobed_since, inf
        if now - beside > BESIDE:
            self.unwatched_until = now
            return inf
        return beside

    def not_answered(self, now: float) -> None:
        """A probe was not answered, and told nothing of the servers."""
        self.unwatched_until = now

    def answered(self) -> None:
        """A probe is over, whether it found anything or not."""
        self.is_probed = False

    def probed(self, finding: Finding) -> None:
        """The broker answered a probe.

        Probes that are in flight at the same time can be answered in another order; the one that
        was sent later counts.
        """
        if finding.asked_at < self.finding.asked_at:
            if finding.consumers:
                self.server_seen_at = max(self.server_seen_at, finding.found_at)
            return
        before, self.finding = self.finding, finding
        if finding.state is not QueueState.THERE:
            return
        self.counts.append(finding)
        if len(self.counts) > _COUNTS_KEPT:
            del self.counts[-2::-2]
        if before.messages and before.consumers == finding.consumers:
            self.backlog = before
        if before.state is not QueueState.UNKNOWN and before.consumers != finding.consumers:
            # Fewer servers: one has died. More: one may have died, and another taken its place.
            self.change = finding
        if before.state is QueueState.DOWN:
            self.recovery = finding
        if finding.consumers:
            self.server_seen_at = finding.found_at

    def found_same(self, since: float, as_of: float, servers: int) -> None:
        """All servers have said for how long they have been there.

        :param since: since when the one has that came last.
        :param as_of: when they were asked.
        :param servers: how many they are.
        """
        self.same_since, self.same_as_of, self.same_servers = since, as_of, servers

    def are_those_of(self, sent_at: float) -> bool:
        """Whether the servers that have said so are all that were there when a call was sent.

        There were as many when they were last counted before that, and all of them had been there
        since before then.
        """
        for counted in reversed(self.counts):
            if counted.covers_since <= sent_at:
                by_then = min(counted.asked_at, sent_at)
                return counted.consumers == self.same_servers and self.same_since <= by_then
        return False

    def not_said(self, now: float) -> None:
        """Not all servers have said for how long they have been there."""
        self.unsaid_at = now

    def heard(self, now: float) -> None:
        """A server replied to a call."""
        self.server_seen_at = now

    def refused(self, now: float) -> None:
        """The queue refused a request while it was not known to be bounded."""
        self.refused_at = now

    def described(self, *, limited: bool) -> None:
        """A contract says whether the queue is bounded."""
        self.limited = limited

    def connection_changed(self) -> None:
        """Probes on the last connection count no more: the next one is due at once."""
        self.asked_at = -inf
