"""Writes the frames of one connection in batches, and holds senders while the socket is full.

Frames that are sent in one pass of the event loop leave in one write, with the acknowledgements
that sum up the pass. Each write costs both ends far more than the frames in it.

A peer that does not read fills the socket, and then the transport's buffer. Above `WRITE_BUFFER`
bytes asyncio pauses the writer. Senders of messages wait in `wait_until_writable` then, and are let
go one after the other, each only if those before it have not filled the buffer again. So the buffer
holds at most `WRITE_BUFFER`, one batch and one message, however many senders there are.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import count, islice
from typing import Final

from leveret.amqp.frames import FrameParts

WRITE_BUFFER: Final = 1024 * 1024
"""Bytes in the transport's buffer above which senders wait. They go on at a quarter of it."""

BATCH_BYTES: Final = 65_536
"""Bytes that are written at once, without waiting for the end of the pass."""

BATCH_FRAMES: Final = 256
"""Likewise, the number of `send` calls."""

_LARGE: Final = 4096
"""Bytes of an average frame from which on joining a batch costs more than writing its frames."""

_ADMITTED: Final = 16
"""Waiting senders that one pass of the event loop lets go. Their frames share a write."""


class Writer:
    """Batches the frames of one connection and holds its senders back while `paused`.

    :param on_paused: called with True when the socket is full, and with False when it takes more.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, on_paused: Callable[[bool], None]) -> None:
        self.paused = False
        """Whether the peer does not take what is written."""
        self.writes = 0
        """How many writes there were."""
        self._loop = loop
        self._on_paused = on_paused
        self._transport: asyncio.WriteTransport | None = None
        self._ended = False
        self._out: list[bytes | memoryview] = []
        self._out_size = 0
        self._deferred: list[Callable[[], None]] = []
        self._flush_due = False
        self._held = False
        self._tickets = count()
        self._waiting: dict[int, asyncio.Future[None]] = {}  # in the order of arrival
        self._admission_due = False

    # -- the socket ----------------------------------------------------------------------------

    def attach(self, transport: asyncio.WriteTransport) -> None:
        """Write to this transport from now on."""
        self._transport = transport
        transport.set_write_buffer_limits(high=WRITE_BUFFER)

    def detach(self) -> None:
        """Drop whatever is still sent: the socket is gone."""
        self._transport = None

    def pause(self) -> None:
        """Hold senders back."""
        if not self.paused and not self._ended:
            self.paused = True
            self._on_paused(True)

    def resume(self) -> None:
        """Let the senders that wait go on, in the order in which they came."""
        if self.paused:
            self.paused = False
            if not self._admission_due:
                self._admit()
            self._on_paused(False)

    def end(self) -> None:
        """Let all senders go on at once, and hold none back any more: the connection has ended."""
        self._ended = True
        self.resume()

    # -- sending -------------------------------------------------------------------------------

    def send(self, data: bytes) -> None:
        """Send frames together with all else that this pass of the event loop sends."""
        out = self._out
        out.append(data)
        self._out_size += len(data)
        if self._out_size >= BATCH_BYTES or len(out) >= BATCH_FRAMES:
            self.flush()
        elif not self._flush_due:
            self._flush_due = True
            self._loop.call_soon(self._flush_or_hold)

    def send_parts(self, frames: FrameParts) -> None:
        """Send frames without joining them, after all that was sent before, at once."""
        self._out += frames.parts
        self._out_size += len(frames)
        self.flush()

    def defer(self, callback: Callable[[], None]) -> None:
        """Call back just before the next write, to add what sums up this pass: acknowledgements."""
        self._deferred.append(callback)
        if not self._flush_due:
            self._flush_due = True
            self._loop.call_soon(self._flush_or_hold)

    def collect(self) -> None:
        """Have the deferred callbacks send now, before what is sent next."""
        if self._deferred:
            deferred, self._deferred = self._deferred, []
            for callback in deferred:
                callback()

    def flush(self) -> None:
        """Write all that was sent."""
        self.collect()
        self._flush_due = False
        out = self._out
        if out:
            if self._transport is not None:
                self.writes += 1
                if len(out) == 1:
                    self._transport.write(out[0])
                elif self._out_size < _LARGE * len(out):
                    self._transport.write(b"".join(out))
                else:  # uvloop, and asyncio from 3.12 on, write a list without a copy
                    self._transport.writelines(out)
            out.clear()
            self._out_size = 0

    def _flush_or_hold(self) -> None:
        """Flush; but where several frames wait, let one more pass of the loop add to them.

        Under load that makes fewer and larger writes. A lone frame never waits.
        """
        if not self._held and 1 < len(self._out) < BATCH_FRAMES // 4:
            self._held = True
            self._loop.call_soon(self._flush_or_hold)
        else:
            self._held = False
            self.flush()

    # -- waiting -------------------------------------------------------------------------------

    async def wait_until_writable(self) -> None:
        """Return when the socket takes more and it is this sender's turn, or the connection ends.

        Whoever waits must send before it waits for anything else. Else others send meanwhile.
        """
        if not self.paused and not self._waiting:
            return
        ticket = next(self._tickets)
        try:
            while not self._ended:
                turn = self._waiting[ticket] = self._loop.create_future()
                if not self.paused and not self._admission_due:
                    # Nothing will resume a socket that takes all: this waits only for those before.
                    self._admission_due = True
                    self._loop.call_soon(self._admit)
                await turn
                if not self.paused:  # else those before it have filled the buffer again
                    return
        finally:
            self._waiting.pop(ticket, None)

    def _admit(self) -> None:
        """Let the next senders go; those after them have their turn in the next pass."""
        self._admission_due = False
        if self.paused:
            return
        waiting = self._waiting.values()
        for turn in tuple(waiting if self._ended else islice(waiting, _ADMITTED)):
            if not turn.done():
                turn.set_result(None)
        if len(self._waiting) > _ADMITTED and not self._ended:
            self._admission_due = True
            self._loop.call_soon(self._admit)
