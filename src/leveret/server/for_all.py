"""Calls that every server of a service runs. They come by the control exchange.

A call of this kind goes the way of all calls of its method: access, validation, places, middleware,
deadline, cancel. But its request was delivered once to each server, and the broker does not have it
any more. So nothing is acknowledged or handed back to another server, and idempotency keys have no
meaning. Each reply says which server it is from. A server that drains refuses the call.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from msgspec import structs

from leveret.amqp.frames import Frames, on_channel
from leveret.contract import MethodSpec
from leveret.errors import Busy, CallError, LeveretError, NoServer, Unimplemented
from leveret.observe import ServerCounters
from leveret.server.calls.life import ServerCall, Source
from leveret.server.calls.way_back import Settle
from leveret.transport.channel import Channel
from leveret.transport.connection import Connection
from leveret.wire.control import CallForAll
from leveret.wire.dialect import ReplyPacker as PacksReplies
from leveret.wire.failures import ERROR_CONTENT_TYPE, encode_failure
from leveret.wire.message import CallKey, Incoming
from leveret.wire.native.names import CONTROL_EXCHANGE, ERROR
from leveret.wire.native.reply import ReplyPacker, pack_reply
from leveret.wire.native.request import read_request

_NUMBER: Final = 1
"""The channel that replies are packed for; the current channel's number is put in later."""
_TIMEOUT: Final = 10.0
"""Seconds that a call of an unknown method has if it does not say."""
_WAITING: Final = 1_000
"""How many calls of each method may wait for a place, and how many replies for the socket."""


class Takes(Protocol):
    """What serves a method."""

    spec: MethodSpec
    draining: bool

    @property
    def waiting(self) -> Sequence[ServerCall]:
        """The calls that wait for a place."""
        ...

    def take(self, request: Incoming, source: Source, *, old: bool) -> None:
        """A request is here."""

    def attached(self, source: Source) -> None:
        """Replies to this source can be sent again."""


class WayBack:
    """Sends replies on the control channel of now, in order, as its socket takes them.

    The caller asks again for a reply that is lost with a channel.
    """

    def __init__(self) -> None:
        self._channel: Channel | None = None
        self._connection: Connection | None = None
        self._waiting: deque[bytes] = deque(maxlen=_WAITING)
        self._sending: asyncio.Task[None] | None = None

    def attached(self, channel: Channel, connection: Connection) -> None:
        """Messages are sent and received on this channel from now on."""
        self._channel = channel
        self._connection = connection
        self._waiting.clear()

    @property
    def connection(self) -> Connection | None:
        """The connection on which replies are sent; None if there is none now."""
        channel = self._channel
        return None if channel is None or channel.closed is not None else self._connection

    def send(self, frames: bytes, *, may_wait: bool = True) -> bool:
        """Send frames that were packed for any channel; return whether they were sent at once."""
        channel = self._channel
        if channel is None or channel.closed is not None or not frames:
            return False
        if channel.connection.writer.paused or self._waiting:
            if may_wait:
                self._waiting.append(frames)
                if self._sending is None or self._sending.done():
                    self._sending = channel.connection.loop.create_task(self._send(channel))
            return False
        channel.connection.send(on_channel(frames, channel.number))
        return True

    async def _send(self, channel: Channel) -> None:
        try:
            while self._waiting and channel is self._channel and channel.closed is None:
                await channel.connection.writable()
                if self._waiting and channel.closed is None:
                    channel.connection.send(on_channel(self._waiting.popleft(), channel.number))
        except LeveretError:
            pass  # whoever waits for them asks again

    async def close(self) -> None:
        """Stop sending."""
        self._channel = None
        if self._sending is not None:
            self._sending.cancel()
            await asyncio.wait((self._sending,))


class AnswersForAll:
    """The way back of one method's calls (`calls/way_back.py`)."""

    number = _NUMBER
    remembers = True
    confirms = False

    def __init__(self, way: WayBack, packer: ReplyPacker, own_user: str) -> None:
        self.packer: PacksReplies = packer
        self.own_user = own_user
        self._way = way

    @property
    def is_open(self) -> bool:
        """Whether anything can be sent."""
        return self._way.connection is not None

    @property
    def paused(self) -> bool:
        """Whether the socket takes nothing."""
        connection = self._way.connection
        return connection is not None and connection.writer.paused

    async def writable(self) -> None:
        """Wait until the socket takes more.

        :raises LeveretError: if the connection ends.
        """
        connection = self._way.connection
        if connection is not None:
            await connection.writable()

    def reply(self, frames: bytes) -> None:
        """Send a reply."""
        self._way.send(frames)

    def send_item(self, frames: Frames) -> bool:
        """Nothing streams to all."""
        return self._way.send(bytes(frames))

    def defer(self, callback: Callable[[], None]) -> None:
        """Nothing streams to all."""
        callback()

    def notice(self, frames: bytes) -> bool:
        """Send a notice if the socket takes it; returns whether it did."""
        return self._way.send(frames, may_wait=False)

    def repeat(self, name: str, frames: bytes) -> None:
        """Send the reply to a call once more."""
        self._way.send(frames)

    def repeat_for(self, tag: int, frames: bytes) -> None:
        """Send the reply to a call once more. There is nothing to acknowledge."""
        self._way.send(frames)

    def finish(self, call: ServerCall, frames: bytes) -> bool:
        """Send a call's reply. There is nothing to acknowledge."""
        self._way.send(frames)
        return True

    def reject(self, call: ServerCall, frames: bytes) -> None:
        """Send a call's reply. There is nothing to dead-letter."""
        self._way.send(frames)

    def settle(self, tag: int, how: Settle) -> None:
        """Nothing: the broker has forgotten the request."""

    def hand_back(
        self,
        call: Incoming,
        seconds: float,
        user: str,
        attempts: int | None,
        placed: Callable[[bool], None] | None = None,
    ) -> bool:
        """Nothing: no other server is to run it."""
        return True


class CallsForAll:
    """Gives these calls to what serves their methods.

    :param instance: the server's name for itself.
    :param is_here: whether a call of this key is here already.
    :param clock: a clock in seconds that never jumps.
    """

    def __init__(
        self, instance: str, is_here: Callable[[CallKey], bool], clock: Callable[[], float]
    ) -> None:
        self._instance = instance
        self._is_here = is_here
        self._clock = clock
        self._way = WayBack()
        self._methods: dict[str, tuple[Takes, Source, AnswersForAll]] = {}

    def add(self, method: Takes, counters: ServerCounters) -> Source:
        """Calls of this method may come; returns what they know.

        :param counters: count them.
        """
        spec = method.spec
        answers = AnswersForAll(self._way, self._packer(spec, 0), "")
        name = f"{CONTROL_EXCHANGE} {spec.key}"
        source = Source(queue=name, answers=answers, counters=counters)
        self._methods[spec.key] = method, source, answers
        method.attached(source)
        return source

    def attached(self, channel: Channel, connection: Connection) -> None:
        """The control queue is consumed on this channel from now on."""
        self._way.attached(channel, connection)
        for method, _, answers in self._methods.values():
            answers.packer = self._packer(method.spec, connection.frame_max)
            answers.own_user = connection.user

    async def close(self) -> None:
        """Stop answering."""
        await self._way.close()

    def take(self, call: CallForAll) -> None:
        """Take a call, unless it is here already and came twice."""
        found = self._methods.get(f"{call.service}.{call.method}")
        timeout = _TIMEOUT if found is None else found[0].spec.timeout
        read = read_request(call.delivery, time.time(), timeout)
        request = structs.replace(
            read,
            for_all=True,
            redelivered=False,
            idempotency_key=None,
            started=None,
            stage=0,
            then=(),
        )
        if self._is_here((request.reply_to, request.call_id)):
            return
        if found is None:
            name = call.method or "no method"
            self._refuse(request, Unimplemented(f"this server has no {call.service}.{name}"))
            return
        method, source, _ = found
        error: CallError
        if method.spec.streams or method.spec.upload is not None:
            error = Unimplemented("a stream cannot be asked of servers by their names, nor of all")
        elif method.draining:
            error = NoServer("this server stops, and takes no more calls")
        elif len(method.waiting) >= _WAITING:
            error = Busy(f"{_WAITING} calls already wait at this server")
        else:
            method.take(request, source, old=False)
            return
        counters, code = source.counters, str(error.code)
        counters.started += 1
        counters.ended(code, request.caller, self._clock(), 0.0, None, request.body_size, 0)
        self._refuse(request, error)

    def _refuse(self, request: Incoming, error: CallError) -> None:
        """Answer a call that no method takes."""
        connection = self._way.connection
        if connection is not None:
            error.executed = "no"
            self._way.send(
                pack_reply(
                    _NUMBER,
                    connection.frame_max,
                    request,
                    encode_failure(error),
                    ERROR_CONTENT_TYPE,
                    ERROR,
                    instance=self._instance,
                )
            )

    def _packer(self, spec: MethodSpec, frame_max: int) -> ReplyPacker:
        return ReplyPacker(_NUMBER, frame_max, spec, instance=self._instance)
