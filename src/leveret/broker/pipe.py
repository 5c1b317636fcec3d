"""A connection in memory: two asyncio transports of one event loop, joined (asyncio).

It behaves like a TCP connection over the loopback interface, without its system calls. What one end
writes, the other receives in a later pass of the event loop. Some bytes are "on the wire" (a socket
has a buffer in the kernel): they arrive even if their writer aborts. What is written beyond that
while the other end does not read is the write buffer, which pauses the writing protocol.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from typing import Final

WIRE: Final = 262_144
"""Bytes that are on the wire in one direction at most; beyond it they are in the write buffer."""
_HIGH: Final = 65_536
"""Bytes in the write buffer above which the writing protocol is paused; asyncio's default."""


def join(one: asyncio.Protocol, other: asyncio.Protocol, *, name: str) -> None:
    """Connect two protocols. `connection_made` of both is called before this returns.

    :param name: what `get_extra_info("peername")` says at both ends.
    """
    loop = asyncio.get_running_loop()
    near, far = PipeTransport(loop, one, name), PipeTransport(loop, other, name)
    near.peer, far.peer = far, near
    other.connection_made(far)
    one.connection_made(near)


class PipeTransport(asyncio.Transport):
    """One end of a connection in memory. It keeps what it wrote until its peer receives it."""

    peer: PipeTransport
    """The other end."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, protocol: asyncio.BaseProtocol, name: str
    ) -> None:
        super().__init__({"peername": name})
        self._loop = loop
        self._protocol = protocol
        self._unread: deque[bytes] = deque()
        self._size = 0  # bytes in it
        self._high = _HIGH
        self._low = _HIGH // 4
        self._protocol_paused = False
        self._reading = True
        self._reading_due = False
        self._closing = False  # nothing more is written
        self._lost = False  # connection_lost is due or was called

    # -- writing -----------------------------------------------------------------------------

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send bytes to the other end. They are dropped if either end is closed."""
        if self._closing or self.peer.is_closing() or not data:
            return
        data = bytes(data)  # no copy if it is bytes already
        self._unread.append(data)
        self._size += len(data)
        self.peer.schedule_reading()
        if not self._protocol_paused and self.get_write_buffer_size() > self._high:
            self._protocol_paused = True
            self._protocol.pause_writing()

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        """Send several pieces, one after the other."""
        for data in list_of_data:
            self.write(data)

    def can_write_eof(self) -> bool:
        """False: an end closes both directions at once."""
        return False

    def get_write_buffer_size(self) -> int:
        """Bytes that were written and are not on the wire yet."""
        return max(0, self._size - WIRE)

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """Bytes (low, high) at which the protocol is resumed and paused."""
        return self._low, self._high

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Set at how many bytes the protocol is paused and resumed.

        :raises ValueError: if not 0 <= low <= high.
        """
        if high is None:
            high = _HIGH if low is None else 4 * low
        if low is None:
            low = high // 4
        if not high >= low >= 0:
            raise ValueError(f"high ({high}) must be >= low ({low}) must be >= 0")
        self._high, self._low = high, low

    # -- reading -----------------------------------------------------------------------------

    def is_reading(self) -> bool:
        """Whether it receives what the other end writes."""
        return self._reading and not self._closing

    def pause_reading(self) -> None:
        """Leave what the other end writes where it is."""
        self._reading = False

    def resume_reading(self) -> None:
        """Receive again."""
        self._reading = True
        self.schedule_reading()

    def schedule_reading(self) -> None:
        """Have this end receive in the next pass of the event loop what its peer wrote."""
        if self.is_reading() and not self._reading_due:
            self._reading_due = True
            self._loop.call_soon(self._read)

    def _read(self) -> None:
        self._reading_due = False
        if not self.is_reading():
            return
        data = self.peer.take()
        if data and isinstance(self._protocol, asyncio.Protocol):
            try:
                self._protocol.data_received(data)
            except Exception as error:  # noqa: BLE001 - reported, as asyncio's own transports do
                message = "protocol.data_received() failed"
                context = {"message": message, "exception": error, "protocol": self._protocol}
                self._loop.call_exception_handler(context)
                self.abort()
        self.peer.taken()
        if self.peer.ended and self.is_reading():
            self._read_eof()

    def _read_eof(self) -> None:
        if isinstance(self._protocol, asyncio.Protocol) and self._protocol.eof_received():
            self._reading = False  # the protocol closes its end when it wants to
        else:
            self.close()

    def take(self) -> bytes:
        """Take, for its peer, all that was written to this end and is not received yet."""
        unread = self._unread
        data = unread[0] if len(unread) == 1 else b"".join(unread)
        unread.clear()
        self._size = 0
        return data

    def taken(self) -> None:
        """Go on writing, or end, as the peer has received what was written."""
        if self._protocol_paused and self.get_write_buffer_size() <= self._low and not self._lost:
            self._protocol_paused = False
            self._protocol.resume_writing()
        if self._closing:
            self._lose()

    @property
    def ended(self) -> bool:
        """Whether this end is closed, and its peer has received all that was written to it."""
        return self._closing and not self._size

    def drop_unread(self) -> None:
        """Drop what was written to this end, as its peer is closed and receives nothing more."""
        self.take()
        if self._closing:
            self._lose()

    # -- the end -----------------------------------------------------------------------------

    def is_closing(self) -> bool:
        """Whether it is closed, or closes once all that was written is on the wire."""
        return self._closing

    def close(self) -> None:
        """Stop reading, and close once all that was written is on the wire.

        The other end receives it all, and then the end of the stream.
        """
        if self._closing:
            return
        self._closing = True
        self.peer.drop_unread()
        if not self.get_write_buffer_size():
            self._lose()
        self.peer.schedule_reading()

    def abort(self) -> None:
        """Close at once. The other end receives only what is on the wire."""
        self._closing = True
        self.peer.drop_unread()
        if self._size > WIRE:
            wire = self.take()[:WIRE]
            self._unread.append(wire)
            self._size = len(wire)
        self._lose()
        self.peer.schedule_reading()

    def _lose(self) -> None:
        if not self._lost:
            self._lost = True
            self._loop.call_soon(self._protocol.connection_lost, None)

    # -- the protocol ------------------------------------------------------------------------

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Have another protocol called from now on."""
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        """The protocol that is called."""
        return self._protocol
