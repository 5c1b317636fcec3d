"""Publishes messages that must not be lost, and tells for each what the broker did with it.

It is for rare messages: each message waits for its own confirm
(https://www.rabbitmq.com/docs/confirms).
"""

from __future__ import annotations

import asyncio
from enum import Enum
from typing import Protocol, Self

from msgspec import Struct

from leveret.amqp.confirms import Confirms
from leveret.amqp.events import Content
from leveret.amqp.frames import on_channel
from leveret.amqp.properties import Properties
from leveret.errors import LeveretError
from leveret.transport.channel import Channel


class Outcome(Enum):
    """What the broker did with a message."""

    TAKEN = "taken"
    """It has the message; on disk if the message is persistent and its queue durable."""
    UNROUTED = "unrouted"
    """It has no queue for the message, and has dropped it."""
    REFUSED = "refused"
    """It did not take it (basic.nack): the queue is full, or out of reach."""


class OpensChannels(Protocol):
    """What this file needs of a connection."""

    async def open_channel(self) -> Channel:
        """Open a channel."""
        ...


class _Published(Struct, kw_only=True, eq=False):
    """A message whose confirm is awaited."""

    name: str
    """Its correlation id, which identifies it if it is returned."""
    answered: asyncio.Future[bool]
    """Whether the broker took it."""
    returned: bool = False
    """Whether it was returned; the confirm follows."""


class ConfirmedPublisher:
    """A channel in confirm mode, whose messages are published mandatory."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._ledger: Confirms[_Published] = Confirms()
        channel.on_confirm = self._on_confirm
        channel.on_return = self._on_return
        channel.on_close = self._on_close

    @classmethod
    async def open(cls, connection: OpensChannels) -> Self:
        """Open a channel for it.

        :raises LeveretError: if that fails.
        """
        channel = await connection.open_channel()
        await channel.select_confirms()
        return cls(channel)

    @property
    def is_open(self) -> bool:
        """Whether it can publish."""
        return self._channel.closed is None

    async def publish(
        self, exchange: str, key: str, properties: Properties, body: bytes
    ) -> Outcome:
        """Publish a message; return once the broker has confirmed or refused it.

        :raises LeveretError: if the channel ends before that: the broker may have the message.
        :raises ValueError, TypeError: if its properties cannot be packed.
        """
        self._channel.publish(exchange, key, properties, body, mandatory=True)
        return await self._outcome(properties.correlation_id or "")

    async def repeat(self, frames: bytes, name: str) -> Outcome:
        """Publish a message whose frames were packed for any channel, mandatory, as `publish` does.

        :param name: its correlation id.
        :raises LeveretError: as `publish`.
        """
        await self._channel.connection.writable()
        self._channel.check_open()
        self._channel.connection.send(on_channel(frames, self._channel.number))
        return await self._outcome(name)

    async def _outcome(self, name: str) -> Outcome:
        """Wait for the broker's answer to the message that was just published."""
        published = _Published(name=name, answered=self._channel.connection.loop.create_future())
        self._ledger.add(published)
        if not await published.answered:
            return Outcome.REFUSED
        return Outcome.UNROUTED if published.returned else Outcome.TAKEN

    async def close(self) -> None:
        """Close the channel. Never raises."""
        await self._channel.close()

    def _on_confirm(self, number: int, multiple: bool, ok: bool) -> None:
        for published in self._ledger.settle(number, multiple):
            if not published.answered.done():
                published.answered.set_result(ok)

    def _on_return(self, content: Content) -> None:
        # The broker handles a channel's messages one by one: the oldest of this name it is.
        name = content.properties.correlation_id or ""
        for published in self._ledger.open():
            if published.name == name and not published.returned:
                published.returned = True
                return

    def _on_close(self, error: LeveretError) -> None:
        for published in self._ledger.open():
            if not published.answered.done():
                published.answered.set_exception(error)
