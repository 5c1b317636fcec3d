"""What a consumer sends on its channel: replies, acknowledgements, requests it hands back.

Once the channel is gone nothing more is sent: its number may belong to another channel by then,
and a late acknowledgement would be for somebody else's request.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Final

from msgspec import structs

from leveret.amqp import frames
from leveret.amqp.confirms import Confirms
from leveret.amqp.events import Delivery
from leveret.amqp.properties import encode_properties
from leveret.transport.channel import Channel
from leveret.wire.before import marked_as_handed_back, on_behalf_of

log = logging.getLogger("leveret.server")

_CONFIRM_TIMEOUT: Final = 5.0
_REPLY: Final = 0
"""Noted beside a published reply; beside a request handed back stands its delivery tag."""


class Outbox:
    """The sending half of one consumer.

    :param running: the requests that run, by delivery tag, the oldest first; the consumer keeps it.
    """

    def __init__(self, channel: Channel, running: Mapping[int, object]) -> None:
        self._channel = channel
        self._connection = channel.connection
        self._send: Callable[[bytes], None] = channel.connection.send
        self._running = running
        self._finished: list[int] = []
        self._confirms: Confirms[int] | None = None
        self._settled = asyncio.Event()

    def reply(self, reply: bytes) -> None:
        """Send one reply."""
        self._send(reply)
        if self._confirms is not None:
            self._confirms.add(_REPLY)

    def acknowledge(self, delivery_tag: int) -> None:
        """Acknowledge a request with the next write, after the replies that are in it."""
        if not self._finished:
            self._connection.defer(self._acknowledge_finished)
        self._finished.append(delivery_tag)

    def _acknowledge_finished(self) -> None:
        """All requests before the oldest that still runs by one frame, the others one by one."""
        finished, self._finished = self._finished, []
        oldest = next(iter(self._running), None)
        number = self._channel.number
        if oldest is not None:
            for tag in finished:
                if tag > oldest:
                    self._send(frames.ack(number, tag))
            finished = [tag for tag in finished if tag < oldest]
        if finished:
            self._send(frames.ack(number, max(finished), multiple=len(finished) > 1))

    def requeue(self, delivery_tag: int) -> None:
        """Give a request back for another server; it will count as redelivered."""
        self._send(frames.nack(self._channel.number, delivery_tag))

    def reject(self, delivery_tag: int) -> None:
        """Give a request up: the broker dead-letters it."""
        self._send(frames.nack(self._channel.number, delivery_tag, requeue=False))

    def hand_back(
        self,
        delivery: Delivery,
        exchange: str,
        routing_key: str,
        expiration: str | None,
        user: str,
    ) -> bool:
        """Publish a request that was not begun anew, so that it does not count as redelivered.

        While draining the original is acknowledged once the broker has confirmed its copy. False,
        and nothing is done, if it has headers that only their sender could pack.

        :param user: whose request it is.
        """
        properties = structs.replace(
            on_behalf_of(delivery.properties, user, self._connection.user), expiration=expiration
        )
        properties = marked_as_handed_back(properties, has_original=self._confirms is not None)
        try:
            packed = frames.content_frames(
                self._channel.number,
                encode_properties(properties),
                delivery.body or b"",
                self._connection.frame_max,
            )
        except (TypeError, ValueError) as error:
            log.warning("a request cannot be published again: %s", error)
            return False
        self._send(frames.publish_prefix(self._channel.number, exchange, routing_key) + packed)
        if self._confirms is not None:
            self._confirms.add(delivery.delivery_tag)
        else:
            self.acknowledge(delivery.delivery_tag)  # the broker takes both in this order
        return True

    async def select_confirms(self) -> None:
        """From here on it matters that the broker has each reply: soon nobody can send it again."""
        self._confirms = Confirms()
        self._channel.on_confirm = self._on_confirm
        await self._channel.select_confirms()

    async def confirmed(self) -> None:
        """Wait until the broker has confirmed all that was sent since."""
        try:
            async with asyncio.timeout(_CONFIRM_TIMEOUT):
                while self._confirms and self._channel.closed is None:
                    self._settled.clear()
                    await self._settled.wait()
        except TimeoutError:
            log.error("the broker did not confirm %d last messages", len(self._confirms or ()))

    def _on_confirm(self, number: int, multiple: bool, ok: bool) -> None:
        if self._confirms is None:
            return
        for tag in self._confirms.settle(number, multiple):
            if tag == _REPLY:
                continue
            if ok:
                self.acknowledge(tag)
            else:
                self.requeue(tag)
        self._settled.set()

    def detach(self) -> None:
        """Send what is due, and nothing from then on."""
        if self._channel.closed is None:
            self._connection.collect()
        self._send = _nowhere
        self._settled.set()


def _nowhere(_data: bytes) -> None:
    """Where replies go that nobody can take any more."""
