"""The exchanges and queues of wire protocol 1. Each is declared where it is missing."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Final, Protocol
from weakref import WeakKeyDictionary

from leveret.amqp import methods
from leveret.amqp.codes import ReplyCode
from leveret.amqp.events import Delivery
from leveret.contract import MethodSpec, QueueOptions
from leveret.errors import ChannelClosed
from leveret.transport.channel import Channel
from leveret.wire.channel_errors import explained, is_missing_exchange
from leveret.wire.native.names import CONTROL_EXCHANGE, EXCHANGE
from leveret.wire.timing import REPLY_QUEUE_LIVES

log = logging.getLogger("leveret.wire")


class OpensChannels(Protocol):
    """What this file needs of a connection."""

    async def open_channel(self) -> Channel:
        """Open a channel."""
        ...


_restoring: Final[WeakKeyDictionary[OpensChannels, asyncio.Lock]] = WeakKeyDictionary()
"""Held, for each connection, while the exchanges are put back on it."""


async def declare_exchanges(connection: OpensChannels) -> list[str]:
    """See that both exchanges exist; returns the names of those that it declared.

    A passive declare comes first. It needs no permission to configure anything, so a user of least
    privilege can connect once the exchanges are there.

    :raises PermissionDenied: if one is missing and the user may not declare it.
    :raises TopologyError: if one exists with other options.
    """
    declared: list[str] = []
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
            declared.append(name)
        await channel.close()
    return declared


async def restore_exchanges(connection: OpensChannels) -> None:
    """Declare the exchanges that somebody deleted, and say so in the log.

    All queues of a server may find out at once, and each comes here: one declares, and says so.

    :raises LeveretError: as `declare_exchanges` does.
    """
    async with _restoring.setdefault(connection, asyncio.Lock()):
        for name in await declare_exchanges(connection):
            log.warning("the exchange %r was missing on the broker; declared it again", name)


async def declare_request_queue(channel: Channel, spec: MethodSpec) -> int:
    """See that a method's request queue exists and is bound; returns how many requests wait in it.

    :raises TopologyError: if it exists with other options.
    :raises PermissionDenied: if the user may not declare it.
    """
    try:
        declared = await channel.declare_queue(spec.queue_name, arguments=queue_arguments(spec))
        await bind_request_queue(channel, spec)
    except ChannelClosed as error:
        raise explained(error, f"queue {spec.queue_name!r}") from error
    return declared.message_count or 0


async def bind_request_queue(channel: Channel, spec: MethodSpec) -> None:
    """See that requests reach a method's queue.

    :raises ChannelClosed: if the queue is missing, or the exchange; then that is declared, for the
        next attempt.
    """
    await _bind(channel, spec.queue_name, EXCHANGE, spec.key)


async def bind_control_queue(channel: Channel, queue: str, key: str) -> None:
    """See that control messages with this key reach a server's control queue.

    :raises ChannelClosed: as `bind_request_queue` does.
    """
    await _bind(channel, queue, CONTROL_EXCHANGE, key)


async def bind_upload_queue(channel: Channel, queue: str, key: str) -> None:
    """See that the items of uploads with this key reach a server's queue.

    :raises ChannelClosed: as `bind_request_queue` does.
    """
    await _bind(channel, queue, EXCHANGE, key)


async def _bind(channel: Channel, queue: str, exchange: str, key: str) -> None:
    try:
        await channel.bind_queue(queue, exchange, key)
    except ChannelClosed as error:
        if is_missing_exchange(error):
            await restore_exchanges(channel.connection)
        raise


def queue_arguments(spec: MethodSpec) -> dict[str, Any]:
    """The arguments of a method's request queue."""
    return arguments_of(spec.queue)


def arguments_of(options: QueueOptions) -> dict[str, Any]:
    """The arguments of a request queue. What it dead-letters goes back to the caller."""
    arguments: dict[str, Any] = {"x-dead-letter-exchange": ""}
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
