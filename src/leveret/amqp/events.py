"""What a `Parser` reads out of the stream. A method that is not frequent comes as a `Method`."""

from __future__ import annotations

import msgspec

from leveret.amqp.methods import AMQPMethod, Basic
from leveret.amqp.properties import Properties


class Delivery(msgspec.Struct, frozen=True, gc=False):
    """basic.deliver with its content."""

    channel: int
    """The channel's number."""
    consumer_tag: str
    """The consumer that it is for."""
    delivery_tag: int
    """Its number on the channel, for the acknowledgement."""
    redelivered: bool
    """Whether it may have been delivered before."""
    exchange: str
    """Where it was published to."""
    routing_key: str
    """The key that it was published with."""
    properties: Properties
    """The message's properties."""
    body: bytes | None
    """The message's body; None if it was larger than the parser's `max_body`."""
    body_size: int
    """The length of the body in bytes, also where `body` is None."""


class Publish(msgspec.Struct, frozen=True, gc=False):
    """basic.publish with its content, as a broker receives it."""

    channel: int
    """The channel's number."""
    exchange: str
    """The exchange that is to route it; "" is the default exchange."""
    routing_key: str
    """The key to route it by."""
    mandatory: bool
    """Whether it comes back if no queue gets it."""
    immediate: bool
    """Whether it comes back if no consumer can be given it at once."""
    properties: Properties
    """The message's properties."""
    body: bytes | None
    """As in `Delivery`."""
    body_size: int
    """As in `Delivery`."""


class Content(msgspec.Struct, frozen=True, gc=False):
    """Another method that carries content."""

    channel: int
    """The channel's number."""
    method: Basic.Return | Basic.GetOk
    """The method itself."""
    properties: Properties
    """The message's properties."""
    body: bytes | None
    """As in `Delivery`."""
    body_size: int
    """As in `Delivery`."""


class Ack(msgspec.Struct, frozen=True, gc=False):
    """basic.ack: a confirm for a client, an acknowledgement for a broker."""

    channel: int
    """The channel's number."""
    delivery_tag: int
    """The number of the publish or of the delivery."""
    multiple: bool
    """Whether it stands for all before it as well; then number 0 stands for all there are."""


class Nack(msgspec.Struct, frozen=True, gc=False):
    """basic.nack: the broker refused a message, or a consumer did."""

    channel: int
    """The channel's number."""
    delivery_tag: int
    """The number of the publish or of the delivery."""
    multiple: bool
    """As in `Ack`."""
    requeue: bool
    """Whether the message goes back into its queue; says nothing to a client."""


class Method(msgspec.Struct, frozen=True, gc=False):
    """Any other method."""

    channel: int
    """The channel's number; 0 for the connection itself."""
    method: AMQPMethod
    """The method itself."""


class Heartbeat(msgspec.Struct, frozen=True, gc=False):
    """A heartbeat frame. Any other frame shows as well that the peer lives."""


Event = Delivery | Publish | Content | Ack | Nack | Method | Heartbeat
