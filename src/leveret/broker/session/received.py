"""What only a broker receives: publishes, complete or in part. Pure."""

from __future__ import annotations

import msgspec

from leveret.amqp.codes import BASIC_PUBLISH
from leveret.amqp.properties import Properties
from leveret.broker.session.unreadable import Unreadable, unexpected

Route = tuple[str, str, bool, bool]
"""What basic.publish says: exchange, routing key, mandatory, immediate."""


class Published(msgspec.Struct, frozen=True, gc=False):
    """basic.publish with its content."""

    channel: int
    exchange: str
    routing_key: str
    mandatory: bool
    immediate: bool
    properties: Properties
    packed: bytes
    """The properties as they came, flags first."""
    body: bytes | None
    """None if it was larger than the largest body that the broker takes."""
    body_size: int
    """Bytes of the body, even if it is None."""


class PartialPublish:
    """A publish of which some frames are still to come."""

    __slots__ = ("body", "keep", "missing", "packed", "properties", "route", "size")

    def __init__(self, route: Route) -> None:
        self.route = route
        self.properties: Properties | None = None
        """None until the content header has come."""
        self.packed = b""
        self.size = self.missing = 0
        self.keep = True
        """Whether the body is kept."""
        self.body = bytearray()

    def unexpected(self) -> Unreadable:
        """The complaint about another frame than the one that is due."""
        due = "content header for class 60" if self.properties is None else "content body"
        kind = "content header" if self.properties is None else "content body"
        return unexpected(f"expected {due}, got non {kind} frame instead", BASIC_PUBLISH)

    def event(self, channel: int) -> Published:
        """The publish, once it is complete."""
        assert self.properties is not None
        body = bytes(self.body) if self.keep else None
        return Published(channel, *self.route, self.properties, self.packed, body, self.size)
