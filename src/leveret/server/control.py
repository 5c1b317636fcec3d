"""The control exchange: what can be asked of a server, and cancels.

Every server instance binds a queue of its own to `all`, to each of its services, and to
`<service>.<instance>`. A message's `type` says what is wanted; an answer goes to `reply_to`.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Any, Final

import msgspec

from leveret.amqp.codes import ReplyCode
from leveret.amqp.events import Delivery
from leveret.amqp.frames import on_channel
from leveret.amqp.properties import Properties
from leveret.contract import service_schema
from leveret.errors import ChannelClosed, LeveretError
from leveret.transport.channel import Channel
from leveret.transport.connection import Connection
from leveret.wire.control import CANCEL, CONFIRMED, QUERY
from leveret.wire.native.names import CONTROL_EXCHANGE, RESULT

if TYPE_CHECKING:
    from leveret.server.server import Server

log = logging.getLogger("leveret.server")

_LONGEST_CANCEL: Final = 3600.0
"""Seconds for which a cancel of an unseen request is remembered, at the most."""


_decode_ids = msgspec.json.Decoder(set[str]).decode


class Control:
    """Answers ping, info and stats, and cancels calls."""

    def __init__(self, server: Server) -> None:
        self.listening = asyncio.Event()
        self._server = server
        self._channel: Channel | None = None
        self._started = time.time()

    def __str__(self) -> str:
        return "the control queue"

    async def attach(self, connection: Connection) -> Channel:
        """Listen on this connection from now on."""
        channel = self._channel = await connection.open_channel()
        try:
            await self._listen(channel)
        except BaseException:
            channel.abandon()
            raise
        channel.on_cancel = self._on_cancel
        channel.on_close = self._on_close
        self.listening.set()
        return channel

    async def _listen(self, channel: Channel) -> None:
        declared = await channel.declare_queue("", exclusive=True)
        queue = declared.queue or ""
        keys = ["all"]
        for spec in self._server.services:
            keys += (spec.name, f"{spec.name}.{self._server.instance}")
        for key in keys:
            await channel.bind_queue(queue, CONTROL_EXCHANGE, key)
        await channel.consume(queue, self._on_message, no_ack=True)

    def _on_cancel(self, _tag: str) -> None:
        if self._channel is not None:
            self._channel.abandon()
            self._channel.end(ChannelClosed(ReplyCode.NOT_FOUND, "the control queue was deleted"))

    def _on_close(self, _error: LeveretError) -> None:
        self.listening.clear()
        if self._server.started:
            self._server.link.restore(self)

    def reply(self, reply: bytes) -> None:
        """Send a reply for a consumer whose own channel is gone, as its queue is out of reach."""
        if self._channel is not None and self._channel.closed is None:
            self._channel.connection.send(on_channel(reply, self._channel.number))

    async def close(self) -> None:
        """Listen no more."""
        await self._server.link.release(self)
        if self._channel is not None:
            self._channel.on_close = None
            await self._channel.close()

    def _on_message(self, delivery: Delivery) -> None:
        properties = delivery.properties
        key = (properties.reply_to, properties.correlation_id)
        if properties.type in {CANCEL, CONFIRMED} and not all(key):
            return  # it names no call, or all that have no name
        if properties.type == CANCEL:
            expiration = properties.expiration or ""
            remember = int(expiration) / 1000 if expiration.isdecimal() else 0.0
            self._server.cancel(key, min(remember, _LONGEST_CANCEL))
            return
        if properties.type == CONFIRMED:
            self._server.go(key)
            return
        if properties.type == QUERY:
            self._asked(delivery)
            return
        answers = {"ping": self._ping, "info": self._info, "stats": self._stats}
        answer = answers.get(properties.type or "")
        if answer is None:
            log.warning("control: a message of the unknown type %r", properties.type)
        elif properties.reply_to and self._channel is not None:
            self._channel.publish(
                "",
                properties.reply_to,
                Properties(
                    content_type="application/json",
                    correlation_id=properties.correlation_id,
                    type=RESULT,
                ),
                msgspec.json.encode(answer()),
            )

    def _asked(self, delivery: Delivery) -> None:
        try:
            call_ids = _decode_ids(delivery.body or b"")
        except (msgspec.DecodeError, RecursionError) as error:
            log.warning("control: a question that cannot be read: %s", error)
            return
        if delivery.properties.reply_to:
            self._server.asked(delivery.properties.reply_to, call_ids)

    def _ping(self) -> dict[str, Any]:
        server = self._server
        return {
            "instance": server.instance,
            "name": server.name,
            "services": [spec.name for spec in server.services],
        }

    def _info(self) -> dict[str, Any]:
        return self._ping() | {
            "schemas": {spec.name: service_schema(spec) for spec in self._server.services}
        }

    def _stats(self) -> dict[str, Any]:
        methods = {
            consumer.queue: {
                "finished": consumer.finished,
                "failed": consumer.failed,
                "running": len(consumer.calls()) - len(consumer.waiting()),
                "concurrency": consumer.limit(),
            }
            | ({"waiting": len(consumer.waiting())} if consumer.executor.adaptive else {})
            for consumer in self._server.consumers
        }
        return self._ping() | {"uptime": time.time() - self._started, "methods": methods}
