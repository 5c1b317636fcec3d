"""The exchanges and queues of wire protocol 1, declared where they are missing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pamqp import commands

from leveret.amqp.codes import ReplyCode
from leveret.amqp.events import Delivery
from leveret.contract import MethodSpec
from leveret.errors import ChannelClosed, LeveretError, PermissionDenied, TopologyError
from leveret.transport.channel import Channel
from leveret.transport.connection import Connection
from leveret.wire.native import CONTROL_EXCHANGE, EXCHANGE, REPLY_QUEUE_EXPIRES


async def declare_exchanges(connection: Connection) -> None:
    """See that both exchanges exist.

    They are looked at first, which needs no permission to configure anything: a client of least
    privilege meets them already declared.
    """
    for name, kind in ((EXCHANGE, "direct"), (CONTROL_EXCHANGE, "topic")):
        channel = await connection.open_channel()
        try:
            await channel.call(commands.Exchange.Declare(exchange=name, passive=True))
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
    """The arguments of a request queue; what dead-letters in it goes back to its caller."""
    arguments: dict[str, Any] = {"x-dead-letter-exchange": ""}
    options = spec.queue
    if options.type == "quorum":
        arguments["x-queue-type"] = "quorum"
    if options.max_length is not None:
        arguments["x-max-length"] = options.max_length
        # A quorum queue knows no reject-publish-dlx: there the nack alone tells the caller.
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
    """Declare a client's reply queue and take what comes."""
    try:
        await channel.declare_queue(queue, arguments={"x-expires": REPLY_QUEUE_EXPIRES})
        await channel.consume(queue, on_reply, no_ack=True)
    except ChannelClosed as error:
        raise explained(error, f"reply queue {queue!r}") from error


def is_down(error: ChannelClosed) -> bool:
    """Whether a queue is only out of reach, as the broker's node that has it is down.

    RabbitMQ 3 says so at once. RabbitMQ 4 says nothing for a minute, and then "due to timeout", or
    that the queue's process is stopped; nobody waits for that long.
    """
    words = ("down or inaccessible", "due to timeout", "process is stopped")
    return error.reply_code == ReplyCode.NOT_FOUND and any(w in error.reply_text for w in words)


def explained(error: ChannelClosed, what: str) -> LeveretError:
    """A channel's end while something was declared, as an error that says what to do."""
    match error.reply_code:
        case ReplyCode.PRECONDITION_FAILED:
            return TopologyError(
                f"the {what} exists on the broker with other options: {error}."
                " Delete it there once nothing uses it, or go back to the options it has."
            )
        case ReplyCode.ACCESS_REFUSED:
            return PermissionDenied(
                f"the broker's user may not use the {what}: {error}."
                " See docs/protocol.md for the permissions that Leveret needs."
            )
    return error
