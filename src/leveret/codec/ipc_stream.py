"""Looks at a stream of Arrow's IPC format before pyarrow reads it.

pyarrow reads a stream without copying what is in it, but for two things: it makes room for as many
bytes as a compressed buffer says that it holds, and converts what is big-endian. And a column of
nulls has as many values as it says, without a byte for any. So a small stream could take all
memory. What is looked at here are the messages' heads, which are flatbuffers
(https://arrow.apache.org/docs/format/Columnar.html#encapsulated-message-format).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

__all__ = ["check_stream"]

_SCHEMA: Final = 1
_DICTIONARY_BATCH: Final = 2
_RECORD_BATCH: Final = 3
_CONTINUATION: Final = 0xFFFFFFFF
_VALUES: Final = 32
"""So many values may a stream have for each of its bytes: 8 bits, in structs inside structs."""
_WEIGHTLESS: Final = 1_048_576
"""And so many besides: nulls take no bytes."""

_BYTE = struct.Struct("<B")
_NUMBER = struct.Struct("<I")
_OFFSET = struct.Struct("<i")
_SHORT = struct.Struct("<H")
_LONG = struct.Struct("<q")


def check_stream(stream: memoryview) -> None:
    """Check that reading a stream takes no more memory than it has itself, by and large.

    :raises ValueError: if it is compressed, big-endian, or says that it has more values than its
        bytes can mean; or if it does not end where it says.
    """
    values = 0
    try:
        for head in _heads(stream):
            values += _values(head)
            if values > _VALUES * len(stream) + _WEIGHTLESS:
                raise ValueError(
                    f"it says that it has {values:,} values or more, in {len(stream):,} bytes"
                )
    except struct.error as error:
        raise ValueError("it is damaged") from error


def _heads(stream: memoryview) -> Iterator[memoryview]:
    """Yield the head of each message, up to the end of the stream."""
    at = 0
    while True:
        mark, size = struct.unpack_from("<II", stream, at)
        at += 8
        if mark != _CONTINUATION:
            raise ValueError("it is no stream of Arrow's IPC format, version 1.0")
        if size == 0:
            break
        head = stream[at : at + size]
        yield head
        at += size + _body_length(head)
    if at != len(stream):
        raise ValueError(f"it ends after {at} bytes, and has {len(stream)}")


def _body_length(head: memoryview) -> int:
    at = _field(head, _table(head, 0), 3)
    length = _at(_LONG, head, at) if at else 0
    if length < 0:
        raise ValueError("it is damaged")
    return length


def _values(head: memoryview) -> int:
    """How many values a message says that it has, in all columns and in what is inside them."""
    message = _table(head, 0)
    kind, header = _field(head, message, 1), _field(head, message, 2)
    kind = _at(_BYTE, head, kind) if kind else 0
    if not header:
        return 0
    table = _table(head, header)
    if kind == _SCHEMA:
        endianness = _field(head, table, 0)
        if endianness and _at(_SHORT, head, endianness):
            raise ValueError("it is big-endian; it must be sent little-endian")
        return 0
    if kind == _DICTIONARY_BATCH:
        data = _field(head, table, 1)
        return _values_of_batch(head, _table(head, data)) if data else 0
    return _values_of_batch(head, table) if kind == _RECORD_BATCH else 0


def _values_of_batch(head: memoryview, batch: int) -> int:
    if _field(head, batch, 3):
        raise ValueError("its buffers are compressed; they must be sent as they are")
    # How many buffers each column of views has: pyarrow 17 ends the process if that is too many.
    if sum(map(abs, _longs(head, batch, 4, 8))) > sum(1 for _ in _longs(head, batch, 2, 16)):
        raise ValueError("it is damaged")
    return sum(map(abs, _longs(head, batch, 1, 16)))


def _longs(head: memoryview, table: int, field: int, size: int) -> Iterator[int]:
    """Yield the number that each item of a vector begins with.

    :param size: bytes of an item.
    """
    vector = _field(head, table, field)
    if vector:
        start = vector + _at(_NUMBER, head, vector)
        for item in range(_at(_NUMBER, head, start)):
            yield _at(_LONG, head, start + 4 + size * item)


# -- flatbuffers (https://flatbuffers.dev/internals) ---------------------------------------------


def _table(head: memoryview, at: int) -> int:
    """Where the table is that a reference at `at` leads to."""
    return at + _at(_NUMBER, head, at)


def _field(head: memoryview, table: int, number: int) -> int:
    """Where a field of a table is; 0 if it is left out."""
    entries = table - _at(_OFFSET, head, table)
    slot = 4 + 2 * number
    if slot + 2 > _at(_SHORT, head, entries):
        return 0
    offset = _at(_SHORT, head, entries + slot)
    return table + offset if offset else 0


def _at(form: struct.Struct, head: memoryview, at: int) -> int:
    """The number at `at`; `struct` would count from the end where that is negative."""
    if at < 0:
        raise ValueError("it is damaged")
    number: int = form.unpack_from(head, at)[0]
    return number
