"""A large body in parts, which are joined only where its frames are packed.

So a large array that travels is copied once on its way out, as a body of `bytes` is. The parts are
views of what the caller gave: a request that goes out later, or again, has what is in them then.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeAlias

__all__ = ["Body", "BodyParts", "joined_if_small"]

_SMALL: Final = 65_536
"""Bytes up to which parts are joined at once: a copy costs less than what comes with parts."""


class BodyParts:
    """A body that is the concatenation of its parts. It is larger than the small ones."""

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

    def __radd__(self, before: bytes) -> bytes:
        return b"".join((before, *self.parts))


Body: TypeAlias = bytes | BodyParts
"""The body of a message that is sent."""


def joined_if_small(parts: Sequence[bytes | memoryview]) -> Body:
    """Return the body that has these parts."""
    body = BodyParts(parts)
    return body if len(body) > _SMALL else bytes(body)
