"""A queue of RabbitMQ, as its management API lists it."""

from __future__ import annotations

from msgspec import Struct

__all__ = ["ListedQueue"]


class ListedQueue(Struct, frozen=True, kw_only=True):
    """A queue, as the management API tells of it. What it has not counted yet is missing."""

    name: str
    """Its name."""
    consumers: int | None = None
    """How many consume it."""
    messages: int | None = None
    """Its messages, with those that are delivered and not acknowledged."""
    messages_ready: int | None = None
    """Those of them that nobody has."""
    type: str = "classic"
    """"classic", "quorum" or "stream"."""
    exclusive: bool = False
    """Whether it is one connection's own."""
