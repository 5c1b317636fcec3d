"""What a server sends on one channel: replies, notices, acknowledgements, requests handed back.

It alone owns the delivery tags that are not settled. A reply and the acknowledgement of its request
are sent in one write, the reply first: the request of a server that dies in between is redelivered,
never lost.

A client or a broker that does not read fills the socket. Then nothing more is put into the buffer:
messages wait here, in order, until the socket takes them. Their number is bounded by the unsettled
deliveries: each has one reply, and its acknowledgement waits behind that, so the broker delivers no
more either. Of each repeated reply only one waits.

Once the channel is closed nothing is sent any more: its number may belong to another channel by
then, and a late acknowledgement would be for somebody else's request.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final, Protocol

from msgspec import Struct

from leveret.amqp.confirms import Confirms
from leveret.amqp.events import Content
from leveret.amqp.frames import FrameParts, Frames, ack, nack, on_channel
from leveret.amqp.methods import Basic
from leveret.amqp.properties import Properties
from leveret.errors import LeveretError
from leveret.server.calls.life import ServerCall
from leveret.server.calls.way_back import Settle
from leveret.server.confirmed_messages import PublishConfirmed
from leveret.wire.context import CurrentCall
from leveret.wire.dialect import ReplyPacker
from leveret.wire.log_fields import fields_of, fields_of_method, shown
from leveret.wire.message import CallKey, Copy, Incoming, ReplyAddress

log = logging.getLogger("leveret.server")

_CONFIRM_TIMEOUT: Final = 5.0
"""Seconds that the broker has to take and confirm the last messages of a draining server."""
_NO_PLACE: Final = 1.0
"""Seconds until a request is handed back whose copy found no place."""

_REPLY: Final = 0
"""Noted for a published reply; for a request that was handed back, its delivery tag is noted."""


class Paused(Protocol):
    """Whether a socket takes what is written."""

    @property
    def paused(self) -> bool:
        """Whether it takes nothing."""
        ...


class Port(Protocol):
    """What is needed of a connection to send on it."""

    @property
    def writer(self) -> Paused:
        """Tells whether `writable` would wait."""
        ...

    @property
    def send(self) -> Callable[[bytes], None]:
        """Send frames."""
        ...

    @property
    def send_parts(self) -> Callable[[FrameParts], None]:
        """Send frames without joining them."""
        ...

    @property
    def defer(self) -> Callable[[Callable[[], None]], None]:
        """Call back just before the next write."""
        ...

    @property
    def collect(self) -> Callable[[], None]:
        """Have what was deferred sent now."""
        ...

    @property
    def writable(self) -> Callable[[], Awaitable[None]]:
        """Wait until the socket takes more.

        :raises ConnectionLost: if the connection ends.
        """
        ...


class Unsent(Struct, kw_only=True):
    """What waits for the socket."""

    frames: Frames
    """The frames to publish; b"" for none."""
    call: ServerCall | None = None
    """The call that has ended, whose request is then settled; None if there is none."""
    how: Settle = Settle.ACK
    """How its request is settled."""
    acknowledges: int = 0
    """The tag of the delivery that is acknowledged behind the frames, which are a copy of its
    request, or the reply to it once more; 0 for none."""


class Outbox:
    """The sending half of one channel (`calls/way_back.py`).

    :param number: the channel's number.
    :param packer: packs what is sent on it.
    :param method: the method whose requests come by it, as "service.method".
    :param own_user: the broker's user that this server has there.
    :param remembers: whether the call ids of its requests are unique.
    :param on_gone: is told of each caller whose queue is gone, as the broker returned an item.
    :param publish_confirmed: publishes a request again that nobody waits for.
    :param on_sent: called with each call for which `finish` returned False, once its reply left.
    """

    def __init__(
        self,
        number: int,
        port: Port,
        packer: ReplyPacker,
        *,
        method: str,
        own_user: str,
        remembers: bool,
        on_sent: Callable[[ServerCall], None],
        on_gone: Callable[[CallKey], None],
        publish_confirmed: PublishConfirmed,
    ) -> None:
        self.packer = packer
        self.own_user = own_user
        self.remembers = remembers
        self.unsettled: dict[int, None] = {}
        """The tags of unsettled deliveries, the oldest first; the consumer adds each delivery."""
        self.number = number
        self._method = method
        self._port = port
        self._writer = port.writer
        self._send: Callable[[bytes], None] = port.send
        self._send_parts: Callable[[FrameParts], None] = port.send_parts
        self._on_sent = on_sent
        self._on_gone = on_gone
        self._publish_confirmed = publish_confirmed
        self._finished: list[int] = []
        self._unsent: deque[Unsent] = deque()
        self._repeats: dict[str, bytes] = {}
        self._sending: asyncio.Task[None] | None = None
        self._confirms: Confirms[int] | None = None
        self._copies: dict[tuple[str, str], int] = {}
        """The tags of the requests that a drain handed back, by reply address and call id."""
        self._unrouted: set[int] = set()
        """The tags of those requests whose copies found no queue."""
        self._progress = asyncio.Event()
        self._closed = False

    @property
    def is_open(self) -> bool:
        """Whether anything can be sent: the channel is open."""
        return not self._closed

    @property
    def confirms(self) -> bool:
        """Whether the broker confirms what is sent from now on."""
        return self._confirms is not None

    @property
    def paused(self) -> bool:
        """Whether the socket takes nothing, or something waits for it."""
        return self._must_wait()

    async def writable(self) -> None:
        """Wait until the socket takes more.

        :raises LeveretError: if the connection ends.
        """
        await self._port.writable()

    # -- what is published -------------------------------------------------------------------------

    def reply(self, frames: bytes) -> None:
        """Send a reply, or a question that must arrive."""
        if not frames or self._closed:
            return
        if self._must_wait():
            self._wait(Unsent(frames=frames))
        else:
            self._publish(frames, _REPLY)

    def send_item(self, frames: Frames) -> bool:
        """Send an item of a stream; return whether the socket takes the next one."""
        if self._closed:
            return True  # it is kept, and sent on the next channel
        if self._writer.paused or self._unsent:
            self._wait(Unsent(frames=frames))
            return False
        self._send_frames(frames)
        if self._confirms is not None:
            self._confirms.add(_REPLY)
        return not self._writer.paused

    def defer(self, callback: Callable[[], None]) -> None:
        """Call back just before the next write, at the end of this pass of the event loop."""
        self._port.defer(callback)

    def notice(self, frames: bytes) -> bool:
        """Send a notice if the socket takes it; return whether it did."""
        if not frames or self._closed or self._must_wait():
            return False
        self._publish(frames, _REPLY)
        return True

    def repeat(self, name: str, frames: bytes) -> None:
        """Send a reply once more, which was packed for any channel; do nothing for b""."""
        if self._closed or not frames:
            return
        if self._must_wait():
            self._repeats[name] = frames
            self._start_sending()
        else:
            self._publish(on_channel(frames, self.number), _REPLY)

    def repeat_for(self, tag: int, frames: bytes) -> None:
        """Send a reply once more, packed for any channel, and acknowledge this delivery behind it.

        :param frames: b"" if nobody waits for a reply.
        """
        if not frames or self._closed:
            self.settle(tag, Settle.ACK)
            return
        frames = on_channel(frames, self.number)
        if self._must_wait():
            self._wait(Unsent(frames=frames, acknowledges=tag))
        else:
            self._publish(frames, tag)

    def finish(self, call: ServerCall, frames: bytes) -> bool:
        """Send a call's reply and acknowledge its request.

        :returns: False if they wait for the socket; `on_sent` is called when they have left.
        """
        # As in `_must_wait` and `_publish`, without their calls: each call comes by here.
        if self._writer.paused or self._unsent:
            self._wait(Unsent(frames=frames, call=call))
            return False
        if frames:
            self._send(frames)
            if self._confirms is not None:
                self._confirms.add(_REPLY)
        if not self._finished:
            self._port.defer(self._acknowledge_finished)
        self._finished.append(call.incoming.delivery.delivery_tag)
        return True

    def reject(self, call: ServerCall, frames: bytes) -> None:
        """Send a call's reply and have the broker dead-letter its request."""
        if self._must_wait():
            self._wait(Unsent(frames=frames, call=call, how=Settle.REJECT))
        else:
            self.reply(frames)
            self.settle(call.tag, Settle.REJECT)

    def hand_back(
        self,
        call: Incoming,
        seconds: float,
        user: str,
        attempts: int | None,
        placed: Callable[[bool], None] | None = None,
    ) -> bool:
        """Publish a request again in place of this delivery, so that it counts as never delivered.

        While the server drains, or if nobody waits for the call, the original is acknowledged
        once the broker has confirmed the copy. It goes back to its queue if the broker refuses the
        copy, or has no way to the queue.

        :param seconds: what is left of its time to live.
        :param user: whose request it is.
        :param attempts: how many servers have had it, if that is to be counted.
        :param placed: is told whether the copy has a place: at once, or, if nobody waits for the
            call, once the broker has said so. It must handle a request whose copy has no place.
            By default such a request goes back after a moment, as it would come again at once.
        :returns: False, and nothing is done, if it has headers that only its sender could pack.
        """
        tag = call.delivery.delivery_tag
        try:
            frames = self.packer.copy(
                Copy(
                    request=call,
                    seconds=seconds,
                    user=user,
                    own_user=self.own_user,
                    has_original=self.confirms or not call.is_awaited,
                    attempts=attempts,
                )
            )
        except (TypeError, ValueError) as error:
            named = CurrentCall(call, self._method, call.deadline)
            log.warning(
                "%s: its request cannot be published again: %s",
                *(shown(named), error),
                extra=fields_of(named),
            )
            return False
        if not (call.is_awaited or self.confirms):
            name = call.delivery.properties.correlation_id or ""
            self._publish_confirmed(frames, name, partial(self._copied, tag, placed))
            return True
        if self._confirms is not None:
            self._copies[_name(call.delivery.properties)] = tag
        if self._must_wait():
            self._wait(Unsent(frames=frames, acknowledges=tag))
        else:
            self._publish(frames, tag)
        if placed is not None:
            placed(True)
        return True

    def _copied(self, tag: int, placed: Callable[[bool], None] | None, taken: bool) -> None:
        """The broker has confirmed or refused the copy of a request that nobody waits for.

        If the channel has ended, the broker has the request itself.
        """
        if taken and not self._closed:
            self.settle(tag, Settle.ACK)
        if placed is not None:
            placed(taken or self._closed)
        elif not (taken or self._closed):
            loop = asyncio.get_running_loop()
            loop.call_later(_NO_PLACE, self.settle, tag, Settle.REQUEUE)

    def _send_frames(self, frames: Frames) -> None:
        if isinstance(frames, FrameParts):
            self._send_parts(frames)
        else:
            self._send(frames)

    def _publish(self, frames: Frames, acknowledges: int) -> None:
        self._send_frames(frames)
        if self._confirms is not None:
            self._confirms.add(acknowledges)
        elif acknowledges:
            self._acknowledge(acknowledges)  # the broker takes both in this order

    # -- what is settled ---------------------------------------------------------------------------

    def settle(self, tag: int, how: Settle) -> None:
        """Settle a delivery without a reply."""
        if how is Settle.ACK:
            self._acknowledge(tag)
            return
        self.unsettled.pop(tag, None)
        self._send(nack(self.number, tag, requeue=how is Settle.REQUEUE))

    def _acknowledge(self, tag: int) -> None:
        """Acknowledge a request with the next write, after the replies that are in it."""
        if not self._finished:
            self._port.defer(self._acknowledge_finished)
        self._finished.append(tag)

    def _acknowledge_finished(self) -> None:
        """Acknowledge all before the oldest unsettled one by one frame, the others singly."""
        finished, self._finished = self._finished, []
        unsettled = self.unsettled
        for tag in finished:
            unsettled.pop(tag, None)
        oldest = next(iter(unsettled), None)
        if oldest is not None:
            for tag in finished:
                if tag > oldest:
                    self._send(ack(self.number, tag))
            finished = [tag for tag in finished if tag < oldest]
        if finished:
            self._send(ack(self.number, max(finished), multiple=len(finished) > 1))

    # -- while the socket takes nothing ------------------------------------------------------------

    def _must_wait(self) -> bool:
        return self._writer.paused or bool(self._unsent)

    def _wait(self, unsent: Unsent) -> None:
        if not self._closed:
            self._unsent.append(unsent)
            self._start_sending()

    def _start_sending(self) -> None:
        if self._sending is None or self._sending.done():
            self._sending = asyncio.get_running_loop().create_task(self._send_unsent())

    async def _send_unsent(self) -> None:
        """Send the messages that wait, one after the other, as the socket takes them."""
        try:
            while self._unsent or self._repeats:
                await self._port.writable()
                if self._unsent:
                    self._send_one(self._unsent.popleft())
                elif self._repeats:
                    frames = self._repeats.pop(next(iter(self._repeats)))
                    self._publish(on_channel(frames, self.number), _REPLY)
        except LeveretError:
            pass  # the connection has ended; `close` is called with the channel's end
        finally:
            self._progress.set()

    def _send_one(self, unsent: Unsent) -> None:
        if unsent.frames:
            self._publish(unsent.frames, unsent.acknowledges)
        if unsent.call is not None:
            self.settle(unsent.call.tag, unsent.how)
            self._on_sent(unsent.call)

    # -- the end -----------------------------------------------------------------------------------

    async def select_confirms(self, select: Callable[[], Awaitable[None]]) -> None:
        """Have the broker confirm each reply from here on, as soon nobody can send it again.

        :param select: puts the channel into confirm mode.
        """
        self._confirms = Confirms()
        await select()

    async def confirmed(self) -> None:
        """Wait until everything was sent, and the broker has confirmed what was sent since then."""
        try:
            async with asyncio.timeout(_CONFIRM_TIMEOUT):
                while not self._closed and (self._unsent or self._confirms):
                    self._progress.clear()
                    await self._progress.wait()
        except TimeoutError:
            last = len(self._unsent) + len(self._confirms or ())
            log.error(
                "%s: the broker did not confirm %d last messages",
                *(self._method, last),
                extra=fields_of_method(self._method),
            )

    def on_confirm(self, number: int, multiple: bool, ok: bool) -> None:
        """The broker confirmed, or refused, what was published."""
        if self._confirms is None:
            return
        for tag in self._confirms.settle(number, multiple):
            if tag == _REPLY:
                continue
            taken = ok and tag not in self._unrouted
            self.settle(tag, Settle.ACK if taken else Settle.REQUEUE)
        self._progress.set()

    def on_return(self, returned: Content) -> None:
        """The broker returned a copy or a message to a caller, as it found no queue.

        The confirm of a copy follows.
        """
        properties = returned.properties
        tag = self._copies.get(_name(properties))
        if tag is not None:
            self._unrouted.add(tag)
        elif isinstance(returned.method, Basic.Return):
            reply_to = ReplyAddress(
                exchange=returned.method.exchange, key=returned.method.routing_key
            )
            self._on_gone((reply_to, properties.correlation_id or ""))

    def close(self, *, open_channel: bool) -> list[Unsent]:
        """Send what is due, and nothing from then on; return what was not sent.

        :param open_channel: whether the channel still takes what is due.
        """
        if open_channel:
            self._port.collect()
        self._closed = True
        self._send = self._send_parts = _discard
        if self._sending is not None:
            self._sending.cancel()
        unsent, self._unsent = list(self._unsent), deque()
        self._repeats.clear()
        self.unsettled.clear()
        self._progress.set()
        return unsent

    async def wait_closed(self) -> None:
        """Wait until its task has ended."""
        if self._sending is not None:
            await asyncio.wait((self._sending,))


def _name(properties: Properties) -> tuple[str, str]:
    """What identifies a copy that is returned: reply address and call id."""
    return properties.reply_to or "", properties.correlation_id or ""


def _discard(_data: Frames) -> None:
    """Drop frames that cannot be sent any more."""
