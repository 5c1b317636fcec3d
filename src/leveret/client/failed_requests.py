"""The failed one-way requests of one method, which an operator can view, retry and drop.

A viewer holds the requests that the broker delivers until it closes, and nobody else gets them
meanwhile. When it closes, the requests that were neither retried nor dropped go back to the queue.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Final, Protocol, Self

from leveret.amqp.codes import ReplyCode
from leveret.amqp.events import Delivery
from leveret.errors import Busy, ChannelClosed, LeveretError, Unimplemented
from leveret.transport.channel import Channel
from leveret.transport.confirmed import ConfirmedPublisher, Outcome
from leveret.wire.channel_errors import explained
from leveret.wire.native.failed import FAILED_SUFFIX, retried_properties
from leveret.wire.native.names import EXCHANGE, QUEUE_PREFIX

_NEXT_WITHIN: Final = 5.0
"""Seconds that the broker has to deliver the next request; after that somebody else holds it."""


class OpensChannels(Protocol):
    """What this file needs of a connection."""

    @property
    def user(self) -> str:
        """The broker's user of the connection."""
        ...

    async def open_channel(self) -> Channel:
        """Open a channel."""
        ...


class FailedRequests:
    """The failed requests of a method that are in their queue when this is opened."""

    def __init__(
        self, key: str, channel: Channel, publisher: ConfirmedPublisher, user: str, prefetch: int
    ) -> None:
        self._key = key
        self._channel = channel
        self._publisher = publisher
        self._user = user
        self._delivered: asyncio.Queue[Delivery | None] = asyncio.Queue()
        self._prefetch = prefetch
        self._held = 0
        self.count = 0
        """How many requests nobody else held when this was opened."""

    @classmethod
    async def open(cls, connection: OpensChannels, key: str, *, prefetch: int = 0) -> Self:
        """Take the failed requests of "service.method".

        :param prefetch: how many requests it may hold at once; 0 means no limit. At the limit it
            finds no more until one is retried or dropped.
        :raises Unimplemented: if no queue keeps them.
        :raises LeveretError: if they cannot be read.
        """
        queue = f"{QUEUE_PREFIX}{key}{FAILED_SUFFIX}"
        channel = await connection.open_channel()
        publisher = await ConfirmedPublisher.open(connection)
        made = cls(key, channel, publisher, connection.user, prefetch)
        try:
            made.count = (await channel.look_at_queue(queue)).message_count or 0
            channel.on_close = made._on_close
            await channel.consume(queue, made._delivered.put_nowait, prefetch=prefetch)
        except ChannelClosed as error:
            await publisher.close()
            if error.reply_code == ReplyCode.NOT_FOUND:
                raise Unimplemented(
                    f"nothing keeps failed requests of this method: there is no queue {queue!r}."
                    " Is the name right, does the method say keep_failed=True, and was its server"
                    " ever started?",
                    method=key,
                ) from error
            raise explained(error, f"queue {queue!r}") from error
        return made

    async def each(self) -> AsyncIterator[Delivery]:
        """The requests, the oldest first.

        :raises LeveretError: if the channel ends.
        """
        for _ in range(self.count):
            if self._prefetch and self._held == self._prefetch:
                return
            try:
                async with asyncio.timeout(_NEXT_WITHIN):
                    delivery = await self._delivered.get()
            except TimeoutError:
                return  # another operator has the others
            if delivery is None:
                assert self._channel.closed is not None
                raise self._channel.closed
            self._held += 1
            yield delivery

    async def retry(self, delivery: Delivery) -> None:
        """Publish a request again for its method's servers, and then remove it from this queue.

        :raises Unimplemented: if the method's queue does not exist.
        :raises Busy: if the broker does not take it.
        :raises LeveretError: if the channel ends; then the request may be in both queues.
        """
        properties = retried_properties(delivery.properties, self._user)
        body = delivery.body or b""
        match await self._publisher.publish(EXCHANGE, self._key, properties, body):
            case Outcome.TAKEN:
                self.drop(delivery)
            case Outcome.UNROUTED:
                raise Unimplemented("the method's queue does not exist", method=self._key)
            case Outcome.REFUSED:
                raise Busy("the broker refuses the request: its queue is full", method=self._key)

    def drop(self, delivery: Delivery) -> None:
        """Remove a request from its queue."""
        self._held -= 1
        self._channel.ack(delivery.delivery_tag)

    async def close(self) -> None:
        """Give back the requests that were neither retried nor dropped."""
        self._channel.on_close = None
        await self._publisher.close()
        await self._channel.close()

    def _on_close(self, _error: LeveretError) -> None:
        self._delivered.put_nowait(None)
