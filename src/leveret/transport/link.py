"""A connection that is opened again whenever it breaks, with the members that live on it.

    connecting ──► connected ◄──► reconnecting
         │             │               │
         └─────────────┴──► closed ◄───┘     closed by its user, or given up

What lives on a connection is a `Member`: a client's calls, a server's consumers. A member whose
channel ends, alone or with its connection, asks the link to `restore` it. The link attaches it to
the current connection, again and again with growing pauses, until that succeeds. So an error of a
channel ends that channel alone, a broken connection ends all of them, and the same code restores
both.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import Final, Protocol

import msgspec

from leveret.errors import ConnectionLost, LeveretError
from leveret.transport.address import Address
from leveret.transport.channel import Channel
from leveret.transport.connection import Connection
from leveret.transport.network_errors import as_connection_lost
from leveret.transport.opening import open_connection
from leveret.transport.reconnect import NEVER, Reconnect

log = logging.getLogger("leveret.transport")

HELD: Final = 5.0
"""Seconds after which a connection counts as stable.

A connection that breaks before counts as a failed attempt. Otherwise the link would reconnect
without a pause to a broker that ends each connection for what its user does there."""


class State(StrEnum):
    """The state of a `rabbit`'s connection (`rabbit.state`)."""

    CONNECTING = "connecting"
    """There was no connection yet: the first one is being opened, or will be by the first use
    (`connect(lazy=True)`). Calls wait for it."""
    CONNECTED = "connected"
    """There is a connection."""
    RECONNECTING = "reconnecting"
    """The connection broke, and another one is being opened. Calls wait for it."""
    CLOSED = "closed"
    """There is no connection, and none will be opened without a call of the user: it was not opened
    yet, its user or the end of its event loop has closed it, or it was given up
    (`connect(reconnect=...)`)."""


class ConnectionEvent(msgspec.Struct, frozen=True, kw_only=True):
    """What `connect(on_connection=...)` is called with, each time that the state changes."""

    state: State
    """The state that has begun."""
    broker: str
    """The host and port of the current connection, or of the last one."""
    attempts: int = 0
    """How many attempts the connection took."""
    reason: str = ""
    """Why the connection ended."""


def _with_broker(connection: Connection, error: LeveretError) -> str:
    """The error's text with the name of its connection, unless it has that already."""
    text = str(error)
    return text if text.startswith(str(connection)) else f"{connection}: {text}"


class Member(Protocol):
    """What lives on a connection, and is restored on the next one.

    A member has at most one channel that it asks to be restored for. When that channel ends, the
    member calls `Link.restore` from the channel's `on_close`. All channels of a connection end
    before the link hears that the connection has.
    """

    async def attach(self, connection: Connection) -> Channel:
        """Open a channel on this connection, and restore there what was on the last one.

        The link calls it again, on the current connection, if it raises or if the channel that it
        returns has already ended. It must leave no channel behind if it raises, and it may be
        cancelled at any point.

        :raises ConnectionLost: if an answer did not come. Then the link drops the connection, as
            its broker does not react.
        :raises LeveretError: if it cannot be restored now. The link tries again after a pause.
        """
        ...


class Link:
    """One connection after the other to the same address."""

    def __init__(
        self,
        address: Address,
        *,
        name: str,
        max_message_size: int,
        reconnect: Reconnect = NEVER,
        prepare: Callable[[Connection], Awaitable[object]] | None = None,
        on_event: Callable[[ConnectionEvent], None] | None = None,
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.state = State.CONNECTING
        self.closed: asyncio.Future[None] = self.loop.create_future()
        """Done, with an error, when there will be no other connection."""
        self.failure: LeveretError | None = None
        """Why there is no connection now; None while there is one."""
        self._address = address
        self._name = name
        self._max_message_size = max_message_size
        self._policy = reconnect
        self._prepare = prepare
        self._on_event = on_event
        self._connection: Connection | None = None
        self._up: asyncio.Future[None] = self.loop.create_future()
        self._reopening: asyncio.Task[None] | None = None
        self._attempts = 0
        """Attempts to reconnect since the last stable connection."""
        self._holding: asyncio.TimerHandle | None = None
        """Done when the current connection counts as stable; None from then on."""
        self._warned = ""
        """Why the last connection broke, as it was logged."""
        self._restoring: dict[Member, asyncio.Task[None]] = {}

    def __str__(self) -> str:
        return str(self._connection or self._address)

    # -- the connection -----------------------------------------------------------------------

    @property
    def connection(self) -> Connection:
        """The current connection, or the last one. There is one once `open` has returned."""
        assert self._connection is not None
        return self._connection

    @property
    def reconnects(self) -> bool:
        """Whether a broken connection is opened again."""
        return self._policy.attempts != 0

    async def open(self, *, patience: float = 0.0, attempts: int | None = None) -> None:
        """Connect for the first time.

        :param patience: seconds to keep trying while no broker can be reached.
        :param attempts: how many attempts may fail before it gives up anyway; None: any number.
        :raises ConnectionLost: if no broker can be reached.
        :raises LeveretError: if the broker refuses this user, or what `prepare` needs.
        """
        end = self.loop.time() + patience
        attempt = 0
        while True:
            attempt += 1
            try:
                self._connected(await self._open(), attempt)
            except ConnectionLost as error:
                self.failure = error
                pause = self._policy.pause(attempt)
                if self.loop.time() + pause > end or attempt == attempts:
                    raise
                log.warning("%s: attempt %d to connect failed: %s", self, attempt, error)
                await asyncio.sleep(pause)
            else:
                return

    async def connected(self) -> Connection:
        """Wait for the current connection.

        :raises ConnectionLost: if there will be none any more.
        """
        while True:
            if self.state is State.CLOSED:
                raise self._gone()
            if self.state is State.CONNECTED and self.connection.closed is None:
                return self.connection
            await asyncio.shield(self._up)

    def abort(self, reason: str) -> None:
        """Drop the current connection, if there is one."""
        if self._connection is not None:
            self._connection.abort(reason)

    def fail(self, error: LeveretError) -> None:
        """Open no other connection, because of this."""
        self.failure = error
        self._end(error)

    async def close(self) -> None:
        """Close the connection, and open no other."""
        self._end(ConnectionLost("the connection was closed by this side"))
        tasks = [*self._restoring.values(), *((self._reopening,) if self._reopening else ())]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        if self._connection is not None:
            await self._connection.close()

    async def _open(self) -> Connection:
        # Begin behind the host, and with another address than the one that failed: one that takes
        # connections but is of no use would else be tried first every time.
        before = self._connection
        return await open_connection(
            self._address,
            name=self._name,
            max_message_size=self._max_message_size,
            prepare=self._prepare,
            after="" if before is None else before.name,
            avoid=None if before is None else before.endpoint,
        )

    def _connected(self, connection: Connection, attempts: int) -> None:
        before, self._connection = self._connection, connection
        self.failure = None
        connection.on_close.append(self._lost)
        self._holding = self.loop.call_later(HELD, self._has_held)
        if before is None:
            log.info("%s: connected, at attempt %d", connection, attempts)
        elif not self._warned:
            log.info("%s: connected again, at attempt %d", connection, attempts)
        self.state = State.CONNECTED
        self._up.set_result(None)
        self._tell(ConnectionEvent(state=self.state, broker=connection.name, attempts=attempts))
        if connection.closed is not None:  # it ended in the read that brought the last answer
            self._lost(connection.closed)

    def _lost(self, error: LeveretError) -> None:
        if self.state is not State.CONNECTED:
            return
        self._up = self.loop.create_future()
        self.failure = error
        if self._holding is not None:
            self._holding.cancel()
        if self._attempts == self._policy.attempts:  # 0 and 0, where it does not reconnect
            self._end(error)
            return
        self._warn(error)
        self.state = State.RECONNECTING
        self._tell(self._event(str(error)))
        self._reopening = self.loop.create_task(self._reopen())

    def _has_held(self) -> None:
        self._holding = None
        if self._warned:
            log.info("%s: connected again, at attempt %d", self, self._attempts)
        self._attempts, self._warned = 0, ""

    def _warn(self, error: LeveretError) -> None:
        """Log that a connection broke; of those that did not hold, ever fewer in a row."""
        text = _with_broker(self.connection, error)
        attempts = self._attempts
        if not attempts:
            log.warning("%s; connecting again", text)
            return
        if text != self._warned or attempts & (attempts - 1) == 0:
            log.warning(
                "%s; it broke as soon as attempt %d had opened it; connecting again, after longer"
                " and longer pauses",
                text,
                attempts,
            )
        self._warned = text

    async def _reopen(self) -> None:
        while True:
            self._attempts = attempt = self._attempts + 1
            await asyncio.sleep(self._policy.pause(attempt))
            try:
                connection = await self._open()
            except Exception as error:  # noqa: BLE001 - whatever failed, the next attempt may not
                failure = error if isinstance(error, LeveretError) else as_connection_lost(error)
                self.failure = failure
                log.warning("%s: attempt %d to connect again failed: %s", self, attempt, failure)
                if attempt == self._policy.attempts:
                    self._end(failure)
                    return
            else:
                self._connected(connection, attempt)
                return

    def _end(self, error: LeveretError) -> None:
        if self.state is State.CLOSED:
            return
        self.state = State.CLOSED
        if self._holding is not None:
            self._holding.cancel()
        self.failure = self.failure or error
        if not self._up.done():
            self._up.set_result(None)
        self.closed.set_exception(error)
        self.closed.exception()  # nobody may wait for it
        self._tell(self._event(str(error)))

    def _gone(self) -> ConnectionLost:
        error = ConnectionLost(f"not connected: {self.failure}", executed="no")
        error.__cause__ = self.failure
        return error

    def _event(self, reason: str) -> ConnectionEvent:
        broker = self._connection.name if self._connection is not None else ""
        return ConnectionEvent(state=self.state, broker=broker, reason=reason)

    def _tell(self, event: ConnectionEvent) -> None:
        if self._on_event is not None:
            try:
                self._on_event(event)
            except Exception:
                log.exception("the on_connection hook failed")

    # -- members ------------------------------------------------------------------------------

    def restore(self, member: Member) -> None:
        """Attach a member again, as often as it takes. Does nothing if that is under way."""
        if member not in self._restoring and self.state is not State.CLOSED:
            self._restoring[member] = self.loop.create_task(self._restore(member))

    async def release(self, member: Member, *, patience: float = 0.0) -> None:
        """Stop restoring a member.

        :param patience: seconds to wait for an attempt that is under way.
        """
        task = self._restoring.get(member)
        if task is not None:
            if patience and self.state is State.CONNECTED:
                await asyncio.wait((task,), timeout=patience)
            task.cancel()
            await asyncio.wait((task,))

    async def _restore(self, member: Member) -> None:
        attempt = 0
        try:
            while self.state is not State.CLOSED:
                connection = await self.connected()
                try:
                    channel = await member.attach(connection)
                    if channel.closed is None:
                        return
                    reason: LeveretError = channel.closed
                except LeveretError as error:
                    reason = error
                except Exception as error:
                    log.error("%s: %s cannot be restored", self, member, exc_info=error)
                    reason = LeveretError(str(error))
                if isinstance(reason, ConnectionLost) and connection.closed is None:
                    # An answer did not come: the broker there does not react.
                    connection.abort(str(reason))
                if connection.closed is None:  # else the connection failed, not the member
                    attempt += 1
                    log.warning("%s: %s is not restored yet: %s", self, member, reason)
                    await asyncio.sleep(self._policy.pause(attempt))
        except ConnectionLost:
            pass  # the link is closed: `closed` tells its members
        finally:
            del self._restoring[member]
