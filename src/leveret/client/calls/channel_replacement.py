"""Replaces a channel that is open but of no more use.

Either the broker refuses the requests on it, or the reply queue that it consumes was deleted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from leveret.amqp.codes import ReplyCode
from leveret.errors import ChannelClosed

__all__ = ["ChannelReplacement"]

_CONFIRMED_WITHIN: Final = 1.0
"""Seconds that the broker has to answer for the requests of a channel that is replaced."""
_WHY: Final = "the client's channel is being replaced"


class Replaced(Protocol):
    """The channel that is replaced."""

    @property
    def closed(self) -> Exception | None:
        """Why it has ended, if it has."""
        ...

    def abandon(self) -> None:
        """Close it at the broker, and wait for nothing."""

    def end(self, error: ChannelClosed) -> None:
        """End it here, and tell those who wait on it why."""


class Publishes(Protocol):
    """What sends requests: the `Publisher`."""

    @property
    def channel(self) -> Replaced:
        """The channel that requests leave by."""
        ...

    def all_answered(self) -> Awaitable[None]:
        """Wait until the broker has answered for all requests on it."""
        ...


class ChannelReplacement:
    """Ends the channel of requests, so that the client is attached again, on another one.

    :param hold: holds requests back, and says why.
    :param release: lets requests go that were held for that reason.
    """

    def __init__(
        self,
        publisher: Publishes,
        *,
        hold: Callable[[str], None],
        release: Callable[[str], None],
    ) -> None:
        self._publisher = publisher
        self._hold = hold
        self._release = release

    async def replace(
        self, reason: str = "it refuses requests", code: ReplyCode = ReplyCode.INTERNAL_ERROR
    ) -> None:
        """End the channel, once the broker has answered for all requests on it.

        :param reason: what the error says that the channel ends with.
        :param code: that error's AMQP reply code.
        """
        channel = self._publisher.channel
        self._hold(_WHY)
        try:
            async with asyncio.timeout(_CONFIRMED_WITHIN):
                await self._publisher.all_answered()
        except TimeoutError:
            pass  # what is not answered for yet counts as unconfirmed
        except BaseException:
            self._release(_WHY)
            raise
        if channel.closed is None:
            channel.abandon()
            channel.end(ChannelClosed(code, reason))
        self._release(_WHY)
