"""Reads the methods that are not hot, by pamqp's classes but with our own eyes.

pamqp knows each method's fields. Its way to read them, though, lets bytes to spare through, fails
where a name is no UTF-8 (which a stranger may choose for `reply_to`, so that an unroutable answer
comes back with it), and copies a table once for each of its fields.
"""

from __future__ import annotations

import struct
from typing import Any

import pamqp.commands

from leveret.amqp.codes import ReplyCode
from leveret.amqp.tables import decode_table
from leveret.errors import ProtocolError

_INTEGERS = {
    "octet": struct.Struct(">B"),
    "short": struct.Struct(">H"),
    "long": struct.Struct(">I"),
    "longlong": struct.Struct(">q"),
}
_U32 = struct.Struct(">I").unpack_from


def read_method(data: bytes, start: int, stop: int) -> Any:
    """The method whose payload is data[start:stop], as an object of pamqp's.

    :raises ProtocolError: if AMQP does not know it.
    :raises ValueError: if its fields do not end exactly at `stop`.
    :raises IndexError: likewise. :raises struct.error: likewise.
    """
    if stop - start < 4:
        raise ValueError("a method frame that names no method")
    (index,) = _U32(data, start)
    if index not in pamqp.commands.INDEX_MAPPING:
        raise ProtocolError(
            ReplyCode.COMMAND_INVALID,
            f"COMMAND_INVALID - unknown method {index & 0xFFFF} of class {index >> 16}",
        )
    kind: Any = pamqp.commands.INDEX_MAPPING[index]
    method = kind.__new__(kind)  # to make one of those that are deprecated would warn our own user
    pos = start + 4
    bit = 0  # bits that follow one another share an octet (section 4.2.5.2)
    for name in method.__slots__:
        field = method.amqp_type(name)
        if field == "bit":
            value: Any = data[pos] >> bit & 1 == 1
            bit = bit + 1 & 7
            pos += bit == 0
        else:
            if bit:
                bit = 0
                pos += 1
            value, pos = _field(field, data, pos, stop)
        setattr(method, name, value)
    if pos + (bit > 0) != stop:
        raise ValueError(f"{method.name} does not end where its frame does")
    return method


def _field(kind: str, data: bytes, pos: int, stop: int) -> tuple[Any, int]:
    if kind in _INTEGERS:
        layout = _INTEGERS[kind]
        return layout.unpack_from(data, pos)[0], pos + layout.size
    if kind == "shortstr":
        end = pos + 1 + data[pos]
        return data[pos + 1 : end].decode("utf-8", "surrogateescape"), end
    end = pos + 4 + _U32(data, pos)[0]
    if end > stop:
        raise ValueError(f"a {kind} runs past the end of its frame")
    if kind == "table":
        return decode_table(data, pos + 4, end), end
    return data[pos + 4 : end].decode("utf-8", "surrogateescape"), end  # longstr
