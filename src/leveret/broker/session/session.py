"""The broker's end of one connection: bytes in, bytes out. Pure.

`handshake` leads a session to its vhost. From then on each frame goes to its channel. What the
session answers waits in `output` until the link writes it.
"""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

from leveret.amqp import frames, methods
from leveret.amqp.codes import FRAME_MIN_SIZE, PROTOCOL_HEADER, ReplyCode
from leveret.amqp.events import Heartbeat, Method
from leveret.amqp.methods import AMQPMethod
from leveret.broker.limits import Limits
from leveret.broker.model.memory import Memory
from leveret.broker.model.vhost import VHost
from leveret.broker.permissions import User
from leveret.broker.refusals import Refused
from leveret.broker.session.batch import Batch
from leveret.broker.session.blocking import Blocking
from leveret.broker.session.channel import ChannelContext
from leveret.broker.session.channels import Channels
from leveret.broker.session.closing import Blamed, blamed_event, connection_close
from leveret.broker.session.handshake import Admitted, Greeting, Handshake, Refusal
from leveret.broker.session.output import Output
from leveret.broker.session.reading import BrokerParser
from leveret.broker.session.states import TRANSITIONS, SessionEvent, SessionState
from leveret.broker.session.unreadable import Unreadable
from leveret.errors import AMQPError

log = logging.getLogger("leveret.broker")

_CLOSE_OK: Final = frames.method_frame(0, methods.Connection.CloseOk())
_NO_FRAME_LIMIT: Final = 2**31
_OPEN: Final = SessionState.OPEN


class Socket(Protocol):
    """The socket of a session, as far as a session needs it."""

    def write(self) -> None:
        """Write what waits in the session's output."""
        ...

    def close(self) -> None:
        """Hang up once all that waits is written."""
        ...

    def close_in_time(self) -> None:
        """Hang up if the client does not do so within a time, as it was told to close."""
        ...

    def read(self, wanted: bool) -> None:
        """Start or stop reading."""
        ...


class Session:
    """One client's connection.

    :param peer: the client's address, for the log.
    :param users: may log in, by name.
    :param vhosts: may be opened, by name.
    :param memory: counts the messages.
    :param batch: collects what is due at the end of the pass.
    :param channels_of: counts the channels of each user.
    :param on_lost: called with the session when its socket is lost.
    """

    def __init__(
        self,
        socket: Socket,
        peer: str,
        *,
        users: Mapping[str, User],
        vhosts: Mapping[str, VHost],
        limits: Limits,
        memory: Memory,
        batch: Batch,
        channels_of: Counter[str],
        on_lost: Callable[[Session], None],
    ) -> None:
        self.peer = peer
        self.state = SessionState.HEADER
        self.heartbeat = 0
        """Seconds of the heartbeat interval that was agreed; 0 for none."""
        self.output = Output(memory, limits.output, lambda: batch.writes.append(socket.write))
        self._socket = socket
        self._limits = limits
        self._memory = memory
        self._batch = batch
        self._channels_of = channels_of
        self._on_lost = on_lost
        self._greeting = Greeting()
        self._handshake = Handshake(users, vhosts, limits)
        self._parser = BrokerParser(frame_max=FRAME_MIN_SIZE, max_body=limits.max_message_size)
        self._incoming = 0  # bytes of messages of which only a part has come
        self._waiting: deque[Any] = deque()  # events that came and cannot be handled yet
        self._blocking = Blocking(self._tell_blocking, socket.read)
        self._tells_blocking = False
        self._channels: Channels | None = None

    @property
    def vhost(self) -> VHost | None:
        """The vhost that the client opened; None before that."""
        return self._channels.vhost if self._channels is not None else None

    @property
    def stalled(self) -> bool:
        """Whether events of the client wait: for room to answer them, or for memory."""
        return bool(self._waiting)

    # -- out ---------------------------------------------------------------------------------

    def written(self, waiting: int) -> None:
        """Note that the socket took the output, and still holds `waiting` bytes."""
        if self.output.written(waiting):
            if self._channels is not None:
                self._channels.wake()
            self._resume()

    def unblock(self) -> None:
        """Handle what waits for memory, as there is some again."""
        if self._blocking.release():
            self._resume()
            self._socket.read(not self._blocking.blocked)

    def _resume(self) -> None:
        if self._waiting:
            waiting, self._waiting = self._waiting, deque()
            self._handle(waiting)
            self._fail_on_broken_bytes()

    def _send(self, method: AMQPMethod) -> None:
        """Send a method on channel 0."""
        self.output.send_method(0, method)

    def _tell_blocking(self, method: AMQPMethod) -> None:
        if self._tells_blocking:
            self._send(method)

    # -- in ----------------------------------------------------------------------------------

    def receive(self, data: bytes) -> None:
        """Handle all that one read brought."""
        if self.state is SessionState.HEADER:
            data = self._greet(data)
        while data and self.state is SessionState.HANDSHAKE:
            end = self._parser.frame_end(data)  # a tune-ok changes how the next frame is read
            self._read(data[:end])
            data = data[end:]
        if data and self.state is not SessionState.CLOSED:
            self._read(data)

    def _greet(self, data: bytes) -> bytes:
        """Read the protocol header (section 4.2.2). Returns what came after it."""
        rest = self._greeting.receive(data)
        if rest is None:
            self.output.send(PROTOCOL_HEADER)
            self.finish()
            return b""
        if self._greeting.done:
            self._fire(SessionEvent.GREETED)
            self._send(self._handshake.start())
        return rest

    def _read(self, data: bytes) -> None:
        events = self._parser.receive(data)
        if self._waiting:
            self._waiting.extend(events)
        else:
            self._handle(deque(events))
        self._fail_on_broken_bytes()
        self._count_incoming(self._parser.held)

    def _count_incoming(self, size: int) -> None:
        if size == self._incoming:
            return
        memory = self._memory
        memory.incoming += size - self._incoming
        self._incoming = size
        if memory.incoming > self._limits.memory:
            self.fail(
                Refused(
                    ReplyCode.RESOURCE_ERROR,
                    f"messages that are not complete take more than {self._limits.memory} bytes,"
                    f" {size} of them here; send them one after the other",
                )
            )

    def _fail_on_broken_bytes(self) -> None:
        """Close over bytes that are not AMQP, once all events before them are handled.

        Of what follows them only close-ok is heard.
        """
        broken = self._parser.broken
        if broken is None or self._waiting:
            return
        if self.state not in (SessionState.CLOSING, SessionState.CLOSED):
            self.fail(broken, broken.blamed if isinstance(broken, Unreadable) else (0, 0))
        if self._parser.tail == _CLOSE_OK:
            self.finish()

    def _handle(self, events: deque[Any]) -> None:
        memory = self._memory
        output = self.output
        batch = self._batch
        while events:
            channels = self._channels
            if channels is None or self.state is not _OPEN:
                self._handle_unopened(events.popleft())
                continue
            if not output.room or (memory.alarmed and self._blocking.holds(events[0])):
                self._waiting = events
                return
            event = events.popleft()
            if type(event) is Heartbeat:
                continue
            try:
                if event.channel:
                    channels.handle(event)
                else:
                    self._handle_connection(event.method if type(event) is Method else None)
            except Refused as error:
                self._refuse(channels, event, error)
            if channels.vhost.dead:
                channels.vhost.publish_dead_letters()
            if batch.cancels:
                batch.send_cancels()

    def _handle_connection(self, method: AMQPMethod | None) -> None:
        """Do what a method on channel 0 asks of an open connection."""
        match method:
            case methods.Connection.Close():
                self._end_channels()
                self._send(methods.Connection.CloseOk())
                self.finish()
            case methods.Connection.UpdateSecret():
                self._send(methods.Connection.UpdateSecretOk())
            case _:
                raise Refused(
                    ReplyCode.CHANNEL_ERROR, "unexpected method in connection state running"
                )

    def _handle_unopened(self, event: Any) -> None:
        """Handle what comes before connection.open-ok, or after the broker's connection.close."""
        method = event.method if isinstance(event, Method) and not event.channel else None
        if self.state is SessionState.HANDSHAKE:
            if not isinstance(event, Heartbeat):
                self._shake_hands(method)
        elif self.state is SessionState.CLOSING:
            if isinstance(method, methods.Connection.CloseOk):
                self.finish()
            elif isinstance(method, methods.Connection.Close):
                self._send(methods.Connection.CloseOk())

    def _shake_hands(self, method: AMQPMethod | None) -> None:
        match self._handshake.receive(method):
            case None:
                pass
            case Admitted() as admitted:
                self._open(admitted)
            case Refusal(error=error, blamed=blamed, told=True):
                self.fail(error, blamed)
            case Refusal(error=error):
                log.warning("%s: refused: %s", self.peer, error)
                self.finish()
            case answer:
                self._send(answer)

    def _open(self, admitted: Admitted) -> None:
        self._fire(SessionEvent.ADMITTED)
        capabilities = admitted.capabilities
        self.heartbeat = admitted.heartbeat
        self._tells_blocking = bool(capabilities.get("connection.blocked"))
        context = ChannelContext(
            connection=self,
            vhost=admitted.vhost,
            user=admitted.user,
            user_name=admitted.user_name,
            rights=admitted.rights,
            output=self.output,
            batch=self._batch,
            channels_of=self._channels_of,
            max_message_size=self._limits.max_message_size,
            cancel_notify=bool(capabilities.get("consumer_cancel_notify")),
        )
        self._channels = Channels(context, admitted.channel_max)
        self._send(methods.Connection.OpenOk())
        frame_max = admitted.frame_max or _NO_FRAME_LIMIT
        self._parser.frame_max = self.output.frame_max = frame_max

    # -- the end -----------------------------------------------------------------------------

    def _refuse(self, channels: Channels, event: Any, error: Refused) -> None:
        """Close the channel, or the connection, on which something was refused."""
        if error.hard or not channels.close(event, error):
            self.fail(error, (0, 0) if error.anonymous else blamed_event(event))

    def fail(self, error: AMQPError, blamed: Blamed = (0, 0)) -> None:
        """Close the connection, and tell the client why. A second time it hangs up."""
        if self.state in (SessionState.CLOSING, SessionState.CLOSED):
            self.finish()
            return
        log.info("%s: %s", self.peer, error)
        self._end_channels()
        self._fire(SessionEvent.FAILED)
        self._waiting.clear()
        self._parser.discard()
        self._count_incoming(0)
        self._send(connection_close(error, blamed))
        self._socket.read(True)  # for close-ok, even where it was blocked
        self._socket.close_in_time()

    def finish(self) -> None:
        """Hang up once all that waits is written."""
        self._fire(SessionEvent.ENDED)
        self._socket.close()

    def lost(self) -> None:
        """End the session, as its socket is lost."""
        self._fire(SessionEvent.ENDED)
        self._end_channels()
        self.output.drop()
        self._count_incoming(0)
        self._on_lost(self)

    def _end_channels(self) -> None:
        if self._channels is not None:
            self._channels.end()

    def _fire(self, event: SessionEvent) -> None:
        state = TRANSITIONS.get((self.state, event))
        if state is None:
            log.error("%s: a bug: %s in the state %s", self.peer, event.name, self.state.name)
            return
        self.state = state
