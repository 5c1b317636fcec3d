"""What a `Parser` reads out of the stream. Whatever is no hot frame comes as a `Method`."""

from __future__ import annotations

from typing import Any

import msgspec

from leveret.amqp.properties import Properties


class Delivery(msgspec.Struct, frozen=True, gc=False):
    """basic.deliver with its content.

    `body` is None where it was larger than the parser's `max_body`; `body_size` tells how large.
    """

    channel: int
    consumer_tag: str
    delivery_tag: int
    redelivered: bool
    exchange: str
    routing_key: str
    properties: Properties
    body: bytes | None
    body_size: int


class Publish(msgspec.Struct, frozen=True, gc=False):
    """basic.publish with its content, as a broker receives it; `body` as in `Delivery`."""

    channel: int
    exchange: str
    routing_key: str
    mandatory: bool
    immediate: bool
    properties: Properties
    body: bytes | None
    body_size: int


class Content(msgspec.Struct, frozen=True, gc=False):
    """Another method that carries content (basic.return, basic.get-ok), read by pamqp."""

    channel: int
    method: Any
    properties: Properties
    body: bytes | None
    body_size: int


class Ack(msgspec.Struct, frozen=True, gc=False):
    """basic.ack: a confirm for a client, an acknowledgement for a broker."""

    channel: int
    delivery_tag: int
    multiple: bool


class Nack(msgspec.Struct, frozen=True, gc=False):
    """basic.nack: the broker refused a message, or a consumer did."""

    channel: int
    delivery_tag: int
    multiple: bool
    requeue: bool


class Method(msgspec.Struct, frozen=True, gc=False):
    """Any other method, as pamqp reads it."""

    channel: int
    method: Any


class Heartbeat(msgspec.Struct, frozen=True, gc=False):
    """A heartbeat frame. Any other frame shows as well that the peer lives."""


Event = Delivery | Publish | Content | Ack | Nack | Method | Heartbeat
