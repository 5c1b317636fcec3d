"""Replies that may have to be sent again.

A reply that is in a socket when it breaks is lost. Its client comes back and asks, or the broker
delivers its request again, as the acknowledgement was lost with it. Two kinds of replies are kept:

- the latest small ones that were *sent*. Whether they arrived nobody knows.
- those that are *unacknowledged*: their requests are the broker's again, and come back, perhaps to
  this server. They are kept until their deadlines.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Final, Protocol, TypeAlias

from leveret.wire.message import CallKey

SENT: Final = 1_000
"""How many sent replies are kept, of each queue."""
SENT_SIZE: Final = 1_024
"""Bytes of the largest sent reply that is kept."""
UNACKED: Final = 1_000
"""How many unacknowledged replies are kept, of each queue."""
UNACKED_SIZE: Final = 64 * 1024 * 1024
"""Bytes that they take together at most."""

Kept: TypeAlias = tuple[str, bytes]
"""The queue that a call came by, and the frames of its reply, packed for some channel."""


class RecordStore(Protocol):
    """Where the replies of one server are kept. Keys name one call each."""

    def add_sent(self, queue: str, key: CallKey, frames: bytes) -> None:
        """Keep a reply that has left, if it is small."""

    def add_unacked(self, queue: str, key: CallKey, frames: bytes, until: float) -> None:
        """Keep a reply whose request the broker has again, up to a moment of the store's clock."""

    def find(self, key: CallKey) -> Kept | None:
        """The reply to a call; None if it is not known any more."""

    def unacked(self, queue: str) -> list[tuple[CallKey, bytes]]:
        """The unacknowledged replies of a queue whose callers may still wait, the oldest first."""


class KeptReplies:
    """A `RecordStore` in memory. To find a reply takes the same time however many are kept.

    :param clock: seconds that go on steadily.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._sent: dict[CallKey, Kept] = {}
        self._order: dict[str, deque[tuple[CallKey, Kept]]] = {}
        self._unacked: dict[CallKey, tuple[float, Kept]] = {}
        self._unacked_of: dict[str, OrderedDict[CallKey, None]] = {}
        self._sizes: dict[str, int] = {}

    def add_sent(self, queue: str, key: CallKey, frames: bytes) -> None:
        """Keep a reply that has left, if it is small, until `SENT` others have come after it."""
        if len(frames) > SENT_SIZE:
            return
        kept = queue, frames
        self._sent[key] = kept
        order = self._order.get(queue)
        if order is None:
            order = self._order[queue] = deque()
        order.append((key, kept))
        if len(order) > SENT:
            oldest, its_reply = order.popleft()
            if self._sent.get(oldest) is its_reply:  # else the key was used again since
                del self._sent[oldest]

    def add_unacked(self, queue: str, key: CallKey, frames: bytes, until: float) -> None:
        """Keep a reply until its deadline; the oldest go first where they are too many."""
        self._drop_old(queue)
        self._forget(key)
        self._unacked[key] = until, (queue, frames)
        order = self._unacked_of.setdefault(queue, OrderedDict())
        order[key] = None
        self._sizes[queue] = self._sizes.get(queue, 0) + len(frames)
        while order and (len(order) > UNACKED or self._sizes[queue] > UNACKED_SIZE):
            self._forget(next(iter(order)))

    def find(self, key: CallKey) -> Kept | None:
        """The reply to a call; None if it is not known any more."""
        unacked = self._unacked.get(key)
        return self._sent.get(key) if unacked is None else unacked[1]

    def unacked(self, queue: str) -> list[tuple[CallKey, bytes]]:
        """The unacknowledged replies of a queue whose callers may still wait, the oldest first."""
        self._drop_old(queue)
        return [(key, self._unacked[key][1][1]) for key in self._unacked_of.get(queue, ())]

    def _drop_old(self, queue: str) -> None:
        now = self._clock()
        for key in [k for k in self._unacked_of.get(queue, ()) if self._unacked[k][0] < now]:
            self._forget(key)

    def _forget(self, key: CallKey) -> None:
        known = self._unacked.pop(key, None)
        if known is not None:
            queue, frames = known[1]
            del self._unacked_of[queue][key]
            self._sizes[queue] -= len(frames)
