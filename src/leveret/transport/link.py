"""A connection that is opened again whenever it breaks, and what lives on it restored.

    connecting ──► connected ◄──► reconnecting
                       │               │
                       └──► closed ◄───┘     closed by its user, or given up

What lives on a connection is a `Member`: a client's calls, a server's consumers. A member whose
channel ends, alone or with its connection, asks the link to `restore` it. The link attaches it to
the connection of then, again and again with growing pauses, until that succeeds. So an error of a
channel costs that channel alone, a broken connection costs all of them, and the same code restores
both.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import Final, Protocol

import msgspec

from leveret.errors import ConnectionLost, InvalidArgument, LeveretError
from leveret.transport.address import Address
from leveret.transport.channel import Channel
from leveret.transport.connection import Connection
from leveret.transport.network_errors import as_connection_lost
from leveret.transport.opening import open_connection

log = logging.getLogger("leveret.transport")


class State(StrEnum):
    """Where a `rabbit` stands with its broker (`rabbit.state`)."""

    CONNECTING = "connecting"
    CONNECTED = "connected"
    RECONNECTING = "reconnecting"
    CLOSED = "closed"


class Reconnect(msgspec.Struct, frozen=True, kw_only=True):
    """How a connection that broke is opened again; `connect(reconnect=...)` takes one.

    The pause before each attempt is random, between nothing and a limit that doubles from `first`
    to `most`, so that the clients of a broker that comes back do not all come at once
    (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/).
    """

    first: float = 0.1
    """Seconds: the limit of the first pause."""
    most: float = 3.0
    """Seconds: the limit that no pause passes."""
    attempts: int | None = None
    """After how many failed attempts in a row to give up; None is never."""

    def __post_init__(self) -> None:
        if not 0 < self.first <= self.most:
            raise InvalidArgument(
                f"Reconnect needs 0 < first <= most, in seconds; got {self.first} and {self.most}"
            )
        if self.attempts is not None and self.attempts < 0:
            raise InvalidArgument(f"attempts must be 0 or more, or None; got {self.attempts}")

    def pause(self, attempt: int) -> float:
        """Seconds to wait before an attempt, the first of which is number 1."""
        limit = min(self.most, self.first * 2 ** min(attempt - 1, 30))
        return random.uniform(0, limit)


NEVER: Final = Reconnect(attempts=0)
"""A connection that breaks stays broken."""


def as_reconnect(value: object) -> Reconnect:
    """A policy as users write it.

    :raises InvalidArgument: for what is none.
    """
    if isinstance(value, Reconnect):
        return value
    if value is True:
        return Reconnect()
    if value is False:
        return NEVER
    raise InvalidArgument(
        f"reconnect must be a leveret.Reconnect(...), True or False; got {value!r}"
    )


class ConnectionEvent(msgspec.Struct, frozen=True, kw_only=True):
    """What `connect(on_connection=...)` is called with, each time that the state changes."""

    state: State
    broker: str
    """The host and port it is connected to, or was."""
    attempts: int = 0
    """How many attempts it took."""
    reason: str = ""
    """Why it is no longer connected."""


def _with_broker(connection: Connection, error: LeveretError) -> str:
    """What happened, and to which connection; some errors say that themselves."""
    text = str(error)
    return text if text.startswith(str(connection)) else f"{connection}: {text}"


class Member(Protocol):
    """What lives on a connection."""

    async def attach(self, connection: Connection) -> Channel:
        """Open a channel on this connection and restore there what was on the one before."""


class Link:
    """One connection after the other to the same address.

    `connection` is the one of now, or the last one. `closed` ends with an error when no other
    will come.
    """

    def __init__(
        self,
        address: Address,
        *,
        name: str,
        max_message_size: int,
        reconnect: Reconnect = NEVER,
        prepare: Callable[[Connection], Awaitable[None]] | None = None,
        on_event: Callable[[ConnectionEvent], None] | None = None,
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.state = State.CONNECTING
        self.closed: asyncio.Future[None] = self.loop.create_future()
        self.failure: LeveretError | None = None
        """Why there is no connection now."""
        self._address = address
        self._name = name
        self._max_message_size = max_message_size
        self._policy = reconnect
        self._prepare = prepare
        self._on_event = on_event
        self._connection: Connection | None = None
        self._up: asyncio.Future[None] = self.loop.create_future()
        self._reopening: asyncio.Task[None] | None = None
        self._restoring: dict[Member, asyncio.Task[None]] = {}

    def __str__(self) -> str:
        return str(self._connection or self._address)

    # -- the connection -----------------------------------------------------------------------

    @property
    def connection(self) -> Connection:
        """The connection of now, or the last one."""
        assert self._connection is not None
        return self._connection

    @property
    def reconnects(self) -> bool:
        """Whether a connection that breaks is opened again."""
        return self._policy.attempts != 0

    async def open(self, *, patience: float = 0.0) -> None:
        """Connect for the first time.

        :param patience: seconds to go on trying while no broker can be reached.
        :raises LeveretError: why that is not possible.
        """
        end = self.loop.time() + patience
        attempt = 0
        while True:
            attempt += 1
            try:
                self._connected(await self._open(), attempt)
            except ConnectionLost as error:
                pause = self._policy.pause(attempt)
                if self.loop.time() + pause > end:
                    raise
                log.warning("attempt %d: %s", attempt, error)
                await asyncio.sleep(pause)
            else:
                return

    async def connected(self) -> Connection:
        """The connection, once there is one.

        :raises LeveretError: if there will be none any more.
        """
        while True:
            if self.state is State.CLOSED:
                raise self._gone()
            if self.state is State.CONNECTED and self.connection.closed is None:
                return self.connection
            await asyncio.shield(self._up)

    def abort(self, reason: str) -> None:
        """Drop the connection of now, if there is one."""
        if self._connection is not None:
            self._connection.abort(reason)

    async def close(self) -> None:
        """Close the connection, and come back no more."""
        self._end(ConnectionLost("the connection was closed by this side"))
        tasks = [*self._restoring.values(), *((self._reopening,) if self._reopening else ())]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        if self._connection is not None:
            await self._connection.close()

    async def _open(self) -> Connection:
        # A host that takes connections and is of no use must not keep us from the next.
        return await open_connection(
            self._address,
            name=self._name,
            max_message_size=self._max_message_size,
            prepare=self._prepare,
            after="" if self._connection is None else self._connection.name,
        )

    def _connected(self, connection: Connection, attempts: int) -> None:
        before, self._connection = self._connection, connection
        self.failure = None
        connection.on_close.append(self._lost)
        if before is not None:
            log.info("%s: connected again, at attempt %d", connection, attempts)
        self.state = State.CONNECTED
        self._up.set_result(None)
        self._tell(ConnectionEvent(state=self.state, broker=connection.name, attempts=attempts))
        if connection.closed is not None:  # in the very read that brought the last answer
            self._lost(connection.closed)

    def _lost(self, error: LeveretError) -> None:
        if self.state is not State.CONNECTED:
            return
        self._up = self.loop.create_future()
        self.failure = error
        if not self.reconnects:
            self._end(error)
            return
        log.warning("%s; connecting again", _with_broker(self.connection, error))
        self.state = State.RECONNECTING
        self._tell(self._event(str(error)))
        self._reopening = self.loop.create_task(self._reopen())

    async def _reopen(self) -> None:
        attempt = 0
        while True:
            attempt += 1
            await asyncio.sleep(self._policy.pause(attempt))
            try:
                connection = await self._open()
            except Exception as error:  # noqa: BLE001 - whatever it is, the next attempt may succeed
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
        self.failure = self.failure or error
        if not self._up.done():
            self._up.set_result(None)
        self.closed.set_exception(error)
        self.closed.exception()  # whoever waits gets it; nobody need
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

    # -- what lives on it ---------------------------------------------------------------------

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
                    # An answer did not come: whatever hears us there, it does not understand.
                    connection.abort(str(reason))
                if connection.closed is None:  # else it is no fault of the member's
                    attempt += 1
                    log.warning("%s: %s is not restored yet: %s", self, member, reason)
                    await asyncio.sleep(self._policy.pause(attempt))
        except ConnectionLost:
            pass  # given up: members are told by `closed`
        finally:
            del self._restoring[member]
