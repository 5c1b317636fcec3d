"""The control exchange: what can be asked of a server, and cancels.

Every server instance binds a queue of its own to `all`, to each of its services, and to
`<service>.<instance>`. A message's `type` says what is wanted; an answer goes to `reply_to`.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any, Final

import msgspec

from leveret.amqp.events import Delivery
from leveret.amqp.properties import Properties
from leveret.contract import service_schema
from leveret.transport.channel import Channel
from leveret.wire.native import CANCEL, CONTROL_EXCHANGE, GO, RESULT

if TYPE_CHECKING:
    from leveret.server.server import Server

log = logging.getLogger("leveret.server")

_LONGEST_CANCEL: Final = 3600.0
"""Seconds for which a cancel of an unseen request is remembered, at the most."""


class Control:
    """Answers ping, info and stats, and cancels calls."""

    def __init__(self, server: Server, channel: Channel) -> None:
        self._server = server
        self._channel = channel
        self._started = time.time()

    async def start(self) -> None:
        """Listen."""
        declared = await self._channel.declare_queue("", exclusive=True)
        queue = declared.queue or ""
        keys = ["all"]
        for spec in self._server.services:
            keys += (spec.name, f"{spec.name}.{self._server.instance}")
        for key in keys:
            await self._channel.bind_queue(queue, CONTROL_EXCHANGE, key)
        await self._channel.consume(queue, self._on_message, no_ack=True)

    def _on_message(self, delivery: Delivery) -> None:
        properties = delivery.properties
        key = (properties.reply_to, properties.correlation_id)
        if properties.type == CANCEL:
            expiration = properties.expiration or ""
            remember = int(expiration) / 1000 if expiration.isdecimal() else 0.0
            self._server.cancel(key, min(remember, _LONGEST_CANCEL))
            return
        if properties.type == GO:
            self._server.go(key)
            return
        answers = {"ping": self._ping, "info": self._info, "stats": self._stats}
        answer = answers.get(properties.type or "")
        if answer is None:
            log.warning("control: a message of the unknown type %r", properties.type)
        elif properties.reply_to:
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
                "running": len(consumer.running),
                "concurrency": consumer.executor.concurrency,
            }
            for consumer in self._server.consumers
        }
        return self._ping() | {"uptime": time.time() - self._started, "methods": methods}
