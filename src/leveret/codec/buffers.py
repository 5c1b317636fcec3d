"""How a body is laid out whose large parts travel beside its MessagePack: out of band.

| bytes | what |
|---|---|
| 4 | `LVB1` |
| 4 | *n*, the number of buffers |
| 8 | *m*, the size of the MessagePack |
| 8 *n* | the size of each buffer |
| *m* | the MessagePack, which refers to buffers by their numbers, from 0 on |
| | each buffer, at a multiple of 64 bytes; zeros fill what is between |

All integers are little-endian. The body ends with its last buffer. docs/protocol.md has the same.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final, TypeAlias

from leveret.body_parts import Body, joined_if_small
from leveret.codec.content_type import BUFFERS

__all__ = ["MOST_BUFFERS", "Buffer", "laid_out", "taken_apart"]

Buffer: TypeAlias = Sequence[bytes | memoryview]
"""One buffer, in parts that follow each other."""

MOST_BUFFERS: Final = 65_535
"""So many buffers a body has at the most."""

_MAGIC: Final = b"LVB1"
_HEAD: Final = struct.Struct("<4sIQ")
_ALIGNED: Final = 64
"""Buffers begin at multiples of so many bytes, as Arrow recommends for its own."""


def laid_out(packed: bytes, buffers: Sequence[Buffer]) -> Body:
    """Return the body that has this MessagePack and these buffers. No buffer is copied.

    :raises ValueError: if there are too many of them.
    """
    if len(buffers) > MOST_BUFFERS:
        raise ValueError(
            f"one body carries at most {MOST_BUFFERS:,} arrays and tables, not {len(buffers):,}"
        )
    sizes = [sum(map(len, buffer)) for buffer in buffers]
    head = _HEAD.pack(_MAGIC, len(buffers), len(packed)) + struct.pack(f"<{len(sizes)}Q", *sizes)
    parts: list[bytes | memoryview] = [head, packed]
    end = len(head) + len(packed)
    for size, buffer in zip(sizes, buffers, strict=True):
        gap = -end % _ALIGNED
        parts += (bytes(gap), *buffer)
        end += gap + size
    return joined_if_small(parts)


def taken_apart(body: bytes) -> tuple[memoryview, list[memoryview]]:
    """Return the MessagePack and the buffers of a body, as views of it.

    :raises ValueError: if its sizes do not hold together.
    """
    have = len(body)
    if have < _HEAD.size or body[:4] != _MAGIC:
        raise ValueError(f"the body does not begin as one of {BUFFERS} does")
    _, number, size = _HEAD.unpack_from(body)
    packed = _HEAD.size + 8 * number
    if number > MOST_BUFFERS or packed > have:
        raise ValueError(f"the body of {have} bytes cannot have {number} buffers, as it says")
    end = packed + size
    bounds: list[tuple[int, int]] = []
    for length in struct.unpack_from(f"<{number}Q", body, _HEAD.size):
        start = end + -end % _ALIGNED
        end = start + length
        bounds.append((start, end))
    if end != have:
        raise ValueError(f"the body has {have} bytes, and {end} by its own account")
    view = memoryview(body)
    return view[packed : packed + size], [view[start:stop] for start, stop in bounds]
