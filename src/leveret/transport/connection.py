"""One AMQP connection on asyncio: reads in batches, writes in batches, fails as a whole.

All frames of one read are handled in one pass, and everything that they cause to be sent is sent in
one write: that is most of Leveret's speed. A connection that has ended stays ended: `closed` says
why, every waiter and every channel is told at once, and `transport.link` opens a new one.

The rules are elsewhere: `states` has the states, `handshake` the negotiation, `channel`
the channels, `writer` the batches and the back-pressure.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar, cast

from leveret.amqp import frames, methods
from leveret.amqp.codes import PROTOCOL_HEADER, ReplyCode
from leveret.amqp.events import Ack, Delivery, Event, Method, Nack
from leveret.amqp.methods import AMQPMethod
from leveret.amqp.parser import Parser
from leveret.errors import (
    Busy,
    ConnectionClosed,
    ConnectionLost,
    LeveretError,
    ProtocolError,
    escaped,
)
from leveret.transport.channel import Channel
from leveret.transport.dialing import Endpoint
from leveret.transport.handshake import CHANNEL_MAX, FRAME_MAX, Agreed, Handshake, not_amqp
from leveret.transport.heartbeat import Heartbeat
from leveret.transport.network_errors import reason
from leveret.transport.states import CONNECTION, ConnEvent, ConnState
from leveret.transport.writer import Writer

log = logging.getLogger("leveret.transport")

T = TypeVar("T")

_CLOSED: Final = ConnState.CLOSED
"""Bound once, for each read: before Python 3.12 reading a member of an enum is slow."""

CLOSE_TIMEOUT: Final = 5.0
"""Seconds that a peer has to answer connection.close, and to take what was written before."""


class Connection(asyncio.Protocol):
    """One connection; `transport.opening.open_connection` makes it and waits for its handshake.

    Await `writable` before a message is sent. Frames without content, such as acknowledgements,
    need not wait. `writer.paused` tells without a call whether `writable` would wait.

    :param name: "host:port", for messages.
    :param max_message_size: bytes of the largest message body to keep when one arrives.
    """

    def __init__(self, name: str, handshake: Handshake, *, max_message_size: int) -> None:
        self.loop = asyncio.get_running_loop()
        self.name = name
        self.endpoint: Endpoint | None = None
        """The address of the peer; None if there is no socket."""
        self.state = ConnState.GREETING
        self.opened: asyncio.Future[None] = self.loop.create_future()
        """Done when the handshake is, with an error if it failed."""
        self.closed: LeveretError | None = None
        """Why the connection has ended; None while it has not."""
        self.blocked = ""
        """The broker's reason while it blocks publishers; "" otherwise
        (https://www.rabbitmq.com/docs/connection-blocked)."""
        self.on_close: list[Callable[[LeveretError], None]] = []
        """Called with the reason, once, after all channels have ended."""
        self.on_blocked: list[Callable[[str], None]] = []
        """Called with `blocked`, each time that the broker says so."""
        self.on_paused: list[Callable[[bool], None]] = []
        """Called with True when the socket takes no more, and with False when it does again."""
        self.reads = 0
        """How often anything came from the broker."""
        self.frame_max = FRAME_MAX
        self.channel_max = CHANNEL_MAX
        self.server_properties: dict[str, Any] = {}
        """The broker's properties, as it sent them."""
        self.user = ""
        """The broker's name for this side's user; "" if it is not known."""
        self.writer = Writer(self.loop, lambda paused: self._tell_all(self.on_paused, paused))
        self.send = self.writer.send
        self.send_parts = self.writer.send_parts
        self.defer = self.writer.defer
        self.collect = self.writer.collect
        self._handshake = handshake
        self._heartbeat = Heartbeat(
            self.loop,
            traffic=lambda: (self.reads, self.writer.writes),
            send=self.send,
            dead=self.abort,
        )
        self._parser = Parser(frame_max=self.frame_max, max_body=max_message_size)
        self._transport: asyncio.Transport | None = None
        self._channels: dict[int, Channel] = {}
        self._hang_up: asyncio.TimerHandle | None = None
        self._gone = self.loop.create_future()

    def __str__(self) -> str:
        return self.name

    # -- what asyncio calls ------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin with the protocol header."""
        self._transport = cast(asyncio.Transport, transport)
        self.writer.attach(self._transport)
        self._transport.write(PROTOCOL_HEADER)

    def data_received(self, data: bytes) -> None:
        """Handle all frames of one read."""
        self.reads += 1
        if self.state is _CLOSED:
            return
        try:
            events = self._parser.receive(data)
        except ProtocolError as error:
            self.refuse(not_amqp(data) if self.state is ConnState.GREETING else error)
            return
        channels = self._channels
        for event in events:
            try:
                kind = type(event)
                if kind is Delivery:
                    channel = channels.get(event.channel)  # type: ignore[union-attr]
                    if channel is not None:
                        consumer = channel.consumers.get(event.consumer_tag)  # type: ignore[union-attr]
                        if consumer is not None:
                            consumer(event)  # type: ignore[arg-type]
                elif kind is Ack or kind is Nack:
                    channel = channels.get(event.channel)  # type: ignore[union-attr]
                    if channel is not None and channel.on_confirm is not None:
                        channel.on_confirm(event.delivery_tag, event.multiple, kind is Ack)  # type: ignore[union-attr]
                else:
                    self._handle(event)
            except Exception as error:  # noqa: BLE001 - one message must not cost all other calls
                self._complain(type(event).__name__, error)

    def pause_writing(self) -> None:
        """The peer does not take what is written."""
        self.writer.pause()

    def resume_writing(self) -> None:
        """The peer takes more."""
        self.writer.resume()

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone."""
        self._end(ConnectionLost(f"{self}: connection lost: {reason(exc)}"))
        if self._hang_up is not None:
            self._hang_up.cancel()
        self._transport = None
        self.writer.detach()
        if not self._gone.done():
            self._gone.set_result(None)

    # -- sending -----------------------------------------------------------------------------

    @property
    def paused(self) -> bool:
        """Whether the peer does not take what is written."""
        return self.writer.paused

    async def writable(self) -> None:
        """Wait until the socket takes more; return at once if it does. Then send at once.

        The transport buffers at most 1 MiB and a batch of 64 KiB beyond the message of one sender
        where all senders of messages wait here first.

        :raises ConnectionLost: if the connection has ended.
        """
        if self.closed is None:
            await self.writer.wait_until_writable()
        self.check_open()

    def check_open(self) -> None:
        """:raises ConnectionLost: if the connection has ended."""
        if self.closed is not None:
            raise ConnectionLost(
                f"{self}: not connected: {self.closed}", executed="no"
            ) from self.closed

    # -- channels ----------------------------------------------------------------------------

    async def open_channel(self) -> Channel:
        """Open a channel.

        :raises Busy: if the broker allows no more channels on one connection.
        :raises ConnectionLost: if the connection has ended, ends meanwhile, or the broker does not
            answer in time.
        :raises ConnectionClosed: if the broker closes the connection instead.
        :raises ChannelClosed: if the broker closes the channel instead.
        """
        channel, opened = self.begin_channel()
        try:
            await opened
        except BaseException:
            channel.abandon()
            raise
        return channel

    def begin_channel(self) -> tuple[Channel, Coroutine[Any, Any, Any]]:
        """Begin to open a channel. It may be used at once; the coroutine waits until it is open.

        If that fails, the caller must abandon the channel.

        :raises Busy: as `open_channel` does. :raises ConnectionLost: if the connection has ended.
        """
        self.check_open()
        number = next((n for n in range(1, self.channel_max + 1) if n not in self._channels), 0)
        if not number:
            raise Busy(f"{self}: all {self.channel_max} channels of the connection are open")
        channel = self._channels[number] = Channel(self, number)
        return channel, channel.ask(methods.Channel.Open())

    def release(self, channel: Channel) -> None:
        """Free the number of a channel that has ended."""
        if self._channels.get(channel.number) is channel:
            del self._channels[channel.number]

    # -- the connection's own methods, on channel 0 --------------------------------------------

    def _handle(self, event: Event) -> None:
        number = getattr(event, "channel", 0)
        if number:
            channel = self._channels.get(number)
            if channel is not None:
                channel.handle(event)
            return
        if not isinstance(event, Method):
            return
        method = event.method
        match method:
            case methods.Connection.Close():
                self._send_control(methods.Connection.CloseOk())
                self.writer.flush()
                self._end(ConnectionClosed(method.reply_code, method.reply_text))
                self._close_transport()
            case methods.Connection.CloseOk():
                self._close_transport()
            case methods.Connection.Blocked():
                self._block(method.reason or "no reason given")
            case methods.Connection.Unblocked():
                self._block("")
            case _ if self.state in (ConnState.GREETING, ConnState.TUNING):
                self._negotiate(method)
            case _:
                log.warning("%s: got %s unasked", self, method.name)

    def _negotiate(self, method: AMQPMethod) -> None:
        self._advance(ConnEvent.GREETED)
        try:
            step = self._handshake.receive(method)
            if isinstance(step, Agreed):
                self._open(step)
            else:
                for answer in step:
                    self._send_control(answer)
        except LeveretError as error:
            self._break_off(error)
        except (ValueError, TypeError) as error:  # a value that no field of AMQP can hold
            self._break_off(ConnectionLost(f"{self}: cannot connect: {error}", executed="no"))

    def _open(self, agreed: Agreed) -> None:
        self.frame_max = self._parser.frame_max = agreed.frame_max
        self.channel_max = agreed.channel_max
        self.user = agreed.user
        self.server_properties = agreed.server_properties
        self._advance(ConnEvent.AGREED)
        self._heartbeat.start(agreed.heartbeat)
        if not self.opened.done():  # else whoever waited for it was cancelled
            self.opened.set_result(None)

    def _block(self, reason: str) -> None:
        reason = escaped(reason)
        if reason:
            log.warning("%s: the broker takes no publishes: %s", self, reason)
        else:
            log.info("%s: the broker takes publishes again", self)
        self.blocked = reason
        self._tell_all(self.on_blocked, reason)

    def _send_control(self, method: AMQPMethod) -> None:
        self.collect()
        self.send(frames.method_frame(0, method))

    # -- the end -----------------------------------------------------------------------------

    async def close(self) -> None:
        """Close cleanly: everything that was sent reaches the broker. Never raises, never hangs."""
        if self.blocked:  # the broker would not read connection.close
            self.abort("closed by this side, while the broker took no publishes")
        by_us = "the connection was closed by this side"
        if self.state is ConnState.OPEN:
            self._send_close(ReplyCode.SUCCESS, "bye")
            self._end(ConnectionLost(f"{self}: {by_us}"), ConnEvent.CLOSE_SENT)
        elif self.closed is None:
            self.abort(by_us)
        if self._transport is None:
            return  # the socket is gone, or was never there
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT):
                await asyncio.shield(self._gone)
        except TimeoutError:
            self.abort("the broker did not answer connection.close")
        finally:
            self._close_transport()

    def abort(self, reason: str) -> None:
        """Drop the connection at once."""
        self._break_off(ConnectionLost(f"{self}: {reason}"))

    def refuse(self, error: ProtocolError) -> None:
        """End the connection because the peer breaks the protocol; tell the peer if it is open."""
        log.error("%s: %s", self, error)
        if self.state is ConnState.OPEN:
            self._send_close(error.reply_code, error.reply_text)
        self._end(error)
        self._close_transport()

    def _break_off(self, error: LeveretError) -> None:
        self._end(error)
        self.writer.detach()  # uvloop refuses what is written from now on
        if self._transport is not None:
            self._transport.abort()

    def _advance(self, event: ConnEvent) -> None:
        self.state = CONNECTION.get((self.state, event), self.state)

    def _end(self, error: LeveretError, event: ConnEvent = ConnEvent.ENDED) -> None:
        """Advance the state, and tell everyone once why the connection has ended."""
        self._advance(event)
        if self.closed is not None:
            return
        self.closed = error
        self._heartbeat.stop()
        self.writer.end()
        if not self.opened.done():
            self.opened.set_exception(self._handshake.explain(error))
            self.opened.exception()  # nobody may wait for it any more
        for channel in tuple(self._channels.values()):
            channel.end(error)
        self._tell_all(self.on_close, error)

    def _tell_all(self, callbacks: list[Callable[[T], None]], news: T) -> None:
        for callback in tuple(callbacks):
            self.tell(callback, news)

    def tell(self, callback: Callable[[T], None], news: T) -> None:
        """Call back. A callback that fails is reported, and does not affect others."""
        try:
            callback(news)
        except Exception as error:  # noqa: BLE001 - reported, as asyncio reports its callbacks'
            self._complain(type(news).__name__, error)

    def _complain(self, event: str, error: Exception) -> None:
        self.loop.call_exception_handler(
            {"message": f"{self}: a callback failed at {event}", "exception": error}
        )

    def _send_close(self, code: int, text: str) -> None:
        short = text.encode(errors="replace")[:255].decode(errors="ignore")
        self._send_control(methods.Connection.Close(reply_code=code, reply_text=short))
        self.writer.flush()

    def _close_transport(self) -> None:
        """Close once everything was sent; do not wait for a peer that does not read."""
        if self._transport is not None and self._hang_up is None:
            self._transport.close()
            self._hang_up = self.loop.call_later(CLOSE_TIMEOUT, self._transport.abort)
