"""The queue for uploads: an exclusive queue of this server, apart from its control queue.

So items do not delay cancels. The queue lives as long as its connection. Its messages are lost with
it, and the server asks for them once it has another one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

from leveret.amqp.codes import ReplyCode
from leveret.amqp.events import Delivery
from leveret.errors import ChannelClosed, LeveretError
from leveret.transport.channel import Channel
from leveret.transport.connection import Connection
from leveret.wire.message import UploadMessage
from leveret.wire.native.stream import read_upload
from leveret.wire.native.topology import bind_upload_queue

log = logging.getLogger("leveret.server")


class Inbox:
    """Listens for uploads, on one channel after the other; a member of the link.

    :param keys: the routing keys of their messages: "service.method@instance".
    :param received: is given each of them.
    :param listening: is called each time that messages come in again.
    :param restore: has the link attach this again.
    """

    def __init__(
        self,
        keys: Iterable[str],
        received: Callable[[UploadMessage], None],
        *,
        listening: Callable[[], None],
        restore: Callable[[Inbox], None],
    ) -> None:
        self._keys = tuple(keys)
        self._received = received
        self._listening = listening
        self._restore = restore
        self._channel: Channel | None = None
        self._queue = ""

    def __str__(self) -> str:
        return "the queue of uploads"

    async def attach(self, connection: Connection) -> Channel:
        """Listen on this connection from now on.

        :raises LeveretError: if that fails; then the link tries again.
        """
        channel = self._channel = await connection.open_channel()
        try:
            declared = await channel.declare_queue("", exclusive=True)
            self._queue = declared.queue or ""
            await self.bind(channel)
            await channel.consume(self._queue, self._on_message, no_ack=True)
        except BaseException:
            channel.abandon()
            raise
        channel.on_cancel = self._on_cancel
        channel.on_close = self._on_close
        self._listening()
        return channel

    async def bind(self, channel: Channel) -> None:
        """Bind the queue, which exists.

        :raises LeveretError: if it cannot be bound.
        """
        for key in self._keys:
            await bind_upload_queue(channel, self._queue, key)

    async def close(self) -> None:
        """Stop listening. The link must have released this member before."""
        if self._channel is not None:
            self._channel.on_close = None
            await self._channel.close()

    def _on_cancel(self, _tag: str) -> None:
        if self._channel is not None:
            self._channel.abandon()
            self._channel.end(
                ChannelClosed(ReplyCode.NOT_FOUND, "the queue of uploads was deleted")
            )

    def _on_close(self, _error: LeveretError) -> None:
        self._restore(self)

    def _on_message(self, delivery: Delivery) -> None:
        message = read_upload(delivery)
        if message is None:
            log.debug("uploads: a message that belongs to none")
        else:
            self._received(message)
