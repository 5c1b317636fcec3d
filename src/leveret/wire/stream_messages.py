"""What a client sees of the messages of a stream, in addition to those of any call.

Each but `Closing` names the server that sent it, as "service.instance": a request that was sent
twice may have begun at two of them.
"""

from __future__ import annotations

from typing import TypeAlias

from msgspec import Struct

from leveret.streaming import Credit
from leveret.wire.message import Bounce, Notice, Reply


class Item(Struct, frozen=True, gc=False):
    """One item of a stream of results."""

    server: str
    """Who sent it."""
    n: int
    """Its number, from 1; 0 if it has none, which breaks the protocol."""
    body: bytes | None
    """The encoded item; None if it was larger than the client takes."""
    body_size: int
    """The size of the body in bytes."""
    content_type: str | None
    """The encoding of the body; None leaves it to the method."""
    cursor: str | None = None
    """Where a stream goes on after this item, if the handler says so."""
    problem: str = ""
    """Why the body cannot be read; "" if nothing is known to be wrong with it."""


class Items(Struct, frozen=True, gc=False):
    """Several items of a stream of results."""

    server: str
    """Who sent them."""
    n: int
    """The number of the first one, from 1; 0 if it has none, which breaks the protocol."""
    body: bytes
    """The encoded items, one after the other at its end."""
    sizes: tuple[int, ...]
    """The bytes of each."""
    content_type: str | None
    """The encoding of each item; None leaves it to the method."""

    def after(self, had: int) -> list[Item]:
        """The items after the first `had` ones."""
        body, number = self.body, self.n + had
        pos = len(body) - sum(self.sizes[had:])
        found = []
        for size in self.sizes[had:]:
            end = pos + size
            found.append(Item(self.server, number, body[pos:end], size, self.content_type))
            pos = end
            number += 1
        return found


class End(Struct, frozen=True, kw_only=True, gc=False):
    """All items of a stream were sent."""

    server: str
    """Who sent it."""
    n: int
    """How many items there are."""
    moved: bool
    """Whether the stream is not over, and goes on at another server: this one stops."""
    metadata: dict[str, str] | None = None
    """The metadata that the handler sent with its items; None if there is none."""


class Sign(Struct, frozen=True, kw_only=True, gc=False):
    """The server of a stream lives."""

    server: str
    """Who sent it."""
    n: int
    """The highest number of an item that it sent."""


class Credited(Struct, frozen=True, kw_only=True, gc=False):
    """The server says what it has of an upload, and what may come."""

    server: str
    """Who sent it."""
    credit: Credit
    """What it says."""


class Closing(Struct, frozen=True, kw_only=True, gc=False):
    """The reply that ends a stream: an error, or the result of an upload."""

    server: str
    """Who sent it; "" if it does not say."""
    n: int
    """How many items the server sent before."""
    reply: Reply
    """The reply as that of any call."""


StreamMessage: TypeAlias = Item | Items | End | Sign | Credited | Closing
"""A message of a stream."""

Received: TypeAlias = Reply | Notice | Bounce | StreamMessage
"""What comes to a reply queue."""
