"""Bytes in parts, which are joined as late as can be; and a large body that has its bytes so.

A large array that travels is copied once on its way out, as a body of `bytes` is. The parts are
views of what the caller gave: a request that goes out later, or again, has what is in them then.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeAlias

__all__ = ["Body", "BodyParts", "Parts", "joined_if_small"]

_SMALL: Final = 65_536
"""Bytes up to which parts are joined at once: a copy costs less than what comes with parts."""


class Parts:
    """Bytes that are the concatenation of parts."""

    __slots__ = ("_size", "parts")

    def __init__(self, parts: Sequence[bytes | memoryview]) -> None:
        """:param parts: views of bytes, one-dimensional."""
        self.parts = parts
        """What it consists of."""
        self._size = sum(map(len, parts))

    def __len__(self) -> int:
        return self._size

    def __bytes__(self) -> bytes:
        return b"".join(self.parts)


class BodyParts(Parts):
    """A body in parts. It is larger than the small ones."""

    __slots__ = ()

    def __radd__(self, before: bytes) -> bytes:
        return b"".join((before, *self.parts))


Body: TypeAlias = bytes | BodyParts
"""The body of a message that is sent."""


def joined_if_small(parts: Sequence[bytes | memoryview]) -> Body:
    """Return the body that has these parts."""
    body = BodyParts(parts)
    return body if len(body) > _SMALL else bytes(body)
