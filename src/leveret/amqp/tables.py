"""Field tables (section 4.2.5.5): strict when read, pamqp's when written.

A message's headers come from strangers, so a length that does not fit, or an unknown type, is an
error here, where pamqp lets some through. What a broker forwards without looking must not cost the
connection, though: a string that is no UTF-8 stays bytes, a time beyond the calendar stays a
number, and what nests deeper than `MAX_DEPTH` stays undecoded bytes.
"""

from __future__ import annotations

import struct
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

import pamqp.encode

MAX_DEPTH: Final = 16
"""How deep tables and arrays may nest before they are left as bytes."""

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
"""Types of a fixed length, RabbitMQ's reading of them (amqp-0-9-1-errata, section 3)."""


class TableError(ValueError):
    """A field table whose lengths or types do not hold together."""


def encode_table(table: dict[str, Any]) -> bytes:
    """A field table with its length, as AMQP writes it.

    :raises TypeError: if a value is of no type that a field table knows, or does not fit in it, or
        a name is no text or longer than 128 bytes.
    """
    try:
        _check_names(table)
        return pamqp.encode.field_table(table)
    except (AttributeError, OverflowError, struct.error) as error:
        raise TypeError(f"a field table cannot hold this: {error}") from error


def _check_names(table: dict[str, Any]) -> None:
    for name, value in table.items():
        if len(name.encode()) > 128:  # pamqp would cut it, and only warn
            raise TypeError(f"a field's name has at most 128 bytes: {name[:40]!r}...")
        if isinstance(value, dict):
            _check_names(value)


def decode_table(data: bytes, start: int, stop: int) -> dict[str, Any]:
    """The table whose entries lie in data[start:stop] (its length before them already read).

    :raises TableError: if the entries do not end exactly at `stop`, or one is of an unknown type.
    """
    return _table(data, start, stop, 0)


def _table(data: bytes, pos: int, stop: int, depth: int) -> dict[str, Any]:
    table: dict[str, Any] = {}
    while pos < stop:
        name_end = pos + 1 + data[pos]
        if name_end >= stop:
            raise TableError("a field's name runs past the end of its table")
        name = data[pos + 1 : name_end].decode("utf-8", "surrogateescape")
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
    read = _array if kind == 0x41 else _table
    return read(data, start, end, depth + 1)


def _timestamp(seconds: int) -> datetime | int:
    try:
        return datetime.fromtimestamp(seconds, tz=UTC)
    except (ValueError, OverflowError, OSError):
        return seconds


def _fits(end: int, stop: int) -> None:
    if end > stop:
        raise TableError("a field's value runs past the end of its table")
