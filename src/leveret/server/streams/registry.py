"""The calls of one server that stream: found by their callers, and looked after by one timer.

A stream is here from the start of its handler until its caller has its end, or was given up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from leveret.server.calls.life import ServerCall, Source
from leveret.server.calls.names import name_of
from leveret.server.streams.stream import ServerStream
from leveret.streaming import Credit, Due
from leveret.wire.message import CallKey, UploadMessage

_EVERY: Final = 0.5
"""Seconds between two checks of all streams."""


class Streams:
    """The streams of one server.

    :param give_up: stops a call whose caller is gone.
    :param clock: a clock in seconds that never jumps.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        give_up: Callable[[ServerCall], None],
        clock: Callable[[], float],
    ) -> None:
        self._loop = loop
        self._give_up = give_up
        self._clock = clock
        self._of: dict[str, ServerStream] = {}
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._of)

    def __contains__(self, name: str) -> bool:
        return name in self._of

    def add(self, stream: ServerStream) -> None:
        """The handler of a call begins."""
        self._of[stream.call.name] = stream
        if self._timer is None:
            self._timer = self._loop.call_later(_EVERY, self.look)

    def credited(self, key: CallKey, credit: Credit) -> bool:
        """A caller gives credit; False if its stream is not here."""
        stream = self._of.get(name_of(key))
        if stream is None:
            return False
        stream.credited(credit, self._clock())
        if stream.is_done:
            self._remove(stream)
        return True

    def uploaded(self, message: UploadMessage) -> None:
        """A message of an upload came; it counts only if it is from the caller's user."""
        stream = self._of.get(name_of(message.key))
        if stream is not None and stream.call.user in ("", message.user):
            stream.uploaded(message, self._clock())

    def returned(self, key: CallKey) -> None:
        """The broker returned a message to a caller: the caller's queue is gone."""
        stream = self._of.get(name_of(key))
        if stream is not None:
            self._give_up_on(stream)

    def attached(self, source: Source) -> None:
        """Replies can be sent on this queue's channel again."""
        now = self._clock()
        for stream in list(self._of.values()):
            if stream.call.source is source:
                stream.attached(now)

    def refused(self, source: Source, size: int, most: int) -> None:
        """The broker closed this queue's channel, as `ServerStream.refused` says."""
        for stream in list(self._of.values()):
            if stream.call.source is source:
                stream.refused(size, most)

    def listens_again(self) -> None:
        """Uploads come in again."""
        now = self._clock()
        for stream in list(self._of.values()):
            stream.listens_again(now)

    def close(self) -> None:
        """Stop looking after streams."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for stream in list(self._of.values()):
            self._remove(stream)

    def look(self) -> None:
        """Do what is due; the timer calls this."""
        now = self._clock()
        for stream in list(self._of.values()):
            if stream.is_done:
                self._remove(stream)
            elif stream.tick(now) is Due.GIVE_UP:
                self._give_up_on(stream)
        self._timer = self._loop.call_later(_EVERY, self.look) if self._of else None

    def _give_up_on(self, stream: ServerStream) -> None:
        ended = stream.ended
        self._remove(stream)
        if not ended:
            self._give_up(stream.call)

    def _remove(self, stream: ServerStream) -> None:
        if self._of.get(stream.call.name) is stream:
            del self._of[stream.call.name]
        stream.leave()
