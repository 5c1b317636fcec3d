"""The messages that wait in a queue, in their order. Pure.

A queue gives back what was requeued at its old position: before all that came after it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from heapq import merge
from operator import attrgetter

from leveret.broker.messages import Entry

_position = attrgetter("position")


class Backlog:
    """Entries that wait, first in, first out; `count` and `size` (bytes of bodies) of them."""

    def __init__(self) -> None:
        self.count = 0
        self.size = 0
        self._entries: deque[Entry] = deque()

    def push(self, entry: Entry) -> None:
        """Put an entry at the end."""
        self._entries.append(entry)
        self.count += 1
        self.size += len(entry.message.body)

    def head(self) -> Entry:
        """The entry that is next; there must be one."""
        return self._entries[0]

    def pop(self) -> Entry:
        """Take the entry that is next."""
        return self._taken(self._entries.popleft())

    def put_back(self, entries: Iterable[Entry]) -> None:
        """Put entries back at their positions."""
        back = sorted(entries, key=_position)
        self.count += len(back)
        self.size += sum(len(entry.message.body) for entry in back)
        _merge(self._entries, back)

    def clear(self) -> Iterator[Entry]:
        """Take all."""
        while self.count:
            yield self.pop()

    def _taken(self, entry: Entry) -> Entry:
        self.count -= 1
        self.size -= len(entry.message.body)
        return entry


class PriorityBacklog(Backlog):
    """Entries that wait, those of the highest priority first (x-max-priority)."""

    def __init__(self, max_priority: int) -> None:
        super().__init__()
        self._levels: list[deque[Entry]] = [deque() for _ in range(max_priority + 1)]
        self._top = 0  # no level above it has entries

    def push(self, entry: Entry) -> None:
        """Put an entry behind those of its priority, no higher than the queue's highest."""
        entry.priority = min(entry.message.properties.priority or 0, len(self._levels) - 1)
        self._levels[entry.priority].append(entry)
        self._top = max(self._top, entry.priority)
        self.count += 1
        self.size += len(entry.message.body)

    def head(self) -> Entry:
        """The oldest of the highest priority."""
        while not self._levels[self._top]:
            self._top -= 1
        return self._levels[self._top][0]

    def pop(self) -> Entry:
        """Take the oldest of the highest priority."""
        self.head()
        return self._taken(self._levels[self._top].popleft())

    def put_back(self, entries: Iterable[Entry]) -> None:
        """Put entries back, each among those of its priority."""
        by_level: dict[int, list[Entry]] = {}
        for entry in entries:
            by_level.setdefault(entry.priority, []).append(entry)
            self.count += 1
            self.size += len(entry.message.body)
        for level, back in by_level.items():
            _merge(self._levels[level], sorted(back, key=_position))
            self._top = max(self._top, level)


def _merge(there: deque[Entry], back: list[Entry]) -> None:
    if not there or not back or back[-1].position < there[0].position:
        there.extendleft(reversed(back))
        return
    both = list(merge(there, back, key=_position))
    there.clear()
    there.extend(both)
