"""One direction of a connection through a `FaultProxy`: reads bytes and passes them on."""

from __future__ import annotations

import asyncio
import random
import socket
import sys
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Generic, NamedTuple, TypeVar

from leveret.testing.faults.actions import Conditions, LineFault
from leveret.testing.faults.moments import Direction, Moment
from leveret.testing.faults.stream import FrameStream, Tripwire

__all__ = ["Line", "Passed"]

if sys.platform == "linux":
    import fcntl

_CHUNK: Final = 131_072
"""Most bytes read at once."""
_ROOM: Final = 262_144
"""Bytes that may wait. Then reading stops, so that the sender feels a slow receiver."""
_ROOM_DELAYED: Final = 8 * 1024 * 1024
"""The same bound while a delay or jitter is set: the bytes on their way."""
_CHUNK_OVERHEAD: Final = 256
"""Bytes counted for a chunk besides its data, so that many small chunks are bounded too."""
_SLICE: Final = 0.02
"""Seconds. A throttled line sends at once what its rate allows in this time."""
_SIOCOUTQNSD: Final = 0x894B
"""Linux: how many bytes the kernel has not sent yet (linux/sockios.h)."""
_POLL_EVERY: Final = 0.001
"""Seconds between two questions to the kernel."""


@dataclass(slots=True)
class Passed:
    """How much has passed in one direction."""

    bytes: int = 0
    frames: int = 0
    """Whole AMQP frames, heartbeats aside."""


class _Chunk(NamedTuple):
    data: bytes
    """Empty at the end."""
    at: float
    luck: float
    """From 0 to 1: its share of the jitter."""
    reset: bool = False
    """At the end: whether the source was reset, and did not close."""


R = TypeVar("R")


class _TargetGone(Exception):
    """The target takes nothing any more."""


class Line(Generic[R]):
    """One direction of a connection. `run` moves the bytes; the other methods change how.

    :param conditions: the conditions at the start.
    :param counters: each of them counts what passes.
    :param strike: called with what was armed for a moment when that moment comes.
    """

    def __init__(
        self,
        direction: Direction,
        conditions: Conditions,
        counters: tuple[Passed, ...],
        strike: Callable[[R], None],
    ) -> None:
        self.direction: Direction = direction
        self._conditions = conditions
        self._counters = counters
        self._strike = strike
        self._stream: FrameStream[R] = FrameStream()
        self._severed = False
        self._sent = 0
        self._spoilt: dict[int, int | None] = {}
        self._free_at = 0.0  # when a throttled line may pass on more, by the loop's clock
        self._queue: deque[_Chunk] = deque()
        self._waiting = 0
        self._filled = asyncio.Event()
        self._has_room = asyncio.Event()
        self._pausing: asyncio.Future[None] | None = None

    def change(self, fault: LineFault) -> None:
        """Apply new conditions."""
        self._conditions = fault.changed(self._conditions)
        self._free_at = 0.0
        self._has_room.set()
        _wake(self._pausing)

    def sever(self) -> None:
        """Pass on no further byte, ever."""
        self._severed = True

    def spoil(self, offset: int, value: int | None) -> None:
        """Replace the byte at `offset` bytes from here; None flips all its bits."""
        self._spoilt[self._sent + offset] = value

    def arm(self, moment: Moment, rule: R) -> None:
        """Call `strike` with `rule` when its moment comes, counted from here."""
        self._stream.arm(Tripwire(moment, rule))

    def disarm(self, rule: R) -> None:
        """Take a rule back, for all its moments."""
        self._stream.disarm(rule)

    async def run(self, source: socket.socket, target: socket.socket) -> bool:
        """Pass on all bytes and the end of stream; False if the source was reset instead."""
        reader = asyncio.create_task(self._read(source))
        try:
            return await self._write(target)
        except _TargetGone:
            return True  # the line from the target sees its end, and passes that on
        finally:
            reader.cancel()
            await asyncio.wait([reader])

    # -- in ------------------------------------------------------------------------------------

    async def _read(self, source: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        try:
            while data := await loop.sock_recv(source, _CHUNK):
                self._put(_Chunk(data, loop.time(), random.random()))
                while self._waiting >= self._room:
                    self._has_room.clear()
                    await self._has_room.wait()
        except OSError:
            self._put(_Chunk(b"", loop.time(), random.random(), reset=True))
        else:
            self._put(_Chunk(b"", loop.time(), random.random()))

    @property
    def _room(self) -> int:
        return _ROOM_DELAYED if self._conditions.delay or self._conditions.jitter else _ROOM

    def _put(self, chunk: _Chunk) -> None:
        self._queue.append(chunk)
        self._waiting += len(chunk.data) + _CHUNK_OVERHEAD
        self._filled.set()

    async def _take(self) -> _Chunk:
        while not self._queue:
            self._filled.clear()
            await self._filled.wait()
        chunk = self._queue.popleft()
        self._waiting -= len(chunk.data) + _CHUNK_OVERHEAD
        if self._waiting < self._room:
            self._has_room.set()
        return chunk

    # -- out -----------------------------------------------------------------------------------

    async def _write(self, target: socket.socket) -> bool:
        head = b""  # of a frame: what it is cannot be told yet
        while True:
            chunk = await self._take()
            await self._until_due(chunk)
            if not chunk.data:
                await self._send(memoryview(head), target)
                if not chunk.reset:
                    _finish(target)
                return not chunk.reset
            head = await self._pass_on(head + chunk.data, target)

    async def _until_due(self, chunk: _Chunk) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._turn()
            now = self._conditions
            wait = chunk.at + now.delay + now.jitter * chunk.luck - loop.time()
            if wait <= 0:
                return
            await self._pause(wait)

    async def _pass_on(self, data: bytes, target: socket.socket) -> bytes:
        """Send the data up to each moment, and strike there; returns the incomplete rest."""
        stream, rest = self._stream, memoryview(data)
        while rest:
            await self._turn()  # first: a rule that is made during a stall counts what waits
            frames = stream.frames
            size, due = stream.advance(rest)
            await self._send(rest[:size], target)
            for counter in self._counters:
                counter.frames += stream.frames - frames
            rest = rest[size:]
            if not due:
                break
            await _until_sent(target)
            for wire in due:
                self._strike(wire.rule)
        return bytes(rest)

    async def _send(self, data: memoryview, target: socket.socket) -> None:
        while data:
            most = await self._turn()
            try:
                sent = target.send(self._spoil(data[:most]))
            except BlockingIOError:
                await _until_writable(target)
                continue
            except OSError as error:
                raise _TargetGone from error
            self._count(sent)
            data = data[sent:]

    def _count(self, sent: int) -> None:
        self._sent += sent
        for counter in self._counters:
            counter.bytes += sent
        if (rate := self._conditions.rate) is not None:
            now = asyncio.get_running_loop().time()
            # From the last time, where that is not long ago: timers that are late cost no rate.
            self._free_at = max(self._free_at, now - _SLICE) + sent / rate

    def _spoil(self, data: memoryview) -> memoryview | bytes:
        if not self._spoilt:
            return data
        first, changed = self._sent, bytearray(data)
        self._spoilt = {at: value for at, value in self._spoilt.items() if at >= first}
        for at, value in self._spoilt.items():
            if at < first + len(changed):
                byte = changed[at - first]
                changed[at - first] = byte ^ 0xFF if value is None else value
        return bytes(changed)

    # -- waiting -------------------------------------------------------------------------------

    async def _turn(self) -> int:
        """Wait until bytes may pass; returns how many at most."""
        loop = asyncio.get_running_loop()
        while True:
            if self._severed or self._conditions.stalled:
                await self._pause(None)
            elif (rate := self._conditions.rate) is None:
                return sys.maxsize
            elif (wait := self._free_at - loop.time()) > 0:
                await self._pause(wait)
            else:
                return max(1, int(rate * _SLICE))

    async def _pause(self, seconds: float | None) -> None:
        """Wait for `seconds` (None: without end), or until the conditions change."""
        loop = asyncio.get_running_loop()
        self._pausing = loop.create_future()
        timer = None if seconds is None else loop.call_later(seconds, _wake, self._pausing)
        try:
            await self._pausing
        finally:
            if timer is not None:
                timer.cancel()


def _wake(waiter: asyncio.Future[None] | None) -> None:
    if waiter is not None and not waiter.done():
        waiter.set_result(None)


def _finish(sock: socket.socket) -> None:
    try:
        sock.shutdown(socket.SHUT_WR)
    except OSError as error:
        raise _TargetGone from error


async def _until_writable(sock: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    writable: asyncio.Future[None] = loop.create_future()
    loop.add_writer(sock, _wake, writable)
    try:
        await writable
    finally:
        loop.remove_writer(sock)


async def _until_sent(sock: socket.socket) -> None:
    """Wait until the kernel has sent all it was given: a reset throws away what it has not."""
    if sys.platform == "linux":
        # The kernel has no event for it, so it is polled.
        while any(fcntl.ioctl(sock, _SIOCOUTQNSD, bytes(4))):  # noqa: ASYNC110
            await asyncio.sleep(_POLL_EVERY)
