"""What only a broker receives: publishes, whole or in the making."""

from __future__ import annotations

import msgspec

from leveret.amqp.codes import BASIC_PUBLISH
from leveret.amqp.properties import Properties
from leveret.broker.session.unreadable import Unreadable, unexpected

Route = tuple[str, str, bool, bool]


class Published(msgspec.Struct, frozen=True, gc=False):
    """basic.publish with its content; `packed` holds the properties as they came, flags first.

    `body` is None where it was larger than the largest message that is taken.
    """

    channel: int
    exchange: str
    routing_key: str
    mandatory: bool
    immediate: bool
    properties: Properties
    packed: bytes
    body: bytes | None
    body_size: int


class Coming:
    """A publish of which some frames are still to come."""

    __slots__ = ("body", "keep", "missing", "packed", "properties", "route", "size")

    def __init__(self, route: Route) -> None:
        self.route = route
        self.properties: Properties | None = None
        self.packed = b""
        self.size = self.missing = 0
        self.keep = True
        self.body = bytearray()

    def unexpected(self) -> Unreadable:
        """Another frame came than the one due."""
        due = "content header for class 60" if self.properties is None else "content body"
        kind = "content header" if self.properties is None else "content body"
        return unexpected(f"expected {due}, got non {kind} frame instead", BASIC_PUBLISH)

    def event(self, channel: int) -> Published:
        """The publish, once nothing of it is missing."""
        assert self.properties is not None
        body = bytes(self.body) if self.keep else None
        return Published(channel, *self.route, self.properties, self.packed, body, self.size)
