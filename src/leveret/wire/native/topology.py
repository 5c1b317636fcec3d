"""The exchanges and queues of wire protocol 1. Each is declared where it is missing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from leveret.amqp import methods
from leveret.amqp.codes import ReplyCode
from leveret.amqp.events import Delivery
from leveret.contract import MethodSpec
from leveret.errors import ChannelClosed
from leveret.transport.channel import Channel
from leveret.transport.connection import Connection
from leveret.wire.channel_errors import explained
from leveret.wire.native.names import CONTROL_EXCHANGE, EXCHANGE
from leveret.wire.timing import REPLY_QUEUE_LIVES


async def declare_exchanges(connection: Connection) -> None:
    """See that both exchanges exist.

    A passive declare comes first. It needs no permission to configure anything, so a user of least
    privilege can connect once the exchanges are there.

    :raises PermissionDenied: if one is missing and the user may not declare it.
    :raises TopologyError: if one exists with other options.
    """
    for name, kind in ((EXCHANGE, "direct"), (CONTROL_EXCHANGE, "topic")):
        channel = await connection.open_channel()
        try:
            await channel.call(methods.Exchange.Declare(exchange=name, passive=True))
        except ChannelClosed as error:
            if error.reply_code != ReplyCode.NOT_FOUND:
                raise explained(error, f"exchange {name!r}") from error
            channel = await connection.open_channel()
            try:
                await channel.declare_exchange(name, kind)
            except ChannelClosed as failure:
                raise explained(failure, f"exchange {name!r}") from failure
        await channel.close()


async def declare_request_queue(channel: Channel, spec: MethodSpec) -> int:
    """See that a method's request queue exists and is bound; returns how many requests wait in it.

    :raises TopologyError: if it exists with other options.
    :raises PermissionDenied: if the user may not declare it.
    """
    try:
        declared = await channel.declare_queue(spec.queue_name, arguments=queue_arguments(spec))
        await channel.bind_queue(spec.queue_name, EXCHANGE, spec.key)
    except ChannelClosed as error:
        raise explained(error, f"queue {spec.queue_name!r}") from error
    return declared.message_count or 0


def queue_arguments(spec: MethodSpec) -> dict[str, Any]:
    """The arguments of a request queue. What it dead-letters goes back to the caller."""
    arguments: dict[str, Any] = {"x-dead-letter-exchange": ""}
    options = spec.queue
    if options.type == "quorum":
        arguments["x-queue-type"] = "quorum"
    if options.max_length is not None:
        arguments["x-max-length"] = options.max_length
        # Quorum queues have no reject-publish-dlx: there the nack alone tells the caller.
        arguments["x-overflow"] = (
            "reject-publish" if options.type == "quorum" else "reject-publish-dlx"
        )
    if options.max_priority:
        arguments["x-max-priority"] = options.max_priority
    if options.expires is not None:
        arguments["x-expires"] = int(options.expires * 1000)
    return arguments


async def consume_replies(
    channel: Channel, queue: str, on_reply: Callable[[Delivery], None]
) -> None:
    """Declare a client's reply queue and consume from it.

    :raises PermissionDenied: if the user may not use it.
    :raises ChannelClosed: if the broker closed the channel for another reason.
    """
    try:
        await channel.declare_queue(queue, arguments={"x-expires": int(REPLY_QUEUE_LIVES * 1000)})
        await channel.consume(queue, on_reply, no_ack=True)
    except ChannelClosed as error:
        raise explained(error, f"reply queue {queue!r}") from error
