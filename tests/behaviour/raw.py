"""A peer that speaks bare AMQP: it sees and sends what Leveret's own two sides never would."""

from __future__ import annotations

import asyncio
from typing import Any, Self

import msgspec

from leveret.amqp import frames, methods
from leveret.amqp.events import Delivery
from leveret.amqp.properties import Properties
from leveret.errors import ChannelClosed
from leveret.transport.channel import Channel
from leveret.transport.connection import Connection
from leveret.transport.opening import open_connection
from leveret.transport.url import parse_url
from tests.behaviour.patience import PATIENCE


class RawPeer:
    """One connection with one channel, and what came in on it."""

    def __init__(self, connection: Connection, channel: Channel) -> None:
        self.connection = connection
        self.channel = channel
        self.reply_queue = ""
        self._replies: asyncio.Queue[Delivery] = asyncio.Queue()

    @classmethod
    async def open(cls, url: str) -> Self:
        connection = await open_connection(
            parse_url(url), name="raw peer", max_message_size=64 * 1024 * 1024
        )
        return cls(connection, await connection.open_channel())

    async def close(self) -> None:
        await self.connection.close()

    def crash(self) -> None:
        """Vanish without a goodbye."""
        self.connection.abort("the test let it crash")

    # -- as a server --------------------------------------------------------------------------

    async def take(self, queue: str, prefetch: int = 100) -> asyncio.Queue[Delivery]:
        """Consume a queue, and acknowledge nothing; returns where the deliveries come."""
        taken: asyncio.Queue[Delivery] = asyncio.Queue()
        await self.channel.consume(queue, taken.put_nowait, prefetch=prefetch)
        return taken

    def acknowledge(self, delivery: Delivery) -> None:
        """Have the broker forget a request."""
        self.connection.send(frames.ack(self.channel.number, delivery.delivery_tag))

    def reject(self, delivery: Delivery) -> None:
        """Give a request up, so that it is dead-lettered."""
        self.connection.send(frames.nack(self.channel.number, delivery.delivery_tag, requeue=False))

    def answer(self, request: Delivery, body: bytes, **properties: Any) -> None:
        """Reply to a request; `properties` over those of a JSON result."""
        own = {
            "content_type": "application/json",
            "correlation_id": request.properties.correlation_id,
            "type": "result",
        }
        self.channel.publish(
            "", request.properties.reply_to or "", Properties(**{**own, **properties}), body
        )

    # -- as a client --------------------------------------------------------------------------

    async def listen(self) -> None:
        """Have a reply queue."""
        declared = await self.channel.declare_queue("", exclusive=True)
        self.reply_queue = declared.queue or ""
        await self.channel.consume(self.reply_queue, self._replies.put_nowait, no_ack=True)

    def request(self, key: str, body: bytes, **properties: Any) -> None:
        """Send a request to "service.method"; `properties` over those of a minimal one."""
        own = {
            "content_type": "application/json",
            "correlation_id": "raw-1",
            "reply_to": self.reply_queue or None,
            "type": "call",
        }
        self.channel.publish("leveret", key, Properties(**{**own, **properties}), body)

    def control(self, key: str, kind: str, body: bytes = b"", **properties: Any) -> None:
        """Send a message to the control exchange."""
        self.channel.publish(
            "leveret.control",
            key,
            Properties(
                type=kind, **{"reply_to": self.reply_queue, "correlation_id": kind, **properties}
            ),
            body,
        )

    def ask(self, service: str, *call_ids: str) -> None:
        """Ask the servers of a service what became of these calls."""
        self.channel.publish(
            "leveret.control",
            service,
            Properties(type="ask", reply_to=self.reply_queue),
            msgspec.json.encode(call_ids),
        )

    async def reply(self) -> Delivery:
        """The next message in the reply queue."""
        async with asyncio.timeout(PATIENCE):
            return await self._replies.get()

    async def failure(self) -> dict[str, Any]:
        """The next message but claims, which is to be an error; its body.

        A server that hears nothing asks twice, and an answer may be late on a busy machine.
        """
        reply = await self.reply()
        while reply.properties.type == "claim":
            reply = await self.reply()
        assert reply.properties.type == "error", f"an error was due, this came: {reply}"
        assert reply.properties.content_type == "application/json"
        assert reply.body is not None
        return msgspec.json.decode(reply.body, type=dict[str, Any])

    def nothing_came(self) -> bool:
        return self._replies.empty()

    # -- as an operator -----------------------------------------------------------------------

    async def declare(self, queue: str, **arguments: Any) -> None:
        """Declare a durable queue; x_max_length=1 is the argument x-max-length."""
        given = {name.replace("_", "-"): value for name, value in arguments.items()}
        await self.channel.declare_queue(queue, arguments=given)

    async def delete(self, queue: str) -> None:
        await self.channel.call(methods.Queue.Delete(queue=queue))

    async def waiting(self, queue: str) -> int:
        """How many messages wait in a queue, not counting those that a consumer has."""
        return (await self.channel.look_at_queue(queue)).message_count or 0

    async def consumers(self, queue: str) -> int:
        return (await self.channel.look_at_queue(queue)).consumer_count or 0

    async def exists(self, queue: str) -> bool:
        """On a channel of its own, which a missing queue closes."""
        channel = await self.connection.open_channel()
        try:
            await channel.look_at_queue(queue)
        except ChannelClosed:
            return False
        await channel.close()
        return True

    async def flushed(self) -> None:
        """Return when the broker has handled all that was sent before."""
        await self.channel.call(methods.Basic.Qos(prefetch_count=100))
