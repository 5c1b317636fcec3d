"""The broker's end of one connection: bytes in, bytes out. No sockets here.

`handshake` leads a session to its vhost; then each frame goes to its channel. What it has to say
waits in `output` until the server writes it.
"""

from __future__ import annotations

import logging
from collections import deque
from typing import Any, Final, Protocol

from leveret.amqp import frames, methods
from leveret.amqp.codes import FRAME_MIN_SIZE, PROTOCOL_HEADER, ReplyCode
from leveret.amqp.events import Ack, Heartbeat, Method, Nack
from leveret.broker.model.vhost import VHost
from leveret.broker.node import Node
from leveret.broker.permissions import Rights, User
from leveret.broker.refusals import Refused
from leveret.broker.session.blocking import Blocking
from leveret.broker.session.channel import Channel
from leveret.broker.session.closing import (
    Blamed,
    blamed_event,
    channel_close,
    connection_close,
)
from leveret.broker.session.handshake import Greeting, Handshake
from leveret.broker.session.output import Output
from leveret.broker.session.reading import ServerParser
from leveret.broker.session.received import Published
from leveret.broker.session.unopened import (
    handle_while_closing,
    handle_without_channel,
    opened_twice,
)
from leveret.broker.session.unreadable import Unreadable
from leveret.errors import AMQPError

log = logging.getLogger("leveret.broker")

_CLOSE_OK: Final = frames.method_frame(0, methods.Connection.CloseOk())


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
    """One client's connection."""

    def __init__(self, node: Node, link: Link, peer: str) -> None:
        self.node = node
        self.link = link
        self.peer = peer
        self.vhost: VHost
        self.user: User
        self.rights: Rights
        self.user_name = ""
        self.capabilities: dict[str, Any] = {}
        self.wants_cancel_notify = False
        self.channel_max = node.limits.channel_max
        self.heartbeat = 0
        self.channels: dict[int, Channel] = {}
        self.output = Output(self)
        self.state = "header"  # then "handshake", "open", "closing", "closed"
        self._greeting = Greeting()
        self._handshake = Handshake(self)
        self._parser = ServerParser(frame_max=FRAME_MIN_SIZE, max_body=node.limits.max_message_size)
        self._held = 0
        self._waiting: deque[Any] = deque()  # what came and must wait
        self._blocking = Blocking(self)
        node.sessions.add(self)

    def send_method(self, method: methods.AMQPMethod) -> None:
        """Send a method on channel 0."""
        self.output.send_method(0, method)

    def written(self, waiting: int) -> None:
        """Its output was given to the socket, where `waiting` bytes wait still."""
        if self.output.written(waiting):
            for channel in list(self.channels.values()):
                channel.wake()
            self._resume()

    def unblock(self) -> None:
        """There is memory again."""
        if self._blocking.release():
            self._resume()
            self.link.read(not self.blocked)

    def _resume(self) -> None:
        """What had come is handled."""
        if self._waiting:
            waiting, self._waiting = self._waiting, deque()
            self._handle(waiting)
            self._mind_broken_bytes()

    @property
    def stalled(self) -> bool:
        """Whether what the client sent waits: for room to answer it, or for memory."""
        return bool(self._waiting)

    @property
    def blocked(self) -> bool:
        """Whether it is not read because memory is short."""
        return self._blocking.blocked

    # -- in ----------------------------------------------------------------------------------

    def receive(self, data: bytes) -> None:
        """Handle all that one read brought."""
        if self.state == "header":
            data = self._greet(data)
        while data and self.state == "handshake":  # a tune-ok changes how the next frame is read
            end = self._parser.frame_end(data)
            self._take(data[:end])
            data = data[end:]
        if data and self.state != "closed":
            self._take(data)

    def _greet(self, data: bytes) -> bytes:
        """The protocol header (section 4.2.2); returns what came after it."""
        rest = self._greeting.receive(data)
        if rest is None:
            self.output.send(PROTOCOL_HEADER)
            self.finish()
            return b""
        if self._greeting.done:
            self.state = "handshake"
            self._handshake.begin()
        return rest

    def _take(self, data: bytes) -> None:
        events = self._parser.receive(data)
        if self._waiting:
            self._waiting.extend(events)
        else:
            self._handle(deque(events))
        self._mind_broken_bytes()
        self._hold(self._parser.held)

    def _hold(self, size: int) -> None:
        """So many bytes of messages are here that are not complete yet."""
        if size == self._held:
            return
        node = self.node
        node.incoming += size - self._held
        self._held = size
        if node.incoming > node.limits.memory:
            self.fail(
                Refused(
                    ReplyCode.RESOURCE_ERROR,
                    f"messages that are not complete take more than {node.limits.memory} bytes,"
                    f" {size} of them here; send them one after the other",
                )
            )

    def _mind_broken_bytes(self) -> None:
        """Once all before them is done: bytes that are no AMQP, of which only close-ok is heard."""
        broken = self._parser.broken
        if broken is None or self._waiting:
            return
        if self.state not in ("closing", "closed"):
            self.fail(broken, broken.blamed if isinstance(broken, Unreadable) else (0, 0))
        if self._parser.tail == _CLOSE_OK:
            self.finish()

    def _handle(self, events: deque[Any]) -> None:
        channels = self.channels
        node = self.node
        memory = node.memory
        output = self.output
        while events:
            if self.state == "open" and (
                not output.room or (memory.alarmed and self._blocking.holds(events[0]))
            ):
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
                    handle_without_channel(self, event)
                elif channel.closing:
                    handle_while_closing(self, channel, event)
                else:
                    self._handle_on_channel(channel, kind, event)
            except Refused as error:
                self._refuse(channel, event, error)
            self.vhost.publish_dead_letters()
            if node.cancelled:
                node.tell_cancelled()

    def _handle_on_channel(self, channel: Channel, kind: Any, event: Any) -> None:
        if kind is Published:
            channel.publish(event)
        elif kind is Ack:
            channel.ack(event)
        elif kind is Nack:
            channel.nack(event)
        elif kind is Method:
            self._handle_method(channel, event.method)
        else:
            raise Refused(ReplyCode.COMMAND_INVALID, "a client does not send that")

    def _handle_method(self, channel: Channel, method: Any) -> None:
        match method:
            case methods.Channel.Close():
                channel.reply(methods.Channel.CloseOk())
                self.channels.pop(channel.number, None)
                channel.end()
            case methods.Channel.Open():
                raise opened_twice()
            case methods.Channel.CloseOk() | methods.Channel.FlowOk():
                pass
            case _:
                channel.handle(method)

    def _handle_unopened(self, event: Any) -> None:
        """What comes before connection.open-ok, or after this side's connection.close."""
        if self.state == "handshake":
            if not isinstance(event, Heartbeat):
                on_zero = isinstance(event, Method) and not event.channel
                self._handshake.handle(event.method if on_zero else None)
        elif self.state == "closing" and isinstance(event, Method) and not event.channel:
            if isinstance(event.method, methods.Connection.CloseOk):
                self.finish()
            elif isinstance(event.method, methods.Connection.Close):
                self.send_method(methods.Connection.CloseOk())

    # -- the end -----------------------------------------------------------------------------

    def _refuse(self, channel: Channel | None, event: Any, error: Refused) -> None:
        """Close the channel, or the connection, on which something was refused."""
        if error.hard or channel is None:
            self.fail(error, (0, 0) if error.anonymous else blamed_event(event))
            return
        channel.closing = True
        channel.reply(channel_close(error, blamed_event(event)))
        channel.end()

    def fail(self, error: AMQPError, blamed: Blamed = (0, 0)) -> None:
        """Close the connection, and say why."""
        if self.state in ("closing", "closed"):
            self.finish()
            return
        log.info("%s: %s", self.peer, error)
        self.end_channels()
        self.state = "closing"
        self._waiting.clear()
        self._parser.discard()
        self._hold(0)
        self.send_method(connection_close(error, blamed))
        self.link.read(True)  # its close-ok, also where it was blocked
        self.link.close_in_time()

    def opened(self, frame_max: int) -> None:
        """The handshake is over; `frame_max` bytes were agreed, 0 for no limit."""
        self.state = "open"
        self._parser.frame_max = self.output.frame_max = frame_max or 2**31
        self.wants_cancel_notify = bool(self.capabilities.get("consumer_cancel_notify"))

    def finish(self) -> None:
        """Hang up once what was said is written."""
        self.state = "closed"
        self.link.close()

    def lost(self) -> None:
        """The socket is gone."""
        self.state = "closed"
        self.end_channels()
        self.output.drop()
        self._hold(0)
        self.node.sessions.discard(self)

    def end_channels(self) -> None:
        """Its channels are gone, and its exclusive queues."""
        channels = list(self.channels.values())
        self.channels.clear()
        self.output.room = False  # nothing goes to its consumers while they leave one by one
        for channel in channels:
            channel.end()
        if hasattr(self, "vhost"):
            for queue in [q for q in self.vhost.queues.values() if q.exclusive_to is self]:
                self.vhost.delete_queue(queue)
