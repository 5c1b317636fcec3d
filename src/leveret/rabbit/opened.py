"""What is open from one opening of a connection to its close: a link, a client, servers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from contextvars import Context
from math import inf
from typing import Final, Protocol
from weakref import WeakSet

from leveret.client.calls.client import Client
from leveret.errors import ConnectionLost, LeveretError
from leveret.observe import ConnectionCounters
from leveret.rabbit.options import ConnectionOptions
from leveret.transport.address import Address
from leveret.transport.link import ConnectionEvent, Link, State
from leveret.transport.opening import default_name
from leveret.wire.native.topology import declare_exchanges

log = logging.getLogger("leveret.transport")

CLOSE_TIMEOUT: Final = 5.0
"""Seconds that a broker has to answer while a connection is closed."""


class Closable(Protocol):
    """What its connection needs of a server."""

    async def close(self) -> None:
        """Drain it. Calling it twice is fine."""

    def cancel_running(self) -> None:
        """Cut the grace of its drain short."""


class Opened:
    """A link in the running event loop, the client on it and, for `embedded://`, the broker.

    Making one starts to connect, in a task that `ready` awaits and `close` ends.

    :param address: the broker, or the name of an embedded one.
    :param counters: count its connections.
    """

    def __init__(
        self,
        address: Address | str,
        options: ConnectionOptions,
        counters: ConnectionCounters | None = None,
    ) -> None:
        self.loop = asyncio.get_running_loop()
        """The event loop that it belongs to."""
        self.servers: WeakSet[Closable] = WeakSet()
        """The servers on it, which are drained when it closes. It keeps running servers alive."""
        self._options = options
        self._counters = counters or ConnectionCounters()
        self._was_connected = False
        self._address, self._leave_embedded = _reach(address)
        self.link = Link(
            self._address,
            name=options.name or default_name(),
            max_message_size=options.max_message_size,
            reconnect=options.reconnect,
            prepare=declare_exchanges,
            on_event=self._changed,
        )
        self.client = Client(
            self.link,
            name=options.name,
            max_in_flight=options.max_in_flight,
            max_message_size=options.max_message_size,
            on_late=self._late,
        )
        self._is_closed = False
        self._waiting = 0
        # Whoever opens it may be the handler of a request, whose context is not the connection's.
        self._opening = self.loop.create_task(self._open(), context=Context())
        self._opening.add_done_callback(_retrieved)

    @property
    def state(self) -> State:
        """Connecting, connected, reconnecting or closed."""
        return State.CLOSED if self._is_closed or self.loop.is_closed() else self.link.state

    async def ready(self) -> None:
        """Wait until it is connected. If nobody waits any more, the connect is given up.

        :raises ConnectionLost: if no broker can be reached, or the connection breaks at its start.
        :raises Unauthenticated: if the broker refuses user and password.
        :raises PermissionDenied: if the user may not use the vhost.
        """
        opening = self._opening
        self._waiting += 1
        try:
            await asyncio.wait((opening,))
        finally:
            self._waiting -= 1
            if not self._waiting and not opening.done():
                await self.close()
        if opening.cancelled():
            raise ConnectionLost(
                "the connection was closed while it was being opened", executed="no"
            )
        opening.result()

    async def close(self) -> None:
        """Drain the servers, end pending calls, delete the reply queue, close the link.

        After `CLOSE_TIMEOUT` seconds without an answer the link is aborted. Calling it twice is
        fine. If it is cancelled, it cuts the grace of the drains short, and goes on: callers are
        told before the link closes. If it is cancelled again, it waits for no drain any more.
        """
        servers = tuple(self.servers)
        try:
            try:
                await _closed(servers)
            except asyncio.CancelledError:
                for server in servers:
                    server.cancel_running()
                await _closed(servers)
                raise
        finally:
            if not self._opening.done():
                self._opening.cancel()
                await asyncio.wait((self._opening,))
            await self._close()

    def _changed(self, event: ConnectionEvent) -> None:
        """The state of the link has changed."""
        if event.state is State.CONNECTED:
            self._counters.reconnects += self._was_connected
            self._was_connected = True
        if self._options.on_connection is not None:
            self._options.on_connection(event)

    def _late(self) -> None:
        self._counters.late_replies += 1

    async def _open(self) -> None:
        try:
            if self._options.lazy:
                await self._open_lazily()
            else:
                await self._open_at_once()
        except BaseException as error:
            if isinstance(error, LeveretError):
                # Whoever waits for it gets this, not that it was closed.
                self.client.end(error)
                self.link.fail(error)
            await self._close()
            raise

    async def _open_at_once(self) -> None:
        options = self._options
        await self.link.open(patience=options.wait_for_broker)
        seconds = max(options.wait_for_broker, self._address.connection_timeout)
        try:
            async with asyncio.timeout(seconds):
                await self.client.start()
        except TimeoutError as error:
            raise ConnectionLost(
                f"cannot connect to {self._address}: the connection broke at its start, again and"
                f" again: {self.link.failure}",
                executed="no",
            ) from error

    async def _open_lazily(self) -> None:
        attempts = self._options.reconnect.attempts
        try:
            await self.link.open(
                patience=inf, attempts=None if attempts is None else max(attempts, 1)
            )
            while True:
                try:
                    await self.client.start()
                except ConnectionLost as error:  # the broker there does not react
                    if self.link.state is State.CLOSED:
                        raise
                    self.link.abort(str(error))
                else:
                    return
        except LeveretError as error:
            log.error("%s: given up, until it is opened again: %s", self.link, error)
            raise

    async def _close(self) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        timer = self.loop.call_later(CLOSE_TIMEOUT, self._leave)
        try:
            await self.client.close()
        finally:
            try:
                await self.link.close()
            finally:
                timer.cancel()
                if self._leave_embedded is not None:
                    await self._leave_embedded()

    def _leave(self) -> None:
        """End without the broker, which does not answer, and open no other connection."""
        why = "the broker answers no goodbye"
        log.warning("%s: %s; the connection is dropped", self.link, why)
        self.link.fail(ConnectionLost(why))
        self.link.abort(why)


async def _closed(servers: Iterable[Closable]) -> None:
    """Drain all of them, at the same time."""
    await asyncio.gather(*(server.close() for server in servers))


def _reach(address: Address | str) -> tuple[Address, Callable[[], Awaitable[None]] | None]:
    """The broker's address, and what releases an embedded broker, which is started if necessary."""
    if isinstance(address, Address):
        return address, None
    from leveret.broker.shared import share  # noqa: PLC0415 - few need a broker in the process

    broker = share(address)
    host = f"embedded-{address}" if address else "embedded"
    return Address(hosts=((host, 0),), dial=broker.connect), broker.leave


def _retrieved(opening: asyncio.Task[None]) -> None:
    """Count its error as seen: those who wait get it, and nobody has to."""
    if not opening.cancelled():
        opening.exception()
