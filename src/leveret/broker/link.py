"""One client's socket, between asyncio and its session."""

from __future__ import annotations

import asyncio
import logging
import socket
from typing import TYPE_CHECKING, Final, cast

from leveret.amqp import frames
from leveret.amqp.codes import ReplyCode
from leveret.broker.model.clock import Timer
from leveret.broker.refusals import Refused
from leveret.broker.session.session import Session

if TYPE_CHECKING:
    from leveret.broker.embedded import EmbeddedBroker


log = logging.getLogger("leveret.broker")

_LAST_WORDS: Final = 5.0
"""How long a client may take to answer connection.close, in seconds."""


class SocketLink(asyncio.Protocol):
    """Feeds a session with what is read, writes what it says, and watches that its peer lives.

    `gone` is done when the socket is.
    """

    def __init__(self, broker: EmbeddedBroker) -> None:
        self._broker = broker
        self._limits = broker.node.limits
        self._transport: asyncio.Transport | None = None
        self._session: Session | None = None
        self._closing = False
        self._wanted = True
        self._reading = True
        self._paused = False
        self._heard_at = 0.0
        self._said_at = 0.0
        self._beat: Timer | None = None
        self._deadline: Timer | None = None  # of the handshake, of a goodbye, or of a write
        self.gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    # -- what asyncio calls ------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client connected."""
        self._transport = cast(asyncio.Transport, transport)
        sock = transport.get_extra_info("socket")
        if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if not self._broker.joined(self):
            self._transport.abort()
            return
        # At the very size at which `Output` has no room: else nothing would tell of room again.
        self._transport.set_write_buffer_limits(high=self._limits.output // 2)
        peer = transport.get_extra_info("peername")
        self._session = Session(self._broker.node, self, str(peer))
        self._heard_at = self._said_at = self._broker.time()
        self._end_in(self._limits.handshake_timeout)
        self._broker.pass_ended()

    def data_received(self, data: bytes) -> None:
        """Handle all that one read brought."""
        session = self._session
        if session is None or self._closing:
            return
        self._heard_at = self._broker.time()
        was_open = session.state == "open"
        try:
            session.receive(data)
        except Exception as error:
            log.exception("%s: the broker failed", session.peer)
            session.fail(Refused(ReplyCode.INTERNAL_ERROR, f"{type(error).__name__}: {error}"))
        if not was_open and session.state == "open":
            self._opened(session)
        if session.stalled:
            self._choose_reading()
        self._broker.pass_ended()

    def pause_writing(self) -> None:
        """The client does not take what is written."""
        self._paused = True
        if self._deadline is None:
            self._end_in(self._limits.send_timeout)
        self._choose_reading()

    def resume_writing(self) -> None:
        """The client takes more."""
        self._paused = False
        self._broker.time()
        if self._session is not None and self._session.state == "open":
            self._cancel_deadline()
        if self._session is not None:
            self._session.written(0)
        self._choose_reading()
        self._broker.pass_ended()

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone."""
        self._cancel_deadline()
        if self._beat is not None:
            self._beat.cancel()
        self._transport = None
        if self._session is not None:
            self._broker.time()
            self._session.lost()
        self._broker.left(self)
        if not self.gone.done():
            self.gone.set_result(None)

    # -- what the session and the broker ask -------------------------------------------------

    def write(self) -> None:
        """Write what the session has to say."""
        session = self._session
        assert session is not None
        data = session.output.take()
        if self._transport is None:
            return
        self._transport.write(data)
        self._said_at = self._broker.node.clock.now
        if self._closing:
            self._transport.close()
        session.written(self._transport.get_write_buffer_size())
        self._choose_reading()

    def close(self) -> None:
        """Hang up once what waits is written; a client that takes nothing is not waited for."""
        if self._closing:
            return
        self._closing = True
        self._end_in(self._limits.send_timeout)
        session = self._session
        if self._transport is not None and session is not None and not session.output.waiting:
            self._transport.close()

    def close_in_time(self) -> None:
        """Hang up if the client does not, once it was told why."""
        if not self._closing:
            self._end_in(_LAST_WORDS)

    def read(self, wanted: bool) -> None:
        """Read from the socket, or let the client wait."""
        self._wanted = wanted
        self._choose_reading()

    def abort(self) -> None:
        """Hang up at once."""
        if self._transport is not None:
            self._transport.abort()

    def _choose_reading(self) -> None:
        session = self._session
        transport = self._transport
        if session is None or transport is None or transport.is_closing():
            return
        reading = self._wanted and not self._paused and not session.stalled
        if reading != self._reading:
            self._reading = reading
            if reading:
                self._heard_at = self._broker.node.clock.now
                transport.resume_reading()
            else:
                transport.pause_reading()

    # -- time --------------------------------------------------------------------------------

    def _opened(self, session: Session) -> None:
        self._cancel_deadline()
        if session.heartbeat:
            self._next_beat(session.heartbeat / 2)

    def _next_beat(self, interval: float) -> None:
        clock = self._broker.node.clock
        self._beat = clock.at(clock.now + interval, self._on_beat)

    def _on_beat(self) -> None:
        """Twice per heartbeat interval: say something, and see that the client did.

        https://www.rabbitmq.com/docs/heartbeats
        """
        session = self._session
        assert session is not None
        clock = self._broker.node.clock
        if self._reading and clock.now - self._heard_at > 2 * session.heartbeat:
            self.abort()
            return
        if clock.now - self._said_at >= session.heartbeat / 2:
            session.output.send(frames.HEARTBEAT)
        self._next_beat(session.heartbeat / 2)

    def _end_in(self, seconds: float) -> None:
        self._cancel_deadline()
        clock = self._broker.node.clock
        self._deadline = clock.at(clock.now + seconds, self.abort)

    def _cancel_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
