"""The simulated network: hosts by address, connections between them, and what may befall these.

A connection behaves as TCP does. What one end writes arrives at the other after a while, in order,
in pieces that end anywhere. Some bytes are on the wire or in buffers of the systems; what is
written beyond that, while the other end does not read, fills the buffer of the transport, which
pauses its protocol.
"""

from __future__ import annotations

import asyncio
import random
import socket
from collections import deque
from collections.abc import Callable, Iterable
from contextvars import Context
from heapq import heappush
from typing import Any, Final, Literal

from tests.simulation.loop import Handle
from tests.simulation.world import Process, World

_LATENCY_LEAST: Final = 0.000_05
_LATENCY_SPAN: Final = 0.000_55
"""Seconds that bytes take to arrive: so many, and a part of so many more, by chance."""
_SYN_AGAIN: Final = 1.0
"""Seconds after which TCP asks again for a connection that nobody answered; then twice as many."""
_READ: Final = 262_144
"""Bytes of the largest read, as in asyncio."""
_HIGH: Final = 65_536
_SPLIT: Final = 0.06
"""How many reads end somewhere within what has arrived."""

Refusal = Literal["refuse", "silence"]
"""What a host does with new connections: refuse them, or swallow them without an answer."""


class Wire:
    """A connection between two processes."""

    def __init__(self, network: Network, number: int, client: Process, server: Process) -> None:
        self.number = number
        self.network = network
        self.world = network.world
        self.dice = network.dice
        self.draw = network.dice.random
        self.capacity = self.dice.choice((16_384, 65_536, 262_144))
        """Bytes that are on the wire in one direction at most."""
        self.delay = 0.0
        """Seconds that all takes longer."""
        self.rate: float | None = None
        """Bytes in a second; None for no limit."""
        self.writes_left = 0
        """After how many more writes, of either end, it is cut; 0 for never."""
        self._cut_after = 0.0
        self._cut_clean = False
        self.client = End(self, client, f"c{number}>", 2 * number)
        self.server = End(self, server, f"c{number}<", 2 * number + 1)
        self.client.peer, self.server.peer = self.server, self.client

    @property
    def ends(self) -> tuple[End, End]:
        """Both ends."""
        return self.client, self.server

    def latency(self, size: int) -> float:
        """Seconds that so many bytes take."""
        seconds = _LATENCY_LEAST + _LATENCY_SPAN * self.draw() + self.delay
        return seconds if self.rate is None else seconds + size / self.rate

    def cut(self, *, clean: bool) -> None:
        """Break it. What is on the wire is lost, or arrives before the end where it is clean."""
        for end in self.ends:
            if clean:
                end.hear_end(None)
            else:
                end.hear_reset()

    def cut_at_work(self, writes: int, seconds: float, *, clean: bool) -> None:
        """Break it so long after so many more writes: while something is under way."""
        self.writes_left, self._cut_after, self._cut_clean = writes, seconds, clean

    def wrote(self) -> None:
        """One of the writes after which it is cut was made."""
        self.writes_left -= 1
        if not self.writes_left:
            world = self.world
            world.at(world.now + self._cut_after, lambda: self.cut(clean=self._cut_clean))

    def swallow(self, *ends: End) -> None:
        """Lose whatever is to arrive at these ends, from now on and for ever."""
        for end in ends:
            end.deaf = True

    def forget(self) -> None:
        """Both ends are closed."""
        if self.client.lost and self.server.lost:
            self.network.wires.pop(self.number, None)


class End(asyncio.Transport):
    """One end of a connection, which is a transport once its process has taken it."""

    peer: End

    def __init__(self, wire: Wire, process: Process, name: str, number: int) -> None:
        super().__init__({"peername": (name, 0)})
        self.number = number
        self.wire = wire
        self.process = process
        self.name = f"{process.name} {name}"
        self.lost = False
        """Whether nothing is read or written here any more."""
        self.deaf = False
        """Whether nothing arrives here any more, and nobody says so."""
        self.stalled = False
        """Whether what arrives waits on the wire."""
        self.under_way = 0
        """Bytes that were written here and that the other end has not read."""
        self._protocol: asyncio.Protocol | None = None
        self._inbox: deque[bytes] = deque()
        self._ended = False  # what is in the inbox is all that comes
        self._reading = True
        self._read_due = False
        self._closing = False
        self._paused = False
        self._high, self._low = _HIGH, _HIGH // 4
        self._to_read = Handle(self._read, (), Context())
        self._arrives = 0.0

    # -- writing -----------------------------------------------------------------------------

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send bytes to the other end."""
        if self._closing or not data:
            return
        wire = self.wire
        size = len(data)
        self.under_way += size
        world = wire.world
        when = world.now + wire.latency(size)
        when = max(when, self._arrives)
        self._arrives = when
        heappush(world.due, (when, next(world.order), self.peer.arrive, (bytes(data),)))
        if wire.writes_left:
            wire.wrote()
        if not self._paused and self.under_way - wire.capacity > self._high:
            self._paused = True
            assert self._protocol is not None
            self._protocol.pause_writing()

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        """Send several pieces as one."""
        self.write(b"".join(list_of_data))

    def _send(self, what: Callable[..., None]) -> None:
        """Have the other end hear of something, once all has arrived that was sent before."""
        world = self.process.world
        self._arrives = max(self._arrives, world.now + self.wire.latency(0))
        world.at(self._arrives, what)

    def get_write_buffer_size(self) -> int:
        """Bytes that were written and are not on the wire yet."""
        return max(0, self.under_way - self.wire.capacity)

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """Bytes (low, high) at which the protocol is resumed and paused."""
        return self._low, self._high

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Set at how many bytes the protocol is paused and resumed."""
        self._high = _HIGH if high is None else high
        self._low = self._high // 4 if low is None else low

    def taken(self, size: int) -> None:
        """The other end has read so many bytes."""
        self.under_way -= size
        if self._paused and not self.lost and self.get_write_buffer_size() <= self._low:
            self._paused = False
            self.process.call(self._resume)

    def _resume(self) -> None:
        if not self.lost and self._protocol is not None:
            self._protocol.resume_writing()

    # -- reading -----------------------------------------------------------------------------

    def attach(self, protocol: asyncio.Protocol) -> None:
        """Its process takes it: what has arrived may be read."""
        self._protocol = protocol
        protocol.connection_made(self)
        self._read_soon()

    def arrive(self, data: bytes) -> None:
        """Bytes have come over the wire."""
        if self.deaf:
            return
        if self.lost:
            self.peer.taken(len(data))
            return
        self._inbox.append(data)
        self._read_soon()

    def _read_soon(self) -> None:
        ready = self._inbox or self._ended
        if not ready or not self._reading or self._read_due or self.stalled or self.lost:
            return
        if self._protocol is not None:
            self._read_due = True
            self.process.interrupt(self._to_read)

    def _read(self) -> None:
        self._read_due = False
        if self.lost or not self._reading or self.stalled or self._protocol is None:
            return
        inbox = self._inbox
        if inbox:
            data = inbox.popleft() if len(inbox) == 1 else b"".join(inbox)
            inbox.clear()
            end = min(_READ, len(data))
            if self.wire.draw() < _SPLIT:
                end = self.wire.dice.randint(1, end)
            if end < len(data):
                inbox.append(data[end:])
                data = data[:end]
            world = self.wire.world
            world.trace.read(world.now, self.number, self.name, data)
            self.peer.taken(len(data))
            self._protocol.data_received(data)
            if inbox or self._ended:
                self._read_soon()
        elif self._ended and not self._protocol.eof_received():
            self.close()

    def stall(self, stalled: bool) -> None:
        """Leave on the wire what arrives, or let it through again."""
        self.stalled = stalled
        if not stalled:
            self._read_soon()

    def is_reading(self) -> bool:
        """Whether it reads."""
        return self._reading and not self._closing

    def pause_reading(self) -> None:
        """Leave on the wire what arrives."""
        self._reading = False

    def resume_reading(self) -> None:
        """Read again."""
        self._reading = True
        self._read_soon()

    # -- the end -----------------------------------------------------------------------------

    def is_closing(self) -> bool:
        """Whether it is closed, or will be."""
        return self._closing

    def close(self) -> None:
        """Close it. What was written before still arrives."""
        if not self._closing:
            self._closing = True
            self._send(lambda: self.peer.hear_end(None))
            self._lose(None)

    def abort(self) -> None:
        """Close it at once. The other end may not get all that was written."""
        if not self._closing:
            self._closing = True
            if self.wire.dice.random() < 0.5:
                self._send(self.peer.hear_reset)
            else:
                self._send(lambda: self.peer.hear_end(None))
            self._lose(None)

    def hear_end(self, _: None) -> None:
        """The other end is closed: nothing comes after what has arrived."""
        if not self.lost and not self.deaf:
            self._ended = True
            self._read_soon()
            if self._protocol is None:
                self.lost = True

    def hear_reset(self) -> None:
        """The connection is broken."""
        if not self.lost and not self.deaf:
            self._inbox.clear()
            self._closing = True
            self._lose(ConnectionResetError(104, "Connection reset by peer"))

    def die(self) -> None:
        """Its process is dead, and the system closes the connection."""
        if not self.lost:
            self.lost = self._closing = True
            if self.wire.dice.random() < 0.5:
                self._send(self.peer.hear_reset)
            else:
                self._send(lambda: self.peer.hear_end(None))
        self.wire.forget()

    def _lose(self, error: Exception | None) -> None:
        self.lost = True
        if self._protocol is not None:
            if self.process.world.current is self.process:
                self.process.loop.call_soon(self._protocol.connection_lost, error)
            else:
                self.process.call(self._protocol.connection_lost, error)
        self.wire.forget()

    def get_protocol(self) -> asyncio.BaseProtocol:
        """The protocol that is called."""
        assert self._protocol is not None
        return self._protocol


class Listener:
    """Takes connections to an address, for one process."""

    def __init__(
        self, network: Network, process: Process, accept: Callable[[], asyncio.Protocol]
    ) -> None:
        self.process = process
        self._network = network
        self._accept = accept
        self._address = ("", 0)

    def at(self, address: tuple[str, int]) -> Listener:
        """Listen there."""
        if address in self._network.listeners:
            raise OSError(98, f"{address} is in use")
        self._address = address
        self._network.listeners[address] = self
        self.process.on_death.append(self.close)
        return self

    def take(self, end: End) -> None:
        """A connection has come."""
        self.process.call(lambda: None if end.lost else end.attach(self._accept()))

    # -- what asyncio.Server has -------------------------------------------------------------

    @property
    def sockets(self) -> tuple[Listener, ...]:
        """Itself: it knows its address."""
        return (self,)

    def getsockname(self) -> tuple[str, int]:
        """Its address."""
        return self._address

    def close(self) -> None:
        """Take no more connections."""
        if self._network.listeners.get(self._address) is self:
            del self._network.listeners[self._address]

    async def wait_closed(self) -> None:
        """It is closed already."""


class Network:
    """All listeners and connections of a world."""

    def __init__(self, world: World, seed: int) -> None:
        self.world = world
        self.dice = random.Random(f"{seed} network")
        self.listeners: dict[tuple[str, int], Listener] = {}
        self.wires: dict[int, Wire] = {}
        """The connections whose ends are not both closed."""
        self.refusal: Refusal | None = None
        """What becomes of new connections; None where they are taken."""
        self._made = 0

    def of(self, process: Process) -> Place:
        """A process's place in it."""
        return Place(self, process)

    def connect(self, client: Process, address: tuple[str, int]) -> Wire | None:
        """A connection to what listens there; None if nothing does."""
        listener = self.listeners.get(address)
        if listener is None:
            return None
        self._made += 1
        wire = self.wires[self._made] = Wire(self, self._made, client, listener.process)
        listener.take(wire.server)
        return wire


class Place:
    """A process's place in the network."""

    def __init__(self, network: Network, process: Process) -> None:
        self._network = network
        self._process = process
        self._connected: dict[socket.socket, Wire] = {}
        process.on_death.append(self._die)

    async def connect(self, sock: socket.socket, address: tuple[str, int]) -> None:
        """Connect a socket.

        :raises ConnectionRefusedError: if nothing listens there.
        """
        network = self._network
        dice = network.dice
        await asyncio.sleep(_LATENCY_LEAST + _LATENCY_SPAN * dice.random())
        pause = _SYN_AGAIN
        while network.refusal == "silence":
            await asyncio.sleep(pause)
            pause *= 2
        wire = network.connect(self._process, address) if network.refusal is None else None
        if wire is None:
            raise ConnectionRefusedError(111, "Connection refused")
        self._connected[sock] = wire
        try:
            await asyncio.sleep(_LATENCY_LEAST + _LATENCY_SPAN * dice.random())
        except BaseException:
            self._connected.pop(sock, None)
            wire.client.abort()
            raise

    def attach(self, sock: socket.socket, protocol: asyncio.Protocol) -> asyncio.Transport:
        """The transport of a socket that is connected."""
        end = self._connected.pop(sock).client
        if end.lost:
            raise ConnectionResetError(104, "Connection reset by peer")
        end.attach(protocol)
        return end

    def listen(self, accept: Callable[[], asyncio.Protocol], host: str, port: int) -> Any:
        """Take connections to an address."""
        return Listener(self._network, self._process, accept).at((host, port))

    def _die(self) -> None:
        for sock in self._connected:
            sock.close()
        for wire in tuple(self._network.wires.values()):
            for end in wire.ends:
                if end.process is self._process:
                    end.die()
