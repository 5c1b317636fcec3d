"""The broker's end of one connection: bytes in, bytes out. No sockets here.

`handshake` leads a session to its vhost; then each frame goes to its channel. What it has to say
waits in `out` until the server writes it, all that one read caused in one write.
"""

from __future__ import annotations

import logging
import struct
from collections import deque
from typing import Any, Final, Protocol

from pamqp import commands

from leveret.amqp import frames
from leveret.amqp.codes import FRAME_MIN_SIZE, PROTOCOL_HEADER, ReplyCode
from leveret.amqp.events import Ack, Heartbeat, Method, Nack
from leveret.broker.answers import answer
from leveret.broker.channel import Channel
from leveret.broker.handshake import Handshake
from leveret.broker.node import Node
from leveret.broker.permissions import Permissions, Right, User
from leveret.broker.reading import Published, ServerParser, Unreadable
from leveret.broker.refusals import Refused, access_refused
from leveret.broker.vhost import VHost
from leveret.errors import AMQPError, ProtocolError

log = logging.getLogger("leveret.broker")

_HEADER = struct.Struct(">BHIHHQ")
_FRAME = struct.Struct(">BHI")
_GREETINGS: Final = (
    PROTOCOL_HEADER,
    b"AMQP\x01\x01\x09\x01",
    b"AMQP\x01\x01\x00\x09",
    b"AMQP\x01\x01\x08\x00",
)
"""The protocol header and older spellings of it that RabbitMQ takes too."""
_CLOSE_OK: Final = frames.raw_method(0, answer(commands.Connection.CloseOk))
_RECENTLY: Final = 5.0
"""Who published within so many seconds is blocked when memory runs out, and not at its next."""


class Link(Protocol):
    """The socket of a session, as far as a session needs it."""

    def close(self) -> None:
        """Hang up, after what waits has been written."""
        ...

    def close_in_time(self) -> None:
        """Hang up if the client does not, once it was told why."""
        ...

    def read(self, wanted: bool) -> None:
        """Read from the socket, or let the client wait."""
        ...


class Session:
    """One client's connection.

    `room` says whether more may be sent now: its consumers get nothing while it is False, and
    nothing that the client sends is handled.
    """

    def __init__(self, node: Node, link: Link, peer: str) -> None:
        self.node = node
        self.link = link
        self.peer = peer
        self.vhost: VHost
        self.user: User
        self.permissions: Permissions
        self.user_name = ""
        self.capabilities: dict[str, Any] = {}
        self.wants_cancel_notify = False
        self.frame_max = FRAME_MIN_SIZE
        self.channel_max = node.limits.channel_max
        self.heartbeat = 0
        self.channels: dict[int, Channel] = {}
        self.writable: set[str] = set()  # exchanges that this user may publish to
        self.out: list[bytes] = []
        self.room = True
        self.state = "header"  # then "handshake", "open", "closing", "closed"
        self._out_size = 0
        self._first = b""
        self._parser = ServerParser(frame_max=FRAME_MIN_SIZE, max_body=node.limits.max_message_size)
        self._handshake = Handshake(self)
        self._waiting: deque[Any] = deque()
        self._allowed: set[tuple[Right, str, str]] = set()
        self._blocked = False
        self._unreadable = False  # what it sent was no AMQP: only a last close-ok counts
        self._published_at = float("-inf")
        node.sessions.add(self)

    # -- out ---------------------------------------------------------------------------------

    def send(self, data: bytes) -> None:
        """Have frames sent with the next write."""
        out = self.out
        if not out:
            self.node.dirty.append(self)
        out.append(data)

    def send_method(self, payload: bytes) -> None:
        """Send a method on channel 0."""
        self.send(frames.raw_method(0, payload))

    def send_content(self, channel: int, packed: bytes, body: bytes) -> None:
        """Send a message's header and body."""
        size = len(body)
        if size + 8 > self.frame_max:
            self.send(frames.content_frames(channel, packed, body, self.frame_max))
        elif size:
            self.out += (
                _HEADER.pack(2, channel, 12 + len(packed), 60, 0, size),
                packed,
                b"\xce" + _FRAME.pack(3, channel, size),
                body,
                b"\xce",
            )
        else:
            self.out += (_HEADER.pack(2, channel, 12 + len(packed), 60, 0, 0), packed, b"\xce")
        self._out_size += size + 64
        if self._out_size > self.node.limits.output:
            self.room = False

    def written(self, waiting: int) -> None:
        """`out` was given to the socket, where `waiting` bytes wait still."""
        self._out_size = waiting
        room = waiting <= self.node.limits.output // 2
        if room and not self.room:
            self.room = True
            self.resume()

    def resume(self) -> None:
        """There is room again: its consumers take their turns, what had come is handled."""
        for channel in list(self.channels.values()):
            channel.wake()
        if self._waiting:
            waiting, self._waiting = self._waiting, deque()
            self._handle(waiting)

    @property
    def stalled(self) -> bool:
        """Whether what the client sent waits for room to answer it."""
        return bool(self._waiting)

    # -- in ----------------------------------------------------------------------------------

    def receive(self, data: bytes) -> None:
        """Handle all that one read brought."""
        if self.state == "header":
            data = self._greet(data)
        if self.state == "closed" or self._unreadable or not data:
            if self._unreadable and data.endswith(_CLOSE_OK):
                self.finish()
            return
        try:
            events = self._parser.receive(data)
        except Unreadable as error:
            self.fail(error, *error.ids)
            return
        except ProtocolError as error:
            self.fail(error)
            return
        if self._waiting:
            self._waiting.extend(events)
        else:
            self._handle(deque(events))
        if self._parser.unfinished and self._parser.held > self.node.limits.memory:
            self.fail(
                Refused(
                    ReplyCode.RESOURCE_ERROR,
                    f"{self._parser.unfinished} messages that are not complete take more than"
                    f" {self.node.limits.memory} bytes; send them one after the other",
                )
            )

    def _greet(self, data: bytes) -> bytes:
        """The protocol header (section 4.2.2); returns what came after it."""
        self._first += data
        start = self._first[:8]
        if not any(greeting.startswith(start) for greeting in _GREETINGS):
            self.send(PROTOCOL_HEADER)
            self.finish()
            return b""
        if len(start) < 8:
            return b""
        rest, self._first = self._first[8:], b""
        self.state = "handshake"
        self._handshake.begin()
        return rest

    def _handle(self, events: deque[Any]) -> None:
        channels = self.channels
        node = self.node
        while events:
            if not self.room and self.state == "open":
                self._waiting = events
                return
            event = events.popleft()
            kind = type(event)
            if self.state != "open":
                self._handle_unopened(event)
                continue
            if kind is Heartbeat:
                continue
            channel = channels.get(event.channel)
            try:
                if channel is None:
                    self._handle_without_channel(event)
                elif channel.closing:
                    self._handle_closing(channel, event)
                else:
                    self._handle_on_channel(channel, kind, event)
            except Refused as error:
                self._refuse(channel, event, error)
            self.vhost.settle()
            if node.cancelled:
                node.tell_cancelled()
        if self._published_at == self.node.clock.now and self.node.memory.alarmed:
            self._block()

    def _handle_on_channel(self, channel: Channel, kind: Any, event: Any) -> None:
        if kind is Published:
            self._published_at = self.node.clock.now
            channel.publish(event)
        elif kind is Ack:
            channel.ack(event)
        elif kind is Nack:
            channel.nack(event)
        elif kind is Method:
            self._handle_method(channel, event.method)
        else:
            raise Refused(ReplyCode.COMMAND_INVALID, "a client does not send that")

    def _handle_unopened(self, event: Any) -> None:
        if self.state == "handshake":
            if isinstance(event, Heartbeat):
                return
            method = event.method if isinstance(event, Method) and not event.channel else None
            try:
                self._handshake.handle(method)
            except Refused as error:
                self._refuse_to_open(error, method)
        elif self.state == "closing" and isinstance(event, Method) and not event.channel:
            if isinstance(event.method, commands.Connection.CloseOk):
                self.finish()
            elif isinstance(event.method, commands.Connection.Close):
                self.send_method(answer(commands.Connection.CloseOk))

    def _handle_without_channel(self, event: Any) -> None:
        """What comes on channel 0, or on one that is not open."""
        number: int = event.channel
        method = event.method if isinstance(event, Method) else None
        if number == 0:
            self._handle_connection(method)
        elif isinstance(method, commands.Channel.Open):
            if self.channel_max and len(self.channels) >= self.channel_max:
                raise Refused(
                    ReplyCode.NOT_ALLOWED,
                    f"number of channels opened ({len(self.channels)}) has reached the"
                    f" negotiated channel_max ({self.channel_max})",
                    anonymous=True,
                )
            self.channels[number] = Channel(self, number)
            self.send(frames.raw_method(number, answer(commands.Channel.OpenOk, channel_id="")))
        elif not isinstance(method, commands.Channel.CloseOk):
            raise Refused(ReplyCode.CHANNEL_ERROR, "expected 'channel.open'")

    def _handle_connection(self, method: Any) -> None:
        match method:
            case commands.Connection.Close():
                self._end_channels()
                self.send_method(answer(commands.Connection.CloseOk))
                self.finish()
            case commands.Connection.UpdateSecret():
                self.send_method(answer(commands.Connection.UpdateSecretOk))
            case _:
                raise Refused(
                    ReplyCode.CHANNEL_ERROR, "unexpected method in connection state running"
                )

    def _handle_method(self, channel: Channel, method: Any) -> None:
        match method:
            case commands.Channel.Close():
                channel.reply(answer(commands.Channel.CloseOk))
                self._drop(channel)
            case commands.Channel.Open():
                raise Refused(ReplyCode.CHANNEL_ERROR, "second 'channel.open' seen")
            case commands.Channel.CloseOk() | commands.Channel.FlowOk():
                pass
            case _:
                channel.handle(method)

    def _handle_closing(self, channel: Channel, event: Any) -> None:
        if isinstance(event, Method):
            if isinstance(event.method, commands.Channel.CloseOk):
                self.channels.pop(channel.number, None)
            elif isinstance(event.method, commands.Channel.Close):
                self.send(frames.raw_method(channel.number, answer(commands.Channel.CloseOk)))

    def _refuse_to_open(self, error: Refused, method: Any) -> None:
        """As RabbitMQ does.

        A user that may not log in is told where it can understand it, and a vhost that cannot be
        opened; whatever else is wrong ends the connection without a word.
        """
        opening = isinstance(method, commands.Connection.Open)
        if opening and error.reply_code == ReplyCode.NOT_ALLOWED:
            self.fail(error, *_ids(method))
        elif error.reply_code == ReplyCode.ACCESS_REFUSED and self.capabilities.get(
            "authentication_failure_close"
        ):
            self.fail(error)
        else:
            log.warning("%s: refused: %s", self.peer, error)
            self.finish()

    # -- refusing ----------------------------------------------------------------------------

    def _refuse(self, channel: Channel | None, event: Any, error: Refused) -> None:
        if error.hard or channel is None:
            self.fail(error, *((0, 0) if error.anonymous else _ids_of(event)))
            return
        channel.closing = True
        class_id, method_id = _ids_of(event)
        channel.reply(
            answer(
                commands.Channel.Close,
                reply_code=int(error.reply_code),
                reply_text=_short(error.reply_text),
                class_id=class_id,
                method_id=method_id,
            )
        )
        self._parser.forget(channel.number)
        channel.end()

    def fail(self, error: AMQPError, class_id: int = 0, method_id: int = 0) -> None:
        """Close the connection, and say why."""
        if self.state in ("closing", "closed"):
            self.finish()
            return
        log.info("%s: %s", self.peer, error)
        self._end_channels()
        self.state = "closing"
        self._waiting.clear()
        self.send_method(
            answer(
                commands.Connection.Close,
                reply_code=int(error.reply_code),
                reply_text=_short(error.reply_text),
                class_id=class_id,
                method_id=method_id,
            )
        )
        self._unreadable = isinstance(error, ProtocolError)
        self.link.close_in_time()

    def check(self, right: Right, kind: str, name: str) -> None:
        """:raises Refused: if the user has no such right on the exchange or queue."""
        key = (right, kind, name)
        if key in self._allowed:
            return
        if not self.permissions.allow(right, name if kind == "queue" or name else "amq.default"):
            raise access_refused(
                f"access to {kind} '{name or 'amq.default'}' in vhost '{self.vhost.name}'"
                f" refused for user '{self.user_name}'"
            )
        if len(self._allowed) < 1024:
            self._allowed.add(key)

    # -- memory ------------------------------------------------------------------------------

    def memory_alarm(self, alarmed: bool) -> None:
        """The broker ran out of memory, or has enough again."""
        if alarmed:
            if self.node.clock.now - self._published_at <= _RECENTLY:
                self._block()
        elif self._blocked:
            self._blocked = False
            self._tell_blocked(answer(commands.Connection.Unblocked))
            self.link.read(True)

    def _block(self) -> None:
        """Whoever publishes while memory is short is not read any more."""
        if not self._blocked and self.state == "open":
            self._blocked = True
            self._tell_blocked(answer(commands.Connection.Blocked, reason="low on memory"))
            self.link.read(False)

    def _tell_blocked(self, payload: bytes) -> None:
        if self.capabilities.get("connection.blocked"):
            self.send_method(payload)

    @property
    def blocked(self) -> bool:
        """Whether it is not read because memory is short."""
        return self._blocked

    # -- the end -----------------------------------------------------------------------------

    def opened(self) -> None:
        """The handshake is over."""
        self.state = "open"
        self._parser.frame_max = self.frame_max or 2**31
        self.wants_cancel_notify = bool(self.capabilities.get("consumer_cancel_notify"))

    def finish(self) -> None:
        """Hang up once what was said is written."""
        self.state = "closed"
        self.link.close()

    def lost(self) -> None:
        """The socket is gone."""
        self.state = "closed"
        self.room = False
        self._end_channels()
        self.node.sessions.discard(self)

    def _drop(self, channel: Channel) -> None:
        self.channels.pop(channel.number, None)
        self._parser.forget(channel.number)
        channel.end()

    def _end_channels(self) -> None:
        channels = list(self.channels.values())
        self.channels.clear()
        self.room = False  # nothing more goes to its consumers while they leave one by one
        for channel in channels:
            channel.end()
        if hasattr(self, "vhost"):
            for queue in [q for q in self.vhost.queues.values() if q.exclusive_to is self]:
                self.vhost.delete_queue(queue)


def _ids(method: Any) -> tuple[int, int]:
    """Class and method id of what failed."""
    if method is None:
        return 0, 0
    return method.index >> 16, method.index & 0xFFFF


def _ids_of(event: Any) -> tuple[int, int]:
    match event:
        case Method():
            return _ids(event.method)
        case Ack():
            return 60, 80
        case Nack():
            return 60, 120
    return 60, 40


def _short(text: str) -> str:
    """At most the 255 bytes that a reply text has room for."""
    return text.encode("utf-8", "replace")[:255].decode("utf-8", "ignore")
