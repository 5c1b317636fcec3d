"""Packs the methods that the broker sends.

pamqp knows their fields. Its own packing refuses names that RabbitMQ takes (it has rules for what a
queue may be called) and texts that are no UTF-8, which a client may have sent.
"""

from __future__ import annotations

import struct
from typing import Any, Final

import pamqp.base

from leveret.amqp.properties import short_string
from leveret.amqp.tables import encode_table

_INTEGERS: Final = {
    "octet": struct.Struct(">B"),
    "short": struct.Struct(">H"),
    "long": struct.Struct(">I"),
    "longlong": struct.Struct(">Q"),
}


def answer(kind: type[pamqp.base.Frame], **values: Any) -> bytes:
    """The payload of a method frame; a field that is not given is 0, empty or False.

    A short string of more than 255 bytes is cut.
    """
    parts = [struct.pack(">I", kind.index)]
    bits: list[bool] = []
    for name in kind.__slots__:
        field = kind.amqp_type(name)
        if field == "bit":
            bits.append(bool(values.get(name)))
            continue
        parts.append(_octet(bits))
        parts.append(_field(field, values.get(name)))
    parts.append(_octet(bits))
    return b"".join(parts)


def _octet(bits: list[bool]) -> bytes:
    """Bits that follow one another share an octet (section 4.2.5.2)."""
    if not bits:
        return b""
    octet = sum(bit << place for place, bit in enumerate(bits))
    bits.clear()
    return bytes((octet,))


def _field(kind: str, value: Any) -> bytes:
    if kind in _INTEGERS:
        return _INTEGERS[kind].pack(value or 0)
    if kind == "table":
        return encode_table(value or {})
    if kind == "longstr":
        data = (value or "").encode("utf-8", "surrogateescape")
        return struct.pack(">I", len(data)) + data
    text = value or ""
    if len(text) > 63:  # else it fits, whatever its characters
        text = text.encode("utf-8", "surrogateescape")[:255].decode("utf-8", "ignore")
    return short_string(text)
