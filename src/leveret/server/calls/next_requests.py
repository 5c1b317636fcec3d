"""The requests of the next stages of pipes, which this server publishes in place of replies.

They are sent on a channel of their own, in confirm mode: a server acknowledges the request of its
own stage once the broker has the next one. On that channel the server first tells the caller that
its pipe is at the next stage, so that all messages of that stage come later.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from enum import Enum
from typing import Final, Protocol

from msgspec import Struct

from leveret.amqp.confirms import Confirms
from leveret.amqp.events import Content
from leveret.amqp.frames import on_channel
from leveret.amqp.properties import Properties
from leveret.errors import LeveretError
from leveret.transport.channel import Channel
from leveret.transport.connection import Connection
from leveret.wire.message import Next
from leveret.wire.native.headers import stage_of


class Fate(Enum):
    """What became of a request that was published."""

    TAKEN = "taken"
    """The broker has it."""
    UNROUTED = "unrouted"
    """The broker has no queue for it."""
    REFUSED = "refused"
    """The broker did not take it, usually because its queue is full."""
    UNKNOWN = "unknown"
    """The channel ended before the broker said anything."""
    UNSENT = "unsent"
    """It was not published: there was no channel."""


class Pack(Protocol):
    """Packs the request of the next stage for a channel."""

    def __call__(self, request: Next, /, *, channel: int, frame_max: int) -> bytes:
        """:raises TypeError, ValueError: if it cannot be packed."""
        ...


class _Published(Struct, eq=False, kw_only=True):
    """A request that the broker has neither confirmed nor refused."""

    fate: asyncio.Future[Fate]
    """Gets the outcome."""
    name: tuple[str, str, int]
    """What identifies it if the broker returns it: reply address, call id and stage."""
    is_unrouted: bool = False
    """Whether it came back."""


_CLOSED: Final = LeveretError("the server has stopped")


class NextRequests:
    """Publishes them, one channel after the other.

    :param connected: waits for the current connection. It raises `LeveretError` if there will
        be none any more.
    """

    def __init__(self, connected: Callable[[], Awaitable[Connection]], pack: Pack) -> None:
        self._connected = connected
        self._pack = pack
        self._channel: Channel | None = None
        self._confirms: Confirms[_Published] = Confirms()
        self._opening = asyncio.Lock()
        self._is_closed = False

    async def publish(self, notice: bytes, request: Next) -> Fate:
        """Publish a request, and return the outcome.

        :param notice: the message that tells the caller, packed for any channel; b"" if nobody
            waits.
        :raises TypeError, ValueError: if it cannot be packed.
        """
        try:
            channel = await self._open()
            connection = channel.connection
            await connection.writable()
            channel.check_open()
        except LeveretError:
            return Fate.UNSENT
        frames = self._pack(request, channel=channel.number, frame_max=connection.frame_max)
        if notice:
            connection.send(on_channel(notice, channel.number))
            self._confirms.skip()
        connection.send(frames)
        loop = asyncio.get_running_loop()
        before = request.request
        name = _name(before.delivery.properties, before.stage + 1)
        published = _Published(fate=loop.create_future(), name=name)
        self._confirms.add(published)
        return await published.fate

    async def close(self) -> None:
        """Stop publishing."""
        self._is_closed = True
        if self._channel is not None:
            self._channel.on_close = None
            self._end(_CLOSED)
            await self._channel.close()

    async def _open(self) -> Channel:
        async with self._opening:
            if self._is_closed:
                raise _CLOSED
            channel = self._channel
            if channel is None or channel.closed is not None:
                connection = await self._connected()
                channel = await connection.open_channel()
                try:
                    await channel.select_confirms()
                except BaseException:
                    channel.abandon()
                    raise
                self._confirms = Confirms()
                channel.on_confirm = self._on_confirm
                channel.on_return = self._on_return
                channel.on_close = self._end
                self._channel = channel
            return channel

    def _on_confirm(self, number: int, multiple: bool, ok: bool) -> None:
        for published in self._confirms.settle(number, multiple):
            fate = Fate.TAKEN if ok else Fate.REFUSED
            _tell(published, Fate.UNROUTED if published.is_unrouted else fate)

    def _on_return(self, returned: Content) -> None:
        """The broker has no queue for a request. Its confirm follows."""
        name = _name(returned.properties, stage_of(returned.properties.headers))
        for published in self._confirms.open():
            if published.name == name:
                published.is_unrouted = True

    def _end(self, _error: LeveretError) -> None:
        unknown, self._confirms = self._confirms.open(), Confirms()
        for published in unknown:
            _tell(published, Fate.UNKNOWN)


def _tell(published: _Published, fate: Fate) -> None:
    if not published.fate.done():
        published.fate.set_result(fate)


def _name(properties: Properties, stage: int) -> tuple[str, str, int]:
    return properties.reply_to or "", properties.correlation_id or "", stage
