"""Calls that run on while their connection is gone, and replies that may have to be sent again.

The broker takes back what was not acknowledged on a channel that ends, and delivers it again, to
this server or to another. What comes back here is not begun anew: it meets its handler, which still
runs, or the reply that is kept for it. A client whose own connection broke asks for its replies.
"""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from typing import TYPE_CHECKING, Final

from leveret.amqp.events import Delivery

if TYPE_CHECKING:
    from leveret.server.running import CallKey, Running

_RECENT: Final = 1_000
_SMALL: Final = 1_024
_KEPT: Final = 1_000
_KEPT_BYTES: Final = 64 * 1024 * 1024


class Orphans:
    """The calls of one consumer whose deliveries are void, and the replies of those that ended."""

    def __init__(self) -> None:
        self.running: dict[CallKey, Running] = {}
        self._recent: deque[tuple[str | None, str | None, bytes]] = deque(maxlen=_RECENT)
        """The latest small replies, sent, but who knows whether they arrived."""
        self._kept: OrderedDict[CallKey, tuple[float, bytes]] = OrderedDict()
        """The replies of orphans, which have not been acknowledged to the broker."""
        self._size = 0

    def take(self, calls: list[Running]) -> None:
        """These calls lost their channel. One that names no caller cannot be met again."""
        for running in calls:
            running.orphan()
            self.running[running.key if all(running.key) else (None, str(id(running)))] = running

    def find(self, delivery: Delivery) -> Running | None:
        """The call that this request, delivered again, is; it is no orphan any more."""
        properties = delivery.properties
        return self.running.pop((properties.reply_to, properties.correlation_id), None)

    def leave(self, running: Running) -> bool:
        """A call ended; False if it was no orphan (any more)."""
        for key, orphan in self.running.items():
            if orphan is running:
                del self.running[key]
                return True
        return False

    def keep(self, running: Running, reply: bytes) -> None:
        """Keep the reply of a call that ended, for its request, which is still with the broker."""
        if not reply or not all(running.key):
            return
        self._drop_old()
        self._kept[running.key] = (running.deadline, reply)
        self._size += len(reply)
        while self._kept and (len(self._kept) > _KEPT or self._size > _KEPT_BYTES):
            self._forget(next(iter(self._kept)))

    def note(self, delivery: Delivery, reply: bytes) -> None:
        """Remember a reply that is sent, if it is small, for as long as a thousand others."""
        if len(reply) <= _SMALL:
            properties = delivery.properties
            self._recent.append((properties.reply_to, properties.correlation_id, reply))

    def kept(self, key: CallKey) -> bytes:
        """The reply that was given to a call, b"" if it is not known any more."""
        if not all(key):
            return b""
        if key in self._kept:
            return self._kept[key][1]
        return next((reply for *call, reply in self._recent if tuple(call) == key), b"")

    def given(self, reply_to: str, call_ids: set[str]) -> list[bytes]:
        """The replies to these calls of one client, as far as they are still known."""
        late = [
            self._kept[reply_to, call][1] for call in call_ids if (reply_to, call) in self._kept
        ]
        recent = [r for to, call, r in self._recent if to == reply_to and call in call_ids]
        return late + recent

    def replies(self) -> list[bytes]:
        """All kept replies whose callers may still wait."""
        self._drop_old()
        return [reply for _, reply in self._kept.values()]

    def _drop_old(self) -> None:
        now = time.time()
        for key in [key for key, (deadline, _) in self._kept.items() if deadline < now]:
            self._forget(key)

    def _forget(self, key: CallKey) -> None:
        self._size -= len(self._kept.pop(key)[1])
