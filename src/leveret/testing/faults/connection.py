"""One connection through a `FaultProxy`: two sockets, and a line each way between them."""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from collections.abc import Coroutine
from typing import Any, Final, Protocol

from leveret.testing.faults.actions import BOTH, Conditions, Door, Ending, Faulty, LineFault
from leveret.testing.faults.line import Line, Passed
from leveret.testing.faults.moments import Direction, Moment
from leveret.testing.faults.rules import Action, Rule

__all__ = ["FaultConnection", "Proxy"]

log = logging.getLogger("leveret.testing.faults.proxy")

_RESET: Final = struct.pack("ii", 1, 0)
"""SO_LINGER: closing throws away what was not sent, and sends a reset."""
_CHUNK: Final = 65_536


class Proxy(Protocol):
    """The part of its proxy that a connection uses."""

    target: tuple[str, int]
    conditions: dict[Direction, Conditions]
    to_broker: Passed
    to_client: Passed

    def set_door(self, door: Door) -> None:
        """Say how new connections are received."""


class FaultConnection(Faulty):
    """One connection of a client to the broker, by way of a `FaultProxy`.

    It has the same faults and rules as its proxy, for this connection alone.
    """

    def __init__(self, proxy: Proxy, client: socket.socket, number: int) -> None:
        self.number = number
        """1 is the first that the proxy accepted."""
        self.to_broker = Passed()
        """What has passed to the broker."""
        self.to_client = Passed()
        """What has passed to the client."""
        self._proxy = proxy
        self._client = client
        self._broker: socket.socket | None = None
        counters = {
            "to_broker": (self.to_broker, proxy.to_broker),
            "to_client": (self.to_client, proxy.to_client),
        }
        self._lines: dict[Direction, Line[Rule[FaultConnection]]] = {
            one: Line(one, proxy.conditions[one], counters[one], self._strike) for one in BOTH
        }
        self._ending: Ending | None = None
        self._failure: Exception | None = None
        self._work: asyncio.Task[None] | None = None
        self._closed = asyncio.Event()

    def __repr__(self) -> str:
        return f"<connection {self.number} of a FaultProxy{'' if self.is_open else ', closed'}>"

    @property
    def is_open(self) -> bool:
        """Whether the proxy holds a socket of it, even one whose peer is gone."""
        return not self._closed.is_set()

    async def wait_closed(self) -> None:
        """Wait until the proxy has closed both sockets."""
        await self._closed.wait()

    def when(self, moment: Moment, *actions: Action[FaultConnection]) -> Rule[FaultConnection]:
        """Cause faults when a moment comes on this connection, once; see `FaultProxy.when`."""
        rule = Rule(moment, actions, each_connection=False, on_remove=self.disarm)
        self.arm(rule)
        return rule

    # -- what faults do ------------------------------------------------------------------------

    def end(self, ending: Ending) -> None:
        for line in self._lines.values():
            line.sever()
        self._ending = ending
        if self._work is not None:
            self._work.cancel()

    def change(self, direction: Direction, fault: LineFault) -> None:
        self._lines[direction].change(fault)

    def spoil(self, direction: Direction, offset: int, value: int | None) -> None:
        self._lines[direction].spoil(offset, value)

    def set_door(self, door: Door) -> None:
        self._proxy.set_door(door)

    def arm(self, rule: Rule[FaultConnection]) -> None:
        """Let a rule strike this connection."""
        self._lines[rule.moment.direction].arm(rule.moment, rule)

    def disarm(self, rule: Rule[FaultConnection]) -> None:
        """Keep a rule from striking this connection again."""
        self._lines[rule.moment.direction].disarm(rule)

    def _strike(self, rule: Rule[FaultConnection]) -> None:
        try:
            rule.strike(self)
        except Exception as error:  # noqa: BLE001 - a test's own function raised it: so does `run`
            self._failure = error
            self.end(Ending.RESET)

    # -- its life ------------------------------------------------------------------------------

    async def run(self, *, silent: bool) -> None:
        """Pass on bytes until the connection ends. If cancelled, reset both sockets.

        :raises Exception: what a function among a rule's actions raised.
        """
        work = self._swallow(self._client) if silent else self._pass_on()
        how = Ending.RESET
        try:
            await self._do(work)
            while (ending := self._ending) is not None:
                self._ending = None
                await self._do(self._live_out(ending))
            if self._failure is not None:
                raise self._failure
            how = Ending.FINISH
        finally:
            self.release(how)

    def release(self, how: Ending = Ending.RESET) -> None:
        """Close the sockets that are open."""
        for sock in (self._client, self._broker):
            _close(sock, reset=how is Ending.RESET)
        self._closed.set()

    async def _do(self, work: Coroutine[Any, Any, None]) -> None:
        """Run `work` so that `end` can cancel it."""
        if self._ending is not None:
            work.close()
            return
        self._work = task = asyncio.create_task(work)
        try:
            await asyncio.wait([task])
        finally:
            self._work = None
            if not task.done():
                task.cancel()
                await asyncio.wait([task])
        if not task.cancelled() and (error := task.exception()) is not None:
            raise error

    async def _pass_on(self) -> None:
        try:
            self._broker = await _connect(*self._proxy.target)
        except OSError as error:
            host, port = self._proxy.target
            log.warning("the broker at %s:%d cannot be reached: %s", host, port, error)
            _close(self._client, reset=True)
            return
        ways = {
            "to_broker": (self._client, self._broker),
            "to_client": (self._broker, self._client),
        }
        ends = (self._run(line, *ways[one]) for one, line in self._lines.items())
        await _all(*ends)

    async def _run(
        self, line: Line[Rule[FaultConnection]], source: socket.socket, target: socket.socket
    ) -> None:
        if not await line.run(source, target):
            self.end(Ending.RESET)

    async def _live_out(self, ending: Ending) -> None:
        """After the end: read and drop all that the open sockets send, and send nothing."""
        reset = {
            Ending.RESET: (self._client, self._broker),
            Ending.BROKER_GONE: (self._broker,),
            Ending.CLIENT_GONE: (self._client,),
        }.get(ending, ())
        for sock in reset:
            _close(sock, reset=True)
        left = [sock for sock in (self._client, self._broker) if sock and sock.fileno() >= 0]
        if ending is Ending.FINISH:
            for sock in left:
                _finish(sock)
        await _all(*(self._swallow(sock) for sock in left))

    async def _swallow(self, sock: socket.socket) -> None:
        """Read and drop all until the peer closes. To close earlier would tell the peer."""
        loop = asyncio.get_running_loop()
        try:
            while await loop.sock_recv(sock, _CHUNK):
                pass
        except OSError:
            pass
        _close(sock, reset=False)


async def _all(*works: Coroutine[Any, Any, None]) -> None:
    """Run all at once. The first failure cancels the others and is raised."""
    try:
        async with asyncio.TaskGroup() as group:
            for work in works:
                group.create_task(work)
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None


async def _connect(host: str, port: int) -> socket.socket:
    loop = asyncio.get_running_loop()
    failed: OSError | None = None
    for family, kind, protocol, _, address in await loop.getaddrinfo(
        host, port, type=socket.SOCK_STREAM
    ):
        sock = socket.socket(family, kind, protocol)
        sock.setblocking(False)
        try:
            await loop.sock_connect(sock, address)
        except BaseException as error:
            sock.close()
            if not isinstance(error, OSError):
                raise
            failed = error
        else:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return sock
    raise failed or OSError(f"{host} has no address")


def _finish(sock: socket.socket) -> None:
    try:
        sock.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # it is gone already


def _close(sock: socket.socket | None, *, reset: bool) -> None:
    if sock is None or sock.fileno() < 0:
        return
    if reset:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    sock.close()
