"""The messages that wait in a queue, in their order. Pure.

In a classic queue a requeued message has its old position, before all that came after it. In a
quorum queue requeued messages come first, in the order in which they were requeued.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from heapq import heappop, heappush
from operator import attrgetter

from leveret.broker.model.arguments import QueueOptions
from leveret.broker.model.messages import Entry

_position = attrgetter("position")


class Backlog:
    """Entries that wait, first in, first out.

    A requeued entry that belongs before all others goes there. The other requeued entries wait in a
    heap beside the queue, so that each costs little however many wait.
    """

    def __init__(self) -> None:
        self.count = 0
        """How many entries wait."""
        self.size = 0
        """Bytes of their bodies."""
        self._entries: deque[Entry] = deque()
        self._back: list[tuple[int, Entry]] = []

    def push(self, entry: Entry) -> None:
        """Put an entry at the end."""
        self._entries.append(entry)
        self.count += 1
        self.size += len(entry.message.body)

    def head(self) -> Entry:
        """The next entry; there must be one."""
        return self._back[0][1] if self._back and self._back_is_next() else self._entries[0]

    def pop(self) -> Entry:
        """Take the next entry."""
        if self._back and self._back_is_next():
            return self._taken(heappop(self._back)[1])
        return self._taken(self._entries.popleft())

    def _back_is_next(self) -> bool:
        return not self._entries or self._back[0][0] < self._entries[0].position

    def put_back(self, entries: Iterable[Entry]) -> None:
        """Put entries back at their positions."""
        waiting = self._entries
        for entry in sorted(entries, key=_position, reverse=True):
            self.count += 1
            self.size += len(entry.message.body)
            if not waiting or entry.position < waiting[0].position:
                waiting.appendleft(entry)
            else:
                heappush(self._back, (entry.position, entry))

    def clear(self) -> Iterator[Entry]:
        """Take all entries."""
        while self.count:
            yield self.pop()

    def _taken(self, entry: Entry) -> Entry:
        self.count -= 1
        self.size -= len(entry.message.body)
        return entry


class QuorumBacklog(Backlog):
    """Entries that wait, the requeued ones first."""

    def __init__(self) -> None:
        super().__init__()
        self._returned: deque[Entry] = deque()

    def head(self) -> Entry:
        """The entry that was requeued first, or else the oldest."""
        return self._returned[0] if self._returned else self._entries[0]

    def pop(self) -> Entry:
        """Take the entry that was requeued first, or else the oldest."""
        return self._taken((self._returned or self._entries).popleft())

    def put_back(self, entries: Iterable[Entry]) -> None:
        """Put entries behind those that were requeued before them."""
        for entry in entries:
            self.count += 1
            self.size += len(entry.message.body)
            self._returned.append(entry)


class PriorityBacklog(Backlog):
    """Entries that wait, those of the highest priority first (x-max-priority)."""

    def __init__(self, max_priority: int) -> None:
        super().__init__()
        self._levels = [Backlog() for _ in range(max_priority + 1)]
        self._top = 0  # no level above it has entries

    def push(self, entry: Entry) -> None:
        """Put an entry behind those of its priority, which is capped at the queue's highest."""
        entry.priority = min(entry.message.properties.priority or 0, len(self._levels) - 1)
        self._levels[entry.priority].push(entry)
        self._added(entry)

    def head(self) -> Entry:
        """The oldest of the highest priority."""
        while not self._levels[self._top].count:
            self._top -= 1
        return self._levels[self._top].head()

    def pop(self) -> Entry:
        """Take the oldest of the highest priority."""
        self.head()
        return self._taken(self._levels[self._top].pop())

    def put_back(self, entries: Iterable[Entry]) -> None:
        """Put entries back, each among those of its priority."""
        for entry in entries:
            entry.priority = min(entry.priority, len(self._levels) - 1)
            self._levels[entry.priority].put_back((entry,))
            self._added(entry)

    def _added(self, entry: Entry) -> None:
        self._top = max(self._top, entry.priority)
        self.count += 1
        self.size += len(entry.message.body)


def backlog_for(options: QueueOptions) -> Backlog:
    """The backlog for a queue with these options."""
    if options.quorum:
        return QuorumBacklog()
    if options.max_priority is not None:
        return PriorityBacklog(options.max_priority)
    return Backlog()
