"""What the broker says of queues: how many requests are ready, and how many servers consume."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Final, Protocol

from msgspec import Struct

from leveret.errors import ChannelClosed
from leveret.transport.channel import Channel

__all__ = ["QueueRow", "look_at"]


_WITHIN: Final = 5.0
"""Seconds that the broker has to tell of all queues of a page."""


class OpensChannels(Protocol):
    """A connection, as far as it is needed here."""

    async def open_channel(self) -> Channel:
        """Open a channel."""
        ...


class QueueRow(Struct, frozen=True, kw_only=True):
    """One queue."""

    name: str
    """Its name."""
    method: str
    """The method whose requests it has."""
    ready: int | None = None
    """How many requests no server has taken; None if the broker does not say."""
    consumers: int | None = None
    """How many servers consume it, likewise."""
    why: str = ""
    """Why the broker does not say."""


async def look_at(connection: OpensChannels, queues: Iterable[tuple[str, str]]) -> list[QueueRow]:
    """Look at queues, by name and method. Those that the broker tells nothing of in time say so.

    :raises LeveretError: if the connection ends.
    """
    wanted = list(queues)
    found: list[QueueRow] = []
    try:
        async with asyncio.timeout(_WITHIN):
            await _look(connection, wanted, found)
    except TimeoutError:
        late = f"the broker did not say within {_WITHIN:g} s"
        found += [QueueRow(name=it[0], method=it[1], why=late) for it in wanted[len(found) :]]
    return found


async def _look(
    connection: OpensChannels, wanted: Iterable[tuple[str, str]], found: list[QueueRow]
) -> None:
    channel: Channel | None = None
    try:
        for name, method in wanted:
            if channel is None:
                channel = await connection.open_channel()
            try:
                counts = await channel.look_at_queue(name)
            except ChannelClosed as error:
                channel = None
                found.append(QueueRow(name=name, method=method, why=str(error)))
            else:
                found.append(
                    QueueRow(
                        name=name,
                        method=method,
                        ready=counts.message_count,
                        consumers=counts.consumer_count,
                    )
                )
    finally:
        if channel is not None:
            channel.abandon()
