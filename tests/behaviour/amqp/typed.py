"""Field tables with the type octet of each value, in the order in which they stand.

pamqp tells a value but not its type, and a client in a typed language sees the difference between
an `x-death` count of type `l` and one of type `I`.
"""

from __future__ import annotations

import struct
from typing import Any

_FIXED = {"b": "b", "B": "B", "s": "h", "u": "H", "I": "i", "i": "I", "l": "q", "L": "q"}
_FIXED |= {"f": "f", "d": "d", "t": "?", "T": "Q"}


def typed_headers(properties: bytes) -> list[tuple[str, str, Any]]:
    """The headers in a content header's flags and properties: (name, type octet, value) each.

    A table is a list of such, an array a list of (type octet, value).
    """
    (flags,) = struct.unpack_from(">H", properties)
    position = 2
    for bit in (0x8000, 0x4000):  # content type and encoding stand before
        if flags & bit:
            position += 1 + properties[position]
    return _table(properties, position)[0] if flags & 0x2000 else []


def _table(data: bytes, position: int) -> tuple[list[tuple[str, str, Any]], int]:
    (size,) = struct.unpack_from(">I", data, position)
    position += 4
    end = position + size
    entries = []
    while position < end:
        stop = position + 1 + data[position]
        name = data[position + 1 : stop].decode()
        kind, value, position = _value(data, stop)
        entries.append((name, kind, value))
    assert position == end
    return entries, end


def _value(data: bytes, position: int) -> tuple[str, Any, int]:
    kind = chr(data[position])
    position += 1
    if kind in _FIXED:
        layout = ">" + _FIXED[kind]
        (value,) = struct.unpack_from(layout, data, position)
        return kind, value, position + struct.calcsize(layout)
    if kind == "F":
        return kind, *_table(data, position)
    if kind == "V":
        return kind, None, position
    (size,) = struct.unpack_from(">I", data, position)
    position += 4
    end = position + size
    if kind == "A":
        items = []
        while position < end:
            item_kind, item, position = _value(data, position)
            items.append((item_kind, item))
        return kind, items, end
    assert kind in "Sx", f"a value of the unknown type {kind!r}"
    return kind, data[position:end].decode(errors="surrogateescape"), end
