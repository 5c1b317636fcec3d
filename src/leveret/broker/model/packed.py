"""Edits the packed properties of a message, and decodes only what it changes. Pure.

A broker hands on what it was given, byte for byte. A header that was a 16-bit number stays one,
which would not survive decoding and encoding.
"""

from __future__ import annotations

import struct
from datetime import datetime
from typing import Any, Final

from leveret.amqp.properties import (
    CLUSTER_ID,
    CONTENT_TYPE,
    DELIVERY_MODE,
    HEADERS,
    PRIORITY,
    TIMESTAMP,
)
from leveret.amqp.tables import encode_table

_U32 = struct.Struct(">I")
_FIXED: Final = {
    code[0]: size
    for code, size in {
        b"t": 1, b"b": 1, b"B": 1, b"s": 2, b"u": 2, b"I": 4, b"i": 4, b"l": 8, b"L": 8,
        b"f": 4, b"d": 8, b"T": 8, b"D": 5, b"V": 0, b"\0": 0,
    }.items()
}  # fmt: skip
"""Bytes of the field values that have no length before them, by type."""

TYPE_NAMES: Final = {
    code[0]: name
    for code, name in {
        b"S": "longstr", b"I": "signedint", b"i": "unsignedint", b"l": "long", b"L": "long",
        b"b": "byte", b"B": "unsignedbyte", b"s": "short", b"u": "unsignedshort", b"t": "bool",
        b"T": "timestamp", b"F": "table", b"A": "array", b"d": "double", b"f": "float",
        b"D": "decimal", b"V": "void", b"x": "binary", b"\0": "void",
    }.items()
}  # fmt: skip
"""What RabbitMQ calls the types of field values in its reply texts."""


def split(packed: bytes) -> dict[int, bytes]:
    """The properties by their flag, each as packed."""
    flags = packed[0] << 8 | packed[1]
    fields: dict[int, bytes] = {}
    pos = 2
    bit = CONTENT_TYPE
    while bit >= CLUSTER_ID:
        if flags & bit:
            if bit == HEADERS:
                end = pos + 4 + _U32.unpack_from(packed, pos)[0]
            elif bit in (DELIVERY_MODE, PRIORITY):
                end = pos + 1
            elif bit == TIMESTAMP:
                end = pos + 8
            else:
                end = pos + 1 + packed[pos]
            fields[bit] = packed[pos:end]
            pos = end
        bit >>= 1
    return fields


def join(fields: dict[int, bytes]) -> bytes:
    """The opposite of `split`."""
    bits = sorted(fields, reverse=True)
    return sum(bits).to_bytes(2) + b"".join(fields[bit] for bit in bits)


def read_entries(table: bytes) -> dict[str, bytes]:
    """A table's entries by name, each value as packed, after its type."""
    entries: dict[str, bytes] = {}
    pos = 4
    while pos < len(table):
        start = pos + 1 + table[pos]
        name = table[pos + 1 : start].decode("utf-8", "surrogateescape")
        size = _FIXED.get(table[start])
        end = start + 1 + (4 + _U32.unpack_from(table, start + 1)[0] if size is None else size)
        entries[name] = table[start:end]
        pos = end
    return entries


def write_entries(entries: dict[str, bytes]) -> bytes:
    """The opposite of `read_entries`."""
    body = b"".join(
        bytes((len(name),)) + name + value
        for name, value in (
            (text.encode("utf-8", "surrogateescape"), value) for text, value in entries.items()
        )
    )
    return _U32.pack(len(body)) + body


def value(content: Any) -> bytes:  # noqa: PLR0911 - one case per type
    """Pack a value after its type, which is the one that RabbitMQ chooses for its own headers."""
    match content:
        case bool():
            return b"t\x01" if content else b"t\x00"
        case int():
            return b"l" + struct.pack(">q", content)
        case float():
            return b"d" + struct.pack(">d", content)
        case str():
            data = content.encode("utf-8", "surrogateescape")
            return b"S" + _U32.pack(len(data)) + data
        case bytes():
            return b"S" + _U32.pack(len(content)) + content
        case datetime():
            return b"T" + struct.pack(">q", int(content.timestamp()))
        case list():
            body = b"".join(value(item) for item in content)
            return b"A" + _U32.pack(len(body)) + body
        case dict():
            return b"F" + write_entries({name: value(item) for name, item in content.items()})
    return encode_table({"": content})[5:]  # a client may have put anything there


def types(table: bytes) -> dict[str, str]:
    """What RabbitMQ calls the types of a table's entries."""
    return {name: TYPE_NAMES[entry[0]] for name, entry in read_entries(table).items()}
