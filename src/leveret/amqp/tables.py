"""Field tables (section 4.2.5.5), read strictly.

A message's headers come from strangers, so a length that does not fit, or an unknown type, is an
error. What a broker forwards without looking must not cost the connection, though: a string that
is not UTF-8 stays bytes, a time beyond the calendar stays a number, and what nests deeper than
`MAX_DEPTH` stays undecoded bytes.
"""

from __future__ import annotations

import struct
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

MAX_DEPTH: Final = 16
"""How deep tables and arrays may nest. What is deeper stays undecoded bytes."""

_OCTETS: Final = [bytes((number,)) for number in range(256)]
_LENGTH = struct.Struct(">I")
_FLOAT = struct.Struct(">f")
_U64 = struct.Struct(">Q")
_DECIMAL = struct.Struct(">Bi")
_INTEGERS: Final = (
    (-(2**7), 2**7 - 1, b"b", struct.Struct(">b")),
    (-(2**15), 2**15 - 1, b"s", struct.Struct(">h")),
    (0, 2**16 - 1, b"u", struct.Struct(">H")),
    (-(2**31), 2**31 - 1, b"I", struct.Struct(">i")),
    (0, 2**32 - 1, b"i", struct.Struct(">I")),
    (-(2**63), 2**63 - 1, b"l", struct.Struct(">q")),
)
"""The types that integers are written in, the smallest first: least, most, type octet, layout."""

_U32 = struct.Struct(">I").unpack_from
_I32 = struct.Struct(">i").unpack_from
_I64 = struct.Struct(">q").unpack_from

_FIXED: Final = {
    code[0]: (struct.Struct(layout).unpack_from, struct.calcsize(layout))
    for code, layout in {
        b"b": ">b",
        b"B": ">B",
        b"s": ">h",
        b"u": ">H",
        b"I": ">i",
        b"i": ">I",
        b"l": ">q",
        b"L": ">q",
        b"f": ">f",
        b"d": ">d",
    }.items()
}
"""Types of a fixed length, as RabbitMQ reads them (amqp-0-9-1-errata, section 3)."""


class TableError(ValueError):
    """A field table with a wrong length or an unknown type."""


def encode_table(table: dict[str, Any]) -> bytes:
    """A field table, its length before it.

    Entries are written in the order of their names, so equal tables are equal bytes. An integer
    is written in the smallest type that holds it, a float in four octets.

    :raises TypeError: if a value is of no type that a field table has, or does not fit in it, or
        a name is not a text or longer than 128 bytes.
    :raises ValueError: if a text is not Unicode.
    """
    try:
        return _encode_table(table)
    except (AttributeError, OverflowError, struct.error) as error:
        raise TypeError(f"a field table cannot hold this: {error}") from error


def _encode_table(table: dict[str, Any]) -> bytes:
    parts: list[bytes] = []
    for name, value in sorted(table.items()):
        data = name.encode()
        if len(data) > 128:
            raise TypeError(f"a field's name has at most 128 bytes: {name[:40]!r}...")
        if type(value) is str:  # as in metadata, which may differ from call to call
            text = value.encode()
            parts += (_OCTETS[len(data)], data, b"S", _LENGTH.pack(len(text)), text)
        else:
            parts += (_OCTETS[len(data)], data, _encode_value(value))
    entries = b"".join(parts)
    return _LENGTH.pack(len(entries)) + entries


def _encode_value(value: Any) -> bytes:  # noqa: C901, PLR0911 - a type, a case
    match value:
        case bool():
            return b"t\x01" if value else b"t\x00"
        case str():
            return _counted(b"S", value.encode())
        case int():
            return _encode_integer(value)
        case None:
            return b"V"
        case dict():
            return b"F" + _encode_table(value)
        case list():
            return _counted(b"A", b"".join(map(_encode_value, value)))
        case float():
            return b"f" + _FLOAT.pack(value)
        case bytearray():
            return _counted(b"x", value)
        case datetime():
            zone = value.tzinfo or UTC
            return b"T" + _U64.pack(int(value.replace(tzinfo=zone).timestamp()))
        case Decimal():
            return b"D" + _encode_decimal(value)
    raise TypeError(f"a field table has no type for {value!r}")


def _counted(kind: bytes, data: bytes | bytearray) -> bytes:
    return kind + _LENGTH.pack(len(data)) + data


def _encode_integer(value: int) -> bytes:
    for least, most, kind, layout in _INTEGERS:
        if least <= value <= most:
            return kind + layout.pack(value)
    raise TypeError(f"a field table has no type for {value}: it has more than 64 bits")


def _encode_decimal(value: Decimal) -> bytes:
    """The scale, then the digits as a number (section 4.2.5.5)."""
    exponent = value.as_tuple().exponent
    if not isinstance(exponent, int):
        raise TypeError(f"a field table has no type for {value}")
    scale = max(0, -exponent)
    return _DECIMAL.pack(scale, int(value.scaleb(scale)))


def decode_table(data: bytes, start: int, stop: int, depth: int = 0) -> dict[str, Any]:
    """The table whose entries are data[start:stop]. The caller has read the length before them.

    :param depth: in how many other tables and arrays it lies.
    :raises TableError: if the entries do not end exactly at `stop`, or one is of an unknown type.
    """
    pos = start
    table: dict[str, Any] = {}
    while pos < stop:
        name_end = pos + 1 + data[pos]
        if name_end >= stop:
            raise TableError("a field's name runs past the end of its table")
        name = data[pos + 1 : name_end].decode("utf-8", "surrogateescape")
        if data[name_end] == 0x53 and name_end + 5 <= stop:  # text, without a detour: most are
            start = name_end + 5
            pos = start + _U32(data, name_end + 1)[0]
            if pos > stop:
                raise _too_long()
            try:
                table[name] = data[start:pos].decode()
            except UnicodeDecodeError:
                table[name] = data[start:pos]
        else:
            table[name], pos = _value(data, name_end, stop, depth)
    return table


def _array(data: bytes, pos: int, stop: int, depth: int) -> list[Any]:
    array = []
    while pos < stop:
        value, pos = _value(data, pos, stop, depth)
        array.append(value)
    return array


def _value(data: bytes, pos: int, stop: int, depth: int) -> tuple[Any, int]:
    """The value at `pos`, its type octet first, and the position after it."""
    kind = data[pos]
    pos += 1
    if kind in _FIXED:
        unpack, size = _FIXED[kind]
        _fits(pos + size, stop)
        return unpack(data, pos)[0], pos + size
    match kind:
        case 0x53 | 0x78 | 0x41 | 0x46:  # S, x, A, F: a length of 4 octets comes first
            _fits(pos + 4, stop)
            start = pos + 4
            end = start + _U32(data, pos)[0]
            _fits(end, stop)
            return _sized(kind, data, start, end, depth), end
        case 0x74:  # t
            _fits(pos + 1, stop)
            return data[pos] != 0, pos + 1
        case 0x54:  # T
            _fits(pos + 8, stop)
            return _timestamp(_I64(data, pos)[0]), pos + 8
        case 0x44:  # D
            _fits(pos + 5, stop)
            return Decimal(_I32(data, pos + 1)[0]).scaleb(-data[pos]), pos + 5
        case 0x56 | 0x00:  # V
            return None, pos
    raise TableError(f"a field of the unknown type {kind:#04x}")


def _sized(kind: int, data: bytes, start: int, end: int, depth: int) -> Any:
    if kind == 0x53:
        try:
            return data[start:end].decode()
        except UnicodeDecodeError:
            return data[start:end]
    if kind == 0x78:
        return bytearray(data[start:end])
    if depth + 1 >= MAX_DEPTH:
        return data[start:end]
    read = _array if kind == 0x41 else decode_table
    return read(data, start, end, depth + 1)


def _timestamp(seconds: int) -> datetime | int:
    try:
        return datetime.fromtimestamp(seconds, tz=UTC)
    except (ValueError, OverflowError, OSError):
        return seconds


def _fits(end: int, stop: int) -> None:
    if end > stop:
        raise _too_long()


def _too_long() -> TableError:
    return TableError("a field's value runs past the end of its table")
