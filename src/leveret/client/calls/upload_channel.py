"""The channel for the uploads of one client, apart from its requests.

The broker closes a channel at the first message that it cannot take. As uploads have a channel of
their own, no request is lost then. It has no confirms, as servers acknowledge uploads. The client
opens it for the first message, and again when there is something to send and no channel.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from leveret.amqp.events import Content
from leveret.amqp.frames import on_channel
from leveret.client.calls.tasks import Begin
from leveret.errors import LeveretError
from leveret.transport.channel import Channel
from leveret.transport.connection import Connection
from leveret.wire.channel_errors import size_at_fault

log = logging.getLogger("leveret.client")


class UploadChannel:
    """Sends messages of uploads.

    :param connection: gives the current connection.
    :param opened: is told of each new channel, on which unacknowledged messages are sent again.
    :param unreachable: is told the call id of a message that no server takes.
    :param largest: gives the bytes of the largest body that may be sent.
    :param too_large: is told the bytes of a message that the broker does not take, for which it has
        closed the channel, and of the largest that it takes.
    """

    def __init__(
        self,
        *,
        connection: Callable[[], Connection],
        begin: Begin,
        opened: Callable[[], None],
        unreachable: Callable[[str], object],
        largest: Callable[[], int],
        too_large: Callable[[int, int], None],
    ) -> None:
        self._connection = connection
        self._begin = begin
        self._opened = opened
        self._unreachable = unreachable
        self._largest = largest
        self._too_large = too_large
        self._channel: Channel | None = None
        self._opening: asyncio.Task[None] | None = None

    def begin(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Start the task that draws the items of an upload, as a task of the client."""
        return self._begin(work)

    @property
    def largest(self) -> int:
        """Bytes of the largest item that may be sent at this moment."""
        return self._largest()

    def send(self, frames: bytes, /) -> None:
        """Send frames, now or once there is a channel."""
        channel = self._channel
        if channel is not None and channel.closed is None:
            channel.connection.send(on_channel(frames, channel.number))
        elif self._opening is None or self._opening.done():
            self._opening = self._begin(self._open())

    async def writable(self) -> None:
        """Wait until the socket takes more; return at once where there is none."""
        channel = self._channel
        if channel is not None and channel.closed is None:
            try:
                await channel.connection.writable()
            except LeveretError:
                pass  # what is sent next has the channel opened again

    async def _open(self) -> None:
        while True:
            connection = self._connection()
            try:
                channel = await connection.open_channel()
                break
            except LeveretError as error:
                log.debug("uploads cannot go on now: %s", error)
                if connection is self._connection():
                    return  # what has to be sent is sent again on the next one
        channel.on_return = self._on_return
        channel.on_close = self._on_close
        self._channel = channel
        self._opened()

    def _on_close(self, error: LeveretError) -> None:
        if self._connection().closed is None:
            log.warning("the channel of uploads was closed: %s", error)
        sizes = size_at_fault(error)
        if sizes is not None:
            self._too_large(*sizes)

    def _on_return(self, returned: Content) -> None:
        self._unreachable(returned.properties.correlation_id or "")
