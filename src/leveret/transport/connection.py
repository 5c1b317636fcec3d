"""One AMQP connection on asyncio: reads in batches, writes in batches, fails as a whole.

All frames of one read are handled in one pass, and what they cause to be sent leaves in one write:
that is most of Leveret's speed. A connection that is lost stays lost: `lost` says why, every waiter
and every channel is told at once, and `transport.link` opens a new one.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
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
)
from leveret.transport.channel import Channel
from leveret.transport.heartbeat import Heartbeat
from leveret.transport.writer import Writer

log = logging.getLogger("leveret.transport")

T = TypeVar("T")

_CLOSE_TIMEOUT: Final = 5.0


class Connection(asyncio.Protocol):
    """A connection after its handshake; `transport.opening.open_connection` makes one.

    Await `writable` before a message is sent; frames without content, such as acknowledgements,
    need not wait. `writer.paused` tells without a call whether `writable` would wait.

    `blocked` is the broker's reason while it takes no
    publishes (https://www.rabbitmq.com/docs/connection-blocked), else "".
    """

    def __init__(self, name: str, *, max_message_size: int) -> None:
        self.loop = asyncio.get_running_loop()
        self.name = name
        self.frame_max = 131_072
        self.channel_max = 2047
        self.closed: LeveretError | None = None
        self.blocked = ""
        self.on_close: list[Callable[[LeveretError], None]] = []
        self.on_blocked: list[Callable[[str], None]] = []
        self.on_paused: list[Callable[[bool], None]] = []
        """Called with True when the socket takes no more, and with False when it does again."""
        self.reads = 0
        """How often anything came from the broker."""
        self.server_properties: dict[str, Any] = {}
        self.user = ""
        """What the broker knows this side's user as, "" where that is not known."""
        self.writer = Writer(self.loop, lambda paused: self._tell_all(self.on_paused, paused))
        self.send = self.writer.send
        self.defer = self.writer.defer
        self.collect = self.writer.collect
        self.heartbeat = Heartbeat(self)
        self._parser = Parser(frame_max=self.frame_max, max_body=max_message_size)
        self._transport: asyncio.Transport | None = None
        self._channels: dict[int, Channel] = {}
        self._control: asyncio.Queue[Any] = asyncio.Queue()
        self._greeted = False  # the peer has sent a method: it speaks AMQP
        self._opened = False
        self._closing = False  # this side said close: only close-ok still counts
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
        """Handle all that one read brought."""
        self.heartbeat.heard = True
        self.reads += 1
        if self.closed is not None and not self._closing:
            return
        try:
            events = self._parser.receive(data)
        except ProtocolError as error:
            self.refuse(error if self._greeted else _no_amqp(data))
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
        reason = str(exc) if exc is not None else "the broker closed the socket"
        self._end(ConnectionLost(f"{self}: connection lost: {reason}"))
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
        """Wait until the socket takes more; return at once where it does. Then send at once.

        The transport buffers at most 1 MiB and a batch of 64 KiB beyond the message of one sender
        where all senders of messages wait here first.

        :raises ConnectionLost: if the connection is lost.
        """
        if self.closed is None:
            await self.writer.wait_until_writable()
        self.check_open()

    # -- channels ----------------------------------------------------------------------------

    async def open_channel(self) -> Channel:
        """Open a channel.

        :raises Busy: if the broker allows no more channels on one connection.
        """
        self.check_open()
        number = next((n for n in range(1, self.channel_max + 1) if n not in self._channels), 0)
        if not number:
            raise Busy(f"{self}: all {self.channel_max} channels of the connection are open")
        channel = self._channels[number] = Channel(self, number)
        try:
            await channel.call(methods.Channel.Open())
        except BaseException:
            channel.abandon()
            raise
        return channel

    def release(self, channel: Channel) -> None:
        """A channel ended; its number is free."""
        if self._channels.get(channel.number) is channel:
            del self._channels[channel.number]

    def check_open(self) -> None:
        """:raises ConnectionLost: if the connection is lost."""
        if self.closed is not None:
            raise ConnectionLost(
                f"{self}: not connected: {self.closed}", executed="no"
            ) from self.closed

    # -- the connection's own methods, on channel 0 --------------------------------------------

    def send_control(self, method: AMQPMethod) -> None:
        """Send a method of the connection itself."""
        self.collect()
        self.send(frames.method_frame(0, method))

    async def next_control(self) -> Any:
        """The next method of the handshake."""
        method = await self._control.get()
        if isinstance(method, LeveretError):
            raise method
        return method

    def tuned(self, *, frame_max: int, channel_max: int, heartbeat: int) -> None:
        """The handshake is over: keep to what was agreed. `heartbeat` is in seconds, 0 for none."""
        self.frame_max = self._parser.frame_max = frame_max
        self.channel_max = channel_max
        self._opened = True
        self.heartbeat.start(heartbeat)

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
                self.send_control(methods.Connection.CloseOk())
                self.writer.flush()
                self._end(ConnectionClosed(method.reply_code, method.reply_text))
                self._close_transport()
            case methods.Connection.CloseOk():
                self._close_transport()
            case methods.Connection.Blocked():
                self._block(method.reason or "no reason given")
            case methods.Connection.Unblocked():
                self._block("")
            case _ if not self._opened:
                self._greeted = True
                self._control.put_nowait(method)
            case _:
                log.warning("%s: got %s unasked", self, method.name)

    def _block(self, reason: str) -> None:
        if reason:
            log.warning("%s: the broker takes no publishes: %s", self, reason)
        else:
            log.info("%s: the broker takes publishes again", self)
        self.blocked = reason
        self._tell_all(self.on_blocked, reason)

    # -- the end -----------------------------------------------------------------------------

    async def close(self) -> None:
        """Close cleanly: what was sent before reaches the broker. Never raises, never hangs."""
        if self.blocked:  # it would not read our goodbye
            self.abort("closed by this side, while the broker took no publishes")
        if self.closed is None:
            self._send_close(ReplyCode.SUCCESS, "bye")
            self._closing = True
            # From here on a lost socket is what we asked for.
            self._end(ConnectionLost(f"{self}: the connection was closed by this side"))
        if self._transport is None:
            return  # gone already, or never there
        try:
            async with asyncio.timeout(_CLOSE_TIMEOUT):
                await asyncio.shield(self._gone)
        except TimeoutError:
            self.abort("the broker did not answer connection.close")
        finally:
            self._close_transport()

    def abort(self, reason: str) -> None:
        """Drop the connection at once."""
        self._end(ConnectionLost(f"{self}: {reason}"))
        if self._transport is not None:
            self._transport.abort()

    def refuse(self, error: ProtocolError) -> None:
        """The peer breaks the protocol: say so and hang up."""
        log.error("%s: %s", self, error)
        if self._opened:  # before that nothing may be said (AMQP 0-9-1, section 2.2.4)
            self._send_close(error.reply_code, error.reply_text)
        self._end(error)
        self._close_transport()

    def _end(self, error: LeveretError) -> None:
        if self.closed is not None:
            return
        self.closed = error
        self.heartbeat.stop()
        self.writer.end()
        self._control.put_nowait(error)
        for channel in tuple(self._channels.values()):
            channel.end(error)
        self._tell_all(self.on_close, error)

    def _tell_all(self, callbacks: list[Callable[[T], None]], news: T) -> None:
        for callback in tuple(callbacks):
            self.tell(callback, news)

    def tell(self, callback: Callable[[T], None], news: T) -> None:
        """Call back; one that fails must not keep the news from the next."""
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
        self.send_control(methods.Connection.Close(reply_code=code, reply_text=short))
        self.writer.flush()

    def _close_transport(self) -> None:
        """Close once what was written has left; a peer that does not take it is not waited for."""
        if self._transport is not None and self._hang_up is None:
            self._transport.close()
            self._hang_up = self.loop.call_later(_CLOSE_TIMEOUT, self._transport.abort)


def _no_amqp(data: bytes) -> ProtocolError:
    """What to tell a user whose URL leads to something else."""
    if data[:4] == b"AMQP":
        what = f"it offers version {data[4:8].hex('.')} of AMQP"
    elif data[:2] == b"\x15\x03":
        what = "it speaks TLS; begin the URL with amqps://"
    else:
        what = f"it answers {data[:32]!r}; is the port right?"
    return ProtocolError(
        ReplyCode.NOT_IMPLEMENTED, f"what listens there does not speak AMQP 0-9-1: {what}"
    )
