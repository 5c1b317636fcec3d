"""What a broker sends before the content of a delivery; Leveret itself only reads it."""

from __future__ import annotations

from leveret.amqp.frames import method_frame
from leveret.amqp.methods import Basic


def deliver_frame(
    channel: int,
    consumer_tag: str,
    delivery_tag: int,
    redelivered: bool,
    exchange: str,
    routing_key: str,
) -> bytes:
    """The basic.deliver frame."""
    return method_frame(
        channel,
        Basic.Deliver(
            consumer_tag=consumer_tag,
            delivery_tag=delivery_tag,
            redelivered=redelivered,
            exchange=exchange,
            routing_key=routing_key,
        ),
    )
