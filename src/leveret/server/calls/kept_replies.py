"""Replies that may have to be sent again.

A reply that is in a socket when the socket breaks is lost. Its client reconnects and asks for it,
or the broker delivers its request again, as the acknowledgement was lost with it. A server keeps
two kinds of replies:

- the latest small replies that were *sent*. It is not known whether they arrived.
- the *unacknowledged* replies: the broker has their requests again, and delivers them again,
  perhaps to this server. They are kept until their deadlines.

An error that says `executed` "no" is true while its channel lives, as the acknowledgement is sent
with it. When the channel ends, the broker may have read neither. Then another server gets the
request, and runs it. So from then on the kept error says "maybe".
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Final, Protocol, TypeAlias

from leveret.amqp.frames import published, with_other_body
from leveret.wire.failures import in_doubt

SENT: Final = 1_000
"""How many sent replies are kept for each queue at least; at twice as many, half are dropped."""
SENT_SIZE: Final = 1_024
"""Bytes of the largest sent reply that is kept."""
UNACKED: Final = 1_000
"""How many unacknowledged replies are kept for each queue."""
UNACKED_SIZE: Final = 64 * 1024 * 1024
"""Bytes that they take together at most."""

Kept: TypeAlias = tuple[str, bytes]
"""The queue that a call came by, and the frames of its reply, packed for some channel."""


_ERROR: Final = "error"
_DID_NOT_RUN: Final = b'"executed":"no"'


def doubted(frames: bytes) -> bytes:
    """The frames of a reply whose request another server may run meanwhile."""
    if _DID_NOT_RUN not in frames:
        return frames
    properties, body = published(frames)
    return with_other_body(frames, in_doubt(body)) if properties.type == _ERROR else frames


class RecordStore(Protocol):
    """Keeps the replies of one server, under the names that `life.name_of` makes."""

    def add_sent(self, queue: str, name: str, frames: bytes) -> None:
        """Keep a reply that was sent, if it is small."""

    def add_unacked(self, queue: str, name: str, frames: bytes, until: float) -> None:
        """Keep a reply whose request the broker has again, until a time on the store's clock."""

    def doubt(self, queue: str) -> None:
        """The channel of this queue has ended: the replies sent there may be lost."""

    def find(self, name: str) -> Kept | None:
        """The reply to a call; None if it is not kept any more."""

    def unacked(self, queue: str) -> list[tuple[str, bytes]]:
        """The unacknowledged replies of a queue whose callers may still wait, the oldest first."""
        ...


class KeptReplies:
    """A `RecordStore` in memory. Finding a reply takes the same time however many are kept.

    :param clock: a clock in seconds that never jumps.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._sent: dict[str, Kept] = {}
        self._sent_of: dict[str, list[tuple[str, Kept]]] = {}
        self._unacked: dict[str, tuple[float, Kept]] = {}
        self._unacked_of: dict[str, OrderedDict[str, None]] = {}
        self._sizes: dict[str, int] = {}

    def add_sent(self, queue: str, name: str, frames: bytes) -> None:
        """Keep a reply that was sent, if it is small, until `SENT` or more others came after it."""
        if len(frames) > SENT_SIZE:
            return
        kept = queue, frames
        self._sent[name] = kept
        sent = self._sent_of.get(queue)
        if sent is None:
            sent = self._sent_of[queue] = []
        sent.append((name, kept))
        if len(sent) == 2 * SENT:
            self._drop_oldest(sent)

    def _drop_oldest(self, sent: list[tuple[str, Kept]]) -> None:
        for name, kept in sent[:SENT]:
            if self._sent.get(name) is kept:  # else the name was used again since
                del self._sent[name]
        del sent[:SENT]

    def add_unacked(self, queue: str, name: str, frames: bytes, until: float) -> None:
        """Keep a reply until its deadline; if there are too many, the oldest are dropped first."""
        frames = doubted(frames)
        self._drop_old(queue)
        self._forget(name)
        self._unacked[name] = until, (queue, frames)
        order = self._unacked_of.setdefault(queue, OrderedDict())
        order[name] = None
        self._sizes[queue] = self._sizes.get(queue, 0) + len(frames)
        while order and (len(order) > UNACKED or self._sizes[queue] > UNACKED_SIZE):
            self._forget(next(iter(order)))

    def doubt(self, queue: str) -> None:
        """The channel of this queue has ended: the replies sent there may be lost."""
        sent = self._sent_of.get(queue, [])
        for at, (name, kept) in enumerate(sent):
            frames = doubted(kept[1])
            if frames is not kept[1]:
                sent[at] = name, (queue, frames)
                if self._sent.get(name) is kept:
                    self._sent[name] = sent[at][1]

    def find(self, name: str) -> Kept | None:
        """The reply to a call; None if it is not kept any more."""
        unacked = self._unacked.get(name)
        return self._sent.get(name) if unacked is None else unacked[1]

    def unacked(self, queue: str) -> list[tuple[str, bytes]]:
        """The unacknowledged replies of a queue whose callers may still wait, the oldest first."""
        self._drop_old(queue)
        return [(name, self._unacked[name][1][1]) for name in self._unacked_of.get(queue, ())]

    def _drop_old(self, queue: str) -> None:
        now = self._clock()
        for name in [n for n in self._unacked_of.get(queue, ()) if self._unacked[n][0] < now]:
            self._forget(name)

    def _forget(self, name: str) -> None:
        known = self._unacked.pop(name, None)
        if known is not None:
            queue, frames = known[1]
            del self._unacked_of[queue][name]
            self._sizes[queue] -= len(frames)
