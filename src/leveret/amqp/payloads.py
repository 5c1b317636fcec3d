"""Reads and writes the payload of a method frame, by what `methods` says of the method's fields.

Reading is strict: fields that do not end exactly where their frame does are an error with AMQP's
reply code. A name that is not UTF-8 is no error, as a stranger may choose one: it may be the
`reply_to` of a request whose unroutable answer comes back. Such bytes are surrogate escapes, and
are written as they came.
"""

from __future__ import annotations

import struct
from typing import Any, Final

from leveret.amqp.codes import ReplyCode
from leveret.amqp.methods import METHODS, AMQPMethod
from leveret.amqp.properties import short_string
from leveret.amqp.tables import decode_table, encode_table
from leveret.errors import ProtocolError

_INTEGERS: Final = {
    "Octet": struct.Struct(">B"),
    "Short": struct.Struct(">H"),
    "Long": struct.Struct(">I"),
    "LongLong": struct.Struct(">Q"),
}
_U32 = struct.Struct(">I")


def encode_method(method: AMQPMethod) -> bytes:
    """The payload of the method's frame: its ids, then its fields.

    :raises ValueError: if a value does not fit in its field, such as a name of more than 255 bytes.
    :raises TypeError: if a value is of the wrong type.
    """
    parts = [_U32.pack(method.index)]
    octet = place = 0  # bits that follow one another share an octet (section 4.2.5.2)
    for name, kind in method.fields:
        value = getattr(method, name)
        if kind == "Bit":
            octet |= bool(value) << place
            place += 1
            continue
        if place:
            parts.append(bytes((octet,)))
            octet = place = 0
        try:
            parts.append(_encode(kind, value))
        except struct.error as error:
            raise ValueError(f"{method.name}: {name} cannot be {value!r}: {error}") from None
        except AttributeError:
            raise TypeError(f"{method.name}: {name} cannot be {value!r}") from None
    if place:
        parts.append(bytes((octet,)))
    return b"".join(parts)


def _encode(kind: str, value: Any) -> bytes:
    if kind == "ShortStr":
        return short_string(value)
    if kind == "Table":
        return encode_table(value)
    if kind == "LongStr":
        data: bytes = value.encode("utf-8", "surrogateescape")
        return _U32.pack(len(data)) + data
    return _INTEGERS[kind].pack(value)


def decode_method(data: bytes, start: int, stop: int) -> AMQPMethod:
    """The method whose payload is data[start:stop].

    :raises ProtocolError: if AMQP has no such method.
    :raises ValueError: if its fields do not end exactly at `stop`.
    :raises IndexError: likewise. :raises struct.error: likewise.
    """
    if stop - start < 4:
        raise ValueError("a method frame that names no method")
    (index,) = _U32.unpack_from(data, start)
    method = METHODS.get(index)
    if method is None:
        raise ProtocolError(
            ReplyCode.COMMAND_INVALID,
            f"COMMAND_INVALID - unknown method {index & 0xFFFF} of class {index >> 16}",
        )
    values: dict[str, Any] = {}
    pos = start + 4
    place = 0
    for name, kind in method.fields:
        if kind == "Bit":
            values[name] = data[pos] >> place & 1 == 1
            place += 1
            continue
        if place:
            place = 0
            pos += 1
        values[name], pos = _decode(kind, data, pos, stop)
    if pos + (place > 0) != stop:
        raise ValueError(f"{method.name} does not end where its frame does")
    for name in method.reserved:
        del values[name]
    return method(**values)


def _decode(kind: str, data: bytes, pos: int, stop: int) -> tuple[Any, int]:
    if kind == "ShortStr":
        end = pos + 1 + data[pos]
        return data[pos + 1 : end].decode("utf-8", "surrogateescape"), end
    layout = _INTEGERS.get(kind)
    if layout is not None:
        return layout.unpack_from(data, pos)[0], pos + layout.size
    end = pos + 4 + _U32.unpack_from(data, pos)[0]
    if end > stop:
        raise ValueError(f"a {kind} runs past the end of its frame")
    if kind == "Table":
        return decode_table(data, pos + 4, end), end
    return data[pos + 4 : end].decode("utf-8", "surrogateescape"), end  # LongStr
