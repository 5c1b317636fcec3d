"""A peer whose every byte a test decides: what a broker might do once a year, or never.

It listens on a real socket, and reads with our own parser what our connection sends.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from typing import Any, Self, TypeVar

from leveret.amqp import frames, methods
from leveret.amqp.events import Content, Delivery, Event, Heartbeat, Method, Publish
from leveret.amqp.parser import Parser
from leveret.amqp.properties import Properties, encode_properties
from leveret.transport.channel import Channel
from leveret.transport.connection import Connection
from leveret.transport.opening import open_connection
from leveret.transport.url import parse_url
from tests.unit.amqp.deliveries import deliver_frame

M = TypeVar("M")

PATIENCE = 10.0
"""Seconds after which what a test waits for counts as never coming."""

MAX_MESSAGE_SIZE = 1024 * 1024

CAPABLE: dict[str, Any] = {"capabilities": {"authentication_failure_close": True}}
"""What RabbitMQ says of itself, as far as it matters here."""


class Peer:
    """The broker's end of one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._parser = Parser()
        self._events: list[Event] = []

    # -- sending ------------------------------------------------------------------------------

    def send(self, *methods: Any, channel: int = 0) -> None:
        """Send methods in one write."""
        self.send_bytes(b"".join(frames.method_frame(channel, method) for method in methods))

    def send_bytes(self, data: bytes) -> None:
        self._writer.write(data)

    async def drip(self, data: bytes) -> None:
        """Send so that each byte is a read of its own."""
        for index in range(len(data)):
            self.send_bytes(data[index : index + 1])
            await self._writer.drain()
            await asyncio.sleep(0)

    # -- receiving ----------------------------------------------------------------------------

    async def header(self) -> bytes:
        async with asyncio.timeout(PATIENCE):
            return await self._reader.readexactly(8)

    async def event(self) -> Event:
        """The next event; heartbeats are events too."""
        async with asyncio.timeout(PATIENCE):
            while not self._events:
                data = await self._reader.read(65_536)
                assert data, "the client closed its socket where more was due"
                self._events = self._parser.receive(data)
        return self._events.pop(0)

    async def get(self, kind: type[M], *, channel: int | None = None) -> M:
        """The next event, which is to be this method or content."""
        event = await self.event()
        found = event.method if isinstance(event, Method) else event
        assert isinstance(found, kind), f"{kind.__name__} was due, this came: {event}"
        assert isinstance(event, Heartbeat) or channel in (None, event.channel)
        return found

    async def answer(self, kind: type[Any], answer: Any) -> Any:
        """Take the next method, which is to be of this kind, and answer on its channel."""
        event = await self.event()
        assert isinstance(event, Method)
        assert isinstance(event.method, kind), f"{kind.__name__} was due, this came: {event}"
        self.send(answer, channel=event.channel)
        return event.method

    async def ended(self) -> bytes:
        """What the client still sent before it closed its socket, which it is to do now."""
        async with asyncio.timeout(PATIENCE):
            try:
                return await self._reader.read()
            except ConnectionResetError:
                return b""

    # -- the usual course ---------------------------------------------------------------------

    def start(self, mechanisms: str = "PLAIN", properties: dict[str, Any] = CAPABLE) -> None:
        """connection.start, by default from a broker that is as capable as RabbitMQ."""
        self.send(
            methods.Connection.Start(
                server_properties=properties, mechanisms=mechanisms, locales="en_US"
            )
        )

    async def tune(
        self, *, channel_max: int = 2047, frame_max: int = 131_072, heartbeat: int = 0
    ) -> methods.Connection.TuneOk:
        """The handshake up to connection.open."""
        await self.header()
        self.start()
        tune = methods.Connection.Tune(
            channel_max=channel_max, frame_max=frame_max, heartbeat=heartbeat
        )
        await self.answer(methods.Connection.StartOk, tune)
        return await self.get(methods.Connection.TuneOk)

    async def handshake(self, **tune: int) -> None:
        """The whole of it."""
        await self.tune(**tune)
        await self.answer(methods.Connection.Open, methods.Connection.OpenOk())

    async def take_close(self) -> methods.Connection.Close:
        """Take the client's goodbye."""
        close: methods.Connection.Close = await self.answer(
            methods.Connection.Close, methods.Connection.CloseOk()
        )
        return close

    # -- its own end --------------------------------------------------------------------------

    def hang_up(self) -> None:
        """Close the socket, unread data or not."""
        self._writer.close()

    def reset(self) -> None:
        """Break the connection as a crash does: with RST."""
        sock = self._writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()


class PeerServer:
    """Where scripted peers listen; `connect` and `channel` take the usual course."""

    def __init__(self) -> None:
        self._server: asyncio.Server | None = None
        self._accepted: asyncio.Queue[Peer] = asyncio.Queue()
        self._peers: list[Peer] = []
        self.connections: list[Connection] = []
        self.port = 0

    async def __aenter__(self) -> Self:
        listener = socket.create_server(("127.0.0.1", 0))
        # Inherited by what it accepts: a peer that stops reading shall be noticed soon.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        self.port = listener.getsockname()[1]
        self._server = await asyncio.start_server(self._accept, sock=listener)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for peer in self._peers:
            peer._writer.transport.abort()
        for connection in self.connections:
            connection.abort("the test is over")
        await asyncio.sleep(0)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = Peer(reader, writer)
        self._peers.append(peer)
        self._accepted.put_nowait(peer)

    @property
    def accepted(self) -> int:
        """How many connections came."""
        return len(self._peers)

    async def accept(self) -> Peer:
        """The next connection that a client makes."""
        async with asyncio.timeout(PATIENCE):
            return await self._accepted.get()

    def url(self, options: str = "heartbeat=0", vhost: str = "") -> str:
        return f"amqp://127.0.0.1:{self.port}/{vhost}?{options}"

    async def open(self, options: str = "heartbeat=0", *, vhost: str = "") -> Connection:
        """Connect, while the peer does what the test says."""
        connection = await open_connection(
            parse_url(self.url(options, vhost)), name="a test", max_message_size=MAX_MESSAGE_SIZE
        )
        self.connections.append(connection)
        return connection

    def opening(self, options: str = "heartbeat=0", *, vhost: str = "") -> asyncio.Task[Connection]:
        """`open`, begun."""
        return asyncio.create_task(self.open(options, vhost=vhost))

    async def connect(self, options: str = "heartbeat=0", **tune: int) -> tuple[Connection, Peer]:
        """A connection after its handshake, and its peer."""
        opening = self.opening(options)
        peer = await self.accept()
        await peer.handshake(**tune)
        return await opening, peer

    async def channel(self, **tune: int) -> tuple[Connection, Channel, Peer]:
        """A connection, its channel 1, and its peer."""
        connection, peer = await self.connect("heartbeat=0", **tune)
        return connection, await open_channel(connection, peer), peer


async def open_channel(connection: Connection, peer: Peer) -> Channel:
    """One more channel."""
    opening = asyncio.create_task(connection.open_channel())
    await peer.answer(methods.Channel.Open, methods.Channel.OpenOk())
    return await opening


async def caught_up(connection: Connection, peer: Peer) -> None:
    """Return when the client has handled all that the peer has sent."""
    peer.send(methods.Connection.Blocked(reason="a mark in the stream"))
    await until(lambda: bool(connection.blocked), "the client reads on")
    peer.send(methods.Connection.Unblocked())
    await until(lambda: not connection.blocked, "the client reads on")


async def until(true: Callable[[], bool], what: str) -> None:
    """Return as soon as the condition holds; fail, saying what did not happen."""
    give_up = asyncio.get_running_loop().time() + PATIENCE
    while not true():
        assert asyncio.get_running_loop().time() < give_up, f"this never happened: {what}"
        await asyncio.sleep(0.001)


def delivery(
    body: bytes, *, channel: int = 1, tag: int = 1, consumer: str = "1.1", frame_max: int = 131_072
) -> bytes:
    """A message for a consumer, as a broker sends it."""
    deliver = deliver_frame(channel, consumer, tag, False, "", "queue")
    return deliver + frames.content_frames(
        channel, encode_properties(Properties()), body, frame_max
    )


def returned(body: bytes, *, channel: int = 1) -> bytes:
    """A message that the broker could not route."""
    method = methods.Basic.Return(
        reply_code=312, reply_text="NO_ROUTE", exchange="", routing_key="nowhere"
    )
    return frames.method_frame(channel, method) + frames.content_frames(
        channel, encode_properties(Properties()), body, 131_072
    )


__all__ = [
    "CAPABLE",
    "MAX_MESSAGE_SIZE",
    "PATIENCE",
    "Content",
    "Delivery",
    "Peer",
    "PeerServer",
    "Publish",
    "caught_up",
    "delivery",
    "open_channel",
    "returned",
    "until",
]
