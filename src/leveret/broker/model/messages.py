"""A message as the broker holds it."""

from __future__ import annotations

from typing import Any, Final

from leveret.amqp.properties import HEADERS, Properties, short_string
from leveret.broker.model import packed as packing

_OVERHEAD: Final = 300
"""What a message weighs beside its bytes, roughly, in bytes."""

_Routes = dict[tuple[str, str], bytes]
_routes: _Routes = {}
_CACHED_ROUTES: Final = 4096


class Message:
    """A message, shared by all queues that hold it; what was published never changes.

    `packed` holds the properties as they came, `route` the exchange and the routing key as
    basic.deliver ends in them, `routing_keys` the key and those that CC and BCC add. `size` is what
    it weighs, in bytes, and `places` in how many queues it lies, or was delivered from and is not
    settled; `Memory` counts them.
    """

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
        self.properties = properties
        self.packed = packed
        self.body = body
        self.route = _routes.get((exchange, routing_keys[0])) or _pack_route(
            exchange, routing_keys[0]
        )
        self.size = len(body) + len(packed) + _OVERHEAD
        self.places = 0

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
    """A message's place in one queue.

    `position` is its order, to which it returns when it is requeued; `expires_at` is in monotonic
    seconds; `delivery_count` counts how often it came back (quorum queues).
    """

    __slots__ = ("delivery_count", "expires_at", "message", "position", "priority", "redelivered")

    def __init__(self, message: Message, position: int, expires_at: float | None) -> None:
        self.message = message
        self.position = position
        self.expires_at = expires_at
        self.priority = 0
        self.redelivered = False
        self.delivery_count = 0

    def counted(self) -> bytes:
        """The properties to deliver with x-delivery-count, as quorum queues have it."""
        return with_headers(self.message.packed, {"x-delivery-count": self.delivery_count})


def with_headers(packed: bytes, added: dict[str, Any]) -> bytes:
    """The properties with these headers set."""
    fields = packing.split(packed)
    entries = packing.read_entries(fields.get(HEADERS, b"\0\0\0\0"))
    for name, content in added.items():
        entries[name] = packing.value(content)
    fields[HEADERS] = packing.write_entries(dict(sorted(entries.items())))  # as RabbitMQ does
    return packing.join(fields)
