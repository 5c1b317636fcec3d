"""Connects to the first address of a name that answers, as RFC 8305 says ("happy eyeballs").

A name may have several addresses: one of each IP family, or one per pod. Some of them may lead
nowhere, and only a timeout tells that packets are dropped. So an attempt does not wait for the end
of the one before it. It begins when that has failed, or after `STAGGER` seconds without a socket,
or after `HANDSHAKE` seconds without an open connection. The first open connection counts, and the
other attempts are cancelled. No attempt is given up for being slow.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from itertools import chain, zip_longest
from typing import Any, Final, Generic, Protocol, TypeVar

from msgspec import Struct

from leveret.transport.network_errors import NETWORK_ERRORS

__all__ = ["HANDSHAKE", "STAGGER", "Endpoint", "NoneOpened", "connect_socket", "race", "resolve"]

STAGGER: Final = 0.25
"""Seconds that an address has to accept the connection before another one is tried as well (RFC
8305, section 5)."""
HANDSHAKE: Final = 2.0
"""Seconds that an address which accepted the connection has to open it before another one is
tried."""


class Endpoint(Struct, frozen=True, kw_only=True):
    """One address of a host, as a socket takes it."""

    family: int
    """IPv4 or IPv6."""
    protocol: int
    """TCP, by its number."""
    address: tuple[Any, ...]
    """IP address and port; for IPv6 also flow and scope."""

    def __str__(self) -> str:
        return str(self.address[0])


class Closable(Protocol):
    """The connection that an attempt opens."""

    def abort(self, reason: str) -> None:
        """Close it at once, as another attempt was first."""


C = TypeVar("C", bound=Closable)

Target = Endpoint | None
"""None if there is no socket."""

Attempt = Callable[[Target, Callable[[], None]], Awaitable[C]]
"""Opens a connection to one target; calls its second argument when the target has taken it."""


class NoneOpened(Exception):
    """All attempts failed; `failures` says how, in the order in which they did."""

    def __init__(self, failures: Sequence[tuple[Target, Exception]]) -> None:
        super().__init__("no attempt opened a connection")
        self.failures = failures


async def resolve(host: str, port: int) -> list[Endpoint]:
    """Look up the addresses of a host, in the order in which to try them.

    The IP families alternate, starting with that of the first address.

    :raises OSError: if there is no such name.
    :raises UnicodeError: if the name is not possible.
    """
    try:  # what is an address already needs no look-up, and no thread for it
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except OSError:
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    families: dict[int, dict[Endpoint, None]] = {}
    for family, _, protocol, _, address in found:
        endpoint = Endpoint(family=family, protocol=protocol, address=address)
        families.setdefault(family, {})[endpoint] = None
    return [endpoint for endpoint in chain(*zip_longest(*families.values())) if endpoint]


async def connect_socket(endpoint: Endpoint) -> socket.socket:
    """Connect a socket to an address.

    :raises OSError: if nothing there takes the connection.
    """
    sock = socket.socket(endpoint.family, socket.SOCK_STREAM, endpoint.protocol)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.get_running_loop().sock_connect(sock, endpoint.address)
    except BaseException:
        sock.close()
        raise
    return sock


async def race(
    targets: Sequence[Target],
    attempt: Attempt[C],
    *,
    seconds: float,
    errors: tuple[type[Exception], ...] = NETWORK_ERRORS,
) -> C:
    """Open a connection to one of the targets: the first attempt that succeeds counts.

    :param seconds: how long all of it may take.
    :param errors: errors that end only the attempt that raises them; others end all attempts.
    :raises NoneOpened: if all attempts failed.
    """
    race = _Race(attempt, seconds, errors)
    winner: C | None = None
    try:
        opened = winner = await race.run(targets)
    finally:
        await race.stop(winner)  # which closes the winner, if it is cancelled
    return opened


class _Race(Generic[C]):
    """The attempts that run at the same time."""

    def __init__(
        self, attempt: Attempt[C], seconds: float, errors: tuple[type[Exception], ...]
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._attempt = attempt
        self._seconds = seconds
        self._end = self._loop.time() + seconds
        self._errors = errors
        self._running: dict[asyncio.Task[C], Target] = {}
        self._failures: list[tuple[Target, Exception]] = []

    async def run(self, targets: Sequence[Target]) -> C:
        stagger = min(STAGGER, self._seconds / (len(targets) + 1))
        handshake = min(HANDSHAKE, self._seconds / 2)
        for target in targets:
            begun = self._loop.time()
            taken = asyncio.Event()
            newest = self._loop.create_task(self._try(target, taken.set))
            self._running[newest] = target
            winner = await self._first(newest, begun + stagger)
            if winner is None and taken.is_set():
                winner = await self._first(newest, begun + handshake)
            if winner is not None:
                return winner
        while self._running:
            winner = await self._first(next(iter(self._running)))
            if winner is not None:
                return winner
        raise NoneOpened(self._failures)

    async def stop(self, winner: C | None) -> None:
        """Cancel the other attempts, and close connections that came second.

        If this is cancelled, nobody gets the winner: it is closed as well, and the connections
        that still come.
        """
        for task in self._running:
            task.cancel()
            task.add_done_callback(partial(_close_opened, winner))
        try:
            if self._running:
                await asyncio.wait(self._running)
        except asyncio.CancelledError:
            if winner is not None:
                winner.abort("it was given up as it opened")
            raise

    async def _try(self, target: Target, taken: Callable[[], None]) -> C:
        async with asyncio.timeout_at(self._end):
            return await self._attempt(target, taken)

    async def _first(self, newest: asyncio.Task[C], until: float | None = None) -> C | None:
        """The first connection that opens before `newest` fails or its time is over."""
        while newest in self._running:
            left = None if until is None else until - self._loop.time()
            if left is not None and left <= 0:
                break
            done, _ = await asyncio.wait(
                self._running, timeout=left, return_when=asyncio.FIRST_COMPLETED
            )
            for task in done:
                error = task.exception()
                if error is None:
                    return task.result()
                if not isinstance(error, self._errors):
                    raise error
                self._failures.append((self._running.pop(task), error))
        return None


def _close_opened(winner: Closable | None, attempt: asyncio.Task[C]) -> None:
    """Close what an attempt has opened, unless it has won."""
    if attempt.cancelled() or attempt.exception() is not None:
        return
    opened = attempt.result()
    if opened is not winner:
        opened.abort("another address was first")
