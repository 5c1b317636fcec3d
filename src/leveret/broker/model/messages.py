"""A message as the broker holds it, and its places in queues. Pure."""

from __future__ import annotations

from typing import Any, Final

from leveret.amqp.properties import HEADERS, Properties, short_string
from leveret.broker.model import packed as packing

_OVERHEAD: Final = 300
"""Bytes that a message takes in memory beside its own, roughly."""

_Routes = dict[tuple[str, str], bytes]
_routes: _Routes = {}
_CACHED_ROUTES: Final = 4096


class Message:
    """A message, shared by all queues that hold it. What was published never changes."""

    __slots__ = (
        "body",
        "exchange",
        "packed",
        "places",
        "properties",
        "route",
        "routing_keys",
        "size",
    )

    def __init__(
        self,
        exchange: str,
        routing_keys: tuple[str, ...],
        properties: Properties,
        packed: bytes,
        body: bytes,
    ) -> None:
        self.exchange = exchange
        self.routing_keys = routing_keys
        """The routing key, and those that CC and BCC add."""
        self.properties = properties
        self.packed = packed
        """The properties as the bytes that came."""
        self.body = body
        self.route = _routes.get((exchange, routing_keys[0])) or _pack_route(
            exchange, routing_keys[0]
        )
        """Exchange and routing key, as basic.deliver ends in them."""
        self.size = len(body) + len(packed) + _OVERHEAD
        """Bytes that it takes in memory."""
        self.places = 0
        """How many queues and transactions hold it, or have it unsettled. `Memory` counts them."""

    @property
    def routing_key(self) -> str:
        """The key it was published with."""
        return self.routing_keys[0]


def _pack_route(exchange: str, routing_key: str) -> bytes:
    if len(_routes) >= _CACHED_ROUTES:
        _routes.clear()
    route = short_string(exchange) + short_string(routing_key)
    _routes[exchange, routing_key] = route
    return route


class Entry:
    """A message's place in one queue."""

    __slots__ = ("delivery_count", "expires_at", "message", "position", "priority", "redelivered")

    def __init__(self, message: Message, position: int, expires_at: float | None) -> None:
        self.message = message
        self.position = position
        """Its place in the order, to which it returns when it is requeued."""
        self.expires_at = expires_at
        """Monotonic seconds; None for never."""
        self.priority = 0
        self.redelivered = False
        self.delivery_count = 0
        """How often it was requeued (quorum queues)."""

    def counted(self) -> bytes:
        """The properties with x-delivery-count, which quorum queues add."""
        return with_headers(self.message.packed, {"x-delivery-count": self.delivery_count})


def with_headers(packed: bytes, added: dict[str, Any]) -> bytes:
    """The properties with these headers set."""
    fields = packing.split(packed)
    entries = packing.read_entries(fields.get(HEADERS, b"\0\0\0\0"))
    for name, content in added.items():
        entries[name] = packing.value(content)
    fields[HEADERS] = packing.write_entries(dict(sorted(entries.items())))  # RabbitMQ sorts them
    return packing.join(fields)
