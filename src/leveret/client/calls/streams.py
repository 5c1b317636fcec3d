"""All streams of one client that a server has begun.

Each message of a stream passes through here. The first one says which server has the stream.
Messages of another server for the same call are refused, as both would send all items. One timer
looks after all streams: it sends again what may have been lost, and gives up servers that are
silent for too long.

The broker returns a credit if no server listens under its key. The server may be about to come
back, as the broker restarts or its connection broke. So the client sends the credit again for a
while before it gives the stream up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from math import inf
from typing import Final, cast

from leveret.client.calls.life import Event, Fire, Pending, State
from leveret.client.calls.stream import Stream
from leveret.errors import LeveretError, MaybeExecuted
from leveret.streaming import Credit, Due
from leveret.wire.failures import decode_failure
from leveret.wire.stream_messages import Closing, StreamMessage
from leveret.wire.timing import REPLY_GRACE, SERVERS_RETURN_WITHIN

_LOOKED_AT_EVERY: Final = 1.0
"""Seconds between two checks of all streams."""
_SENT_AGAIN_AFTER: Final = 0.25
"""Seconds until a credit that the broker returned is sent again."""
AWAY_FOR: Final = 2.0
"""Seconds that a server may be out of reach before the client gives its streams up."""


class Streams:
    """The streams that have not ended.

    :param finished: is told of each call whose stream is over.
    :param replied: takes the reply to a call whose stream no server has begun.
    :param extend: moves the deadline of a call.
    :param credit: sends credit to a server: `credit(server, call_id, credit)`.
    :param cancel: tells a server that nobody waits for its stream: `cancel(server, call)`.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        fire: Fire,
        finished: Callable[[Pending], None],
        replied: Callable[[Pending, Closing], None],
        extend: Callable[[Pending, float], None],
        credit: Callable[[str, str, Credit], None],
        cancel: Callable[[str, Pending], None],
    ) -> None:
        self._loop = loop
        self._time = loop.time
        self._fire = fire
        self._finished = finished
        self._replied = replied
        self._extend = extend
        self._credit = credit
        self._cancel = cancel
        self._begun: dict[str, tuple[Pending, Stream]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._patient_until = -inf

    def __len__(self) -> int:
        return len(self._begun)

    def close(self) -> None:
        """Look after no streams any more."""
        if self._timer is not None:
            self._timer.cancel()
        self._begun.clear()

    # -- what comes ---------------------------------------------------------------------------

    def received(self, call: Pending, message: StreamMessage) -> None:
        """Take a message of a stream."""
        begun = self._begun.get(call.id)
        if begun is None:
            if type(message) is Closing and not (message.n and message.server):
                self._replied(call, message)
                return
            if not message.server:
                return  # nobody could be told what may come
            stream = self._begin(call, message.server)
        else:
            stream = begun[1]
            if message.server != stream.server and message.server:
                self._cancel(message.server, call)
                return
            if type(message) is Closing and _is_of_a_copy(message):
                return
        stream.heard = True
        stream.returned_at = 0.0
        if stream.take(message):
            return  # an item, as nearly all
        if stream.wants_credit:
            self._say(call, stream)
        if stream.is_over:
            self._begun.pop(call.id, None)
            self._finished(call)

    def _begin(self, call: Pending, server: str) -> Stream:
        stream = cast("Stream", call.sink)
        stream.server = server
        stream.tell = partial(self._say, call, stream)
        stream.extend = partial(self._extend, call)
        if stream.upload is not None:
            stream.upload.begin(server)
        self._begun[call.id] = (call, stream)
        self._fire(call, Event.BEGINS)
        self._extend(call, stream.until + REPLY_GRACE)
        if self._timer is None:
            self._timer = self._loop.call_later(_LOOKED_AT_EVERY, self._look)
        return stream

    def unreachable(self, call_id: str) -> bool:
        """The broker returned a credit; False if there is no such stream."""
        begun = self._begun.get(call_id)
        if begun is None:
            return False
        call, stream = begun
        now = self._time()
        if not stream.returned_at:
            stream.returned_at = now
        if now >= max(stream.returned_at + AWAY_FOR, self._patient_until):
            self._gone(call, f"its server {stream.server} is gone")
        elif not stream.is_asked_again:  # all of an upload may come back at once
            stream.is_asked_again = True
            self._loop.call_later(_SENT_AGAIN_AFTER, self._once_more, call, stream)
        return True

    # -- what is said -------------------------------------------------------------------------

    def connection_changed(self) -> None:
        """The connection is another one; those of the servers may be, too."""
        self._patient_until = self._time() + SERVERS_RETURN_WITHIN

    def ask_again(self, call: Pending) -> None:
        """Ask the server of a stream to send again what may have been lost."""
        begun = self._begun.get(call.id)
        if begun is not None:
            self._say(call, begun[1], again=True)

    def server_of(self, call: Pending) -> str:
        """The instance that has the stream of this call; "" if none has begun it."""
        begun = self._begun.pop(call.id, None)
        return "" if begun is None else begun[1].server

    def _say(self, call: Pending, stream: Stream, *, again: bool = False) -> None:
        now = self._time()
        stream.liveness.moved(now)
        if stream.results or stream.is_over or again:
            self._credit(stream.server, call.id, stream.half.credit(now, again=again))
        if again and stream.upload is not None:
            stream.upload.say()

    def _repeat(self, call: Pending, stream: Stream, *, again: bool = False) -> None:
        """Send the last credit once more, as it may have been lost."""
        upload = stream.upload
        if stream.results or upload is None or upload.is_done:
            # Where one result is awaited, this asks whether the server knows the call.
            self._credit(stream.server, call.id, stream.half.credit(self._time(), again=again))
        if upload is not None:
            upload.say()

    def _once_more(self, call: Pending, stream: Stream) -> None:
        stream.is_asked_again = False
        if call.state is State.STREAMING and stream.returned_at:
            self._repeat(call, stream, again=True)

    def upload_again(self) -> None:
        """Uploads have another channel: send again all that servers have not acknowledged."""
        for _, stream in self._begun.values():
            if stream.upload is not None:
                stream.upload.send_again()

    def upload_refused(self, size: int) -> list[tuple[Pending, Stream, int]]:
        """The streams whose upload has an item of at least so many bytes, with its number.

        The broker does not take it, so it is not sent again.
        """
        refused: list[tuple[Pending, Stream, int]] = []
        for call, stream in self._begun.values():
            number = 0 if stream.upload is None else stream.upload.refused(size)
            if number:
                refused.append((call, stream, number))
        return refused

    # -- the timer ------------------------------------------------------------------------------

    def _look(self) -> None:
        now = self._time()
        for call_id, (call, stream) in list(self._begun.items()):
            if call.state is not State.STREAMING:
                self._begun.pop(call_id, None)
                continue
            if stream.heard:
                stream.heard = False
                stream.liveness.heard(now)
            due = stream.liveness.due(now)
            if due is Due.GIVE_UP:
                self._gone(call, f"nothing came from its server {stream.server} for too long")
            elif due is Due.SAY:
                stream.liveness.said_again(now)
                self._repeat(call, stream)
        self._timer = None
        if self._begun:
            self._timer = self._loop.call_later(_LOOKED_AT_EVERY, self._look)

    def _gone(self, call: Pending, why: str) -> None:
        self._fire(call, Event.SERVER_GONE, LeveretError(why))
        self._begun.pop(call.id, None)


def _is_of_a_copy(closing: Closing) -> bool:
    """Whether a server has refused another copy of the request of a stream that has begun.

    The server of the stream names itself in all that it sends, but where it does not know the
    stream any more.
    """
    reply = closing.reply
    if closing.server or not reply.is_error:
        return False
    return decode_failure(reply.body or b"", {}, "").code != MaybeExecuted.code
