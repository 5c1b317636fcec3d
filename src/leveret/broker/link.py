"""One client's transport, between asyncio and its session."""

from __future__ import annotations

import asyncio
import logging
import socket
from typing import Final, Protocol, cast

from leveret.amqp import frames
from leveret.amqp.codes import ReplyCode
from leveret.broker.limits import Limits
from leveret.broker.model.clock import Clock, Timer
from leveret.broker.refusals import Refused
from leveret.broker.session.session import Session
from leveret.broker.session.states import SessionState

log = logging.getLogger("leveret.broker")

_CLOSE_OK_TIMEOUT: Final = 5.0
"""Seconds that a client may take to answer connection.close."""
_SILENT_LOOKS: Final = 4
"""For how many looks a client may be silent: two heartbeat intervals."""


class Host(Protocol):
    """The broker, as far as the link of a client needs it."""

    limits: Limits
    clock: Clock

    def open_session(self, link: Link, peer: str) -> Session | None:
        """Begin the session of a client that has connected; None if there are too many."""
        ...

    def closed(self, link: Link) -> None:
        """Called once the client's transport is closed or lost."""
        ...

    def set_clock(self) -> float:
        """Set the clock to the present time, once for all that one read causes."""
        ...

    def pass_ended(self) -> None:
        """Have what was caused written at the end of this pass of the event loop."""
        ...


class Link(asyncio.Protocol):
    """Feeds a session with what is read, writes its output, and watches over time limits."""

    def __init__(self, host: Host) -> None:
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done once the transport is closed or lost."""
        self.session: Session | None = None
        """None until the client has connected, or if it was turned away."""
        self._host = host
        self._limits = host.limits
        self._clock = host.clock
        self._transport: asyncio.Transport | None = None
        self._closing = False
        self._wanted = True  # whether the session wants to read
        self._reading = True
        self._paused = False  # whether the client does not take what is written
        self._silent = 0  # looks in a row, twice per heartbeat interval, that found nothing new
        self._sent_at = 0.0
        self._heartbeat: Timer | None = None
        self._deadline: Timer | None = None  # of the handshake, of close-ok, or of a write

    # -- what asyncio calls ------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin a session."""
        self._transport = cast(asyncio.Transport, transport)
        sock = transport.get_extra_info("socket")
        if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.session = self._host.open_session(self, str(transport.get_extra_info("peername")))
        if self.session is None:
            self._transport.abort()
            return
        # The very size at which `Output` has room again: otherwise nothing would tell of that.
        self._transport.set_write_buffer_limits(high=self._limits.output // 2)
        self._sent_at = self._host.set_clock()
        self._abort_in(self._limits.handshake_timeout)
        self._host.pass_ended()

    def data_received(self, data: bytes) -> None:
        """Handle all that one read brought."""
        session = self.session
        if session is None or self._closing:
            return
        self._host.set_clock()
        self._silent = 0
        was_open = session.state is SessionState.OPEN
        try:
            session.receive(data)
        except Exception as error:
            log.exception("%s: the broker failed", session.peer)
            session.fail(Refused(ReplyCode.INTERNAL_ERROR, f"{type(error).__name__}: {error}"))
        if not was_open and session.state is SessionState.OPEN:
            self._opened(session)
        if session.stalled:
            self._choose_reading()
        self._host.pass_ended()

    def pause_writing(self) -> None:
        """Stop reading, and begin to wait, as the client does not take what is written."""
        self._paused = True
        if self._deadline is None:
            self._abort_in(self._limits.send_timeout)
        self._choose_reading()

    def resume_writing(self) -> None:
        """Go on, as the client takes more."""
        self._paused = False
        self._host.set_clock()
        session = self.session
        if session is not None:
            if session.state is SessionState.OPEN:
                self._cancel_deadline()
            session.written(0)
        self._choose_reading()
        self._host.pass_ended()

    def connection_lost(self, exc: Exception | None) -> None:
        """End the session, as the transport is closed or lost."""
        self._cancel_deadline()
        if self._heartbeat is not None:
            self._heartbeat.cancel()
        self._transport = None
        if self.session is not None:
            self._host.set_clock()
            self.session.lost()
        self._host.closed(self)
        if not self.closed.done():
            self.closed.set_result(None)

    # -- what the session and the broker ask -------------------------------------------------

    def write(self) -> None:
        """Write what waits in the session's output."""
        session = self.session
        assert session is not None
        data = session.output.take()
        transport = self._transport
        if transport is None:
            return
        transport.write(data)
        self._sent_at = self._clock.now
        if self._closing:
            transport.close()
        session.written(transport.get_write_buffer_size())
        self._choose_reading()

    def close(self) -> None:
        """Hang up once all that waits is written.

        A client that does not take it is not waited for.
        """
        if self._closing:
            return
        self._closing = True
        self._abort_in(self._limits.send_timeout)
        session = self.session
        if self._transport is not None and session is not None and not session.output.waiting:
            self._transport.close()

    def close_in_time(self) -> None:
        """Hang up if the client does not do so within a time, as it was told to close."""
        if not self._closing:
            self._abort_in(_CLOSE_OK_TIMEOUT)

    def read(self, wanted: bool) -> None:
        """Start or stop reading."""
        self._wanted = wanted
        self._choose_reading()

    def abort(self) -> None:
        """Hang up at once."""
        if self._transport is not None:
            self._transport.abort()

    def _choose_reading(self) -> None:
        session = self.session
        transport = self._transport
        if session is None or transport is None or transport.is_closing():
            return
        reading = self._wanted and not self._paused and not session.stalled
        if reading != self._reading:
            self._reading = reading
            if reading:
                self._silent = 0
                transport.resume_reading()
            else:
                transport.pause_reading()

    # -- time --------------------------------------------------------------------------------

    def _opened(self, session: Session) -> None:
        self._cancel_deadline()
        if session.heartbeat:
            self._next_heartbeat(session.heartbeat / 2)

    def _next_heartbeat(self, interval: float) -> None:
        self._heartbeat = self._clock.at(self._clock.now + interval, self._on_heartbeat)

    def _on_heartbeat(self) -> None:
        """Twice per heartbeat interval: send something, and check that the client did.

        Looks are counted, not seconds: the loop may have stood still, and with it a client in it.

        https://www.rabbitmq.com/docs/heartbeats
        """
        session = self.session
        assert session is not None
        now = self._clock.now
        self._silent += self._reading
        if self._silent > _SILENT_LOOKS:
            self.abort()
            return
        if now - self._sent_at >= session.heartbeat / 2:
            session.output.send(frames.HEARTBEAT)
        self._next_heartbeat(session.heartbeat / 2)

    def _abort_in(self, seconds: float) -> None:
        self._cancel_deadline()
        self._deadline = self._clock.at(self._clock.now + seconds, self.abort)

    def _cancel_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
