"""The fourteen properties of a message (section 2.3.5, class basic), packed and parsed by hand."""

from __future__ import annotations

import struct
from typing import Any, Final, TypeVar

import msgspec

from leveret.amqp.tables import TableError, decode_table, encode_table

CONTENT_TYPE: Final = 0x8000
CONTENT_ENCODING: Final = 0x4000
HEADERS: Final = 0x2000
DELIVERY_MODE: Final = 0x1000
PRIORITY: Final = 0x0800
CORRELATION_ID: Final = 0x0400
REPLY_TO: Final = 0x0200
EXPIRATION: Final = 0x0100
MESSAGE_ID: Final = 0x0080
TIMESTAMP: Final = 0x0040
TYPE: Final = 0x0020
USER_ID: Final = 0x0010
APP_ID: Final = 0x0008
CLUSTER_ID: Final = 0x0004
_MORE_FLAGS: Final = 0x0003

_U16 = struct.Struct(">H")
_U32 = struct.Struct(">I").unpack_from
_U64 = struct.Struct(">Q")

_CACHED: Final = 2048
"""How many strings and header tables a `PropertiesParser` remembers, and ..."""
_CACHED_SIZE: Final = 256
"""... how long one may be, in bytes: together the bound on what strangers can make it hold."""

_DEADLINE: Final = b"\x08deadlinel"

_V = TypeVar("_V")


class Properties(msgspec.Struct, frozen=True, gc=False):
    """A message's properties; None is a property that is absent.

    `timestamp` is in seconds since 1970, `expiration` a decimal number of milliseconds as text, as
    AMQP has them. Text that is no UTF-8 survives as surrogate escapes, so it is echoed unchanged.
    """

    content_type: str | None = None
    content_encoding: str | None = None
    headers: dict[str, Any] | None = None
    delivery_mode: int | None = None
    priority: int | None = None
    correlation_id: str | None = None
    reply_to: str | None = None
    expiration: str | None = None
    message_id: str | None = None
    timestamp: int | None = None
    type: str | None = None
    user_id: str | None = None
    app_id: str | None = None
    cluster_id: str | None = None


def short_string(text: str) -> bytes:
    """A string of at most 255 bytes, its length before it (section 4.2.5.3).

    :raises ValueError: if it is longer.
    """
    data = text.encode("utf-8", "surrogateescape")
    if len(data) > 255:
        raise ValueError(f"AMQP takes at most 255 bytes here, got {len(data)}: {text[:40]!r}...")
    return bytes((len(data),)) + data


def encode_properties(properties: Properties) -> bytes:
    """The property flags and values, as they stand in a content header frame.

    :raises ValueError: if a text is longer than 255 bytes.
    :raises TypeError: if a header's value is of no type that AMQP knows.
    """
    flags = 0
    parts = [b"\x00\x00"]
    bit = CONTENT_TYPE
    for name in Properties.__struct_fields__:
        value = getattr(properties, name)
        if value is not None:
            flags |= bit
            parts.append(_encode(bit, value))
        bit >>= 1
    parts[0] = _U16.pack(flags)
    return b"".join(parts)


def _encode(bit: int, value: Any) -> bytes:
    match bit:
        case 0x2000:
            return encode_table(value)
        case 0x1000 | 0x0800:
            return bytes((value,))
        case 0x0040:
            return _U64.pack(value)
    return short_string(value)


class PropertiesParser:
    """Reads properties; remembers the strings and header tables that come again and again.

    A Leveret request carries headers that differ only in their last entry, `deadline`, a 64-bit
    number: what stands before it is looked up whole, and the deadline is one unpack.
    """

    def __init__(self) -> None:
        self._texts: dict[bytes, str] = {}
        self._tables: dict[bytes, dict[str, Any]] = {}

    def text(self, data: bytes) -> str:
        """A string that is likely to come again."""
        found = self._texts.get(data)
        if found is None:
            found = data.decode("utf-8", "surrogateescape")
            _remember(self._texts, data, found)
        return found

    def table(self, data: bytes) -> dict[str, Any]:
        """The table with these entries; the caller owns the dict.

        :raises TableError: if they do not hold together.
        """
        if data[-17:-8] == _DEADLINE:
            # Only if what stands before is a whole table is this the name of an entry.
            before = self._tables.get(data[:-17])
            if before is not None:
                return {**before, "deadline": int.from_bytes(data[-8:], "big", signed=True)}
            try:
                before = decode_table(data, 0, len(data) - 17)
            except (TableError, IndexError):
                return decode_table(data, 0, len(data))
            _remember(self._tables, data[:-17], before)
        return decode_table(data, 0, len(data))

    def parse(self, data: bytes, pos: int, stop: int) -> Properties:
        """The properties in data[pos:stop], flags first.

        :raises ValueError: if they do not end exactly at `stop`; :raises IndexError: likewise.
        """
        flags = data[pos] << 8 | data[pos + 1]
        pos += 2
        text = self.text
        content_type = content_encoding = headers = delivery_mode = priority = None
        correlation_id = reply_to = expiration = message_id = timestamp = None
        type_ = user_id = app_id = cluster_id = None
        if flags & CONTENT_TYPE:
            end = pos + 1 + data[pos]
            content_type = text(data[pos + 1 : end])
            pos = end
        if flags & CONTENT_ENCODING:
            end = pos + 1 + data[pos]
            content_encoding = text(data[pos + 1 : end])
            pos = end
        if flags & HEADERS:
            end = pos + 4 + _U32(data, pos)[0]
            if end > stop:
                raise TableError("the header table runs past the end of its frame")
            headers = self.table(data[pos + 4 : end])
            pos = end
        if flags & DELIVERY_MODE:
            delivery_mode = data[pos]
            pos += 1
        if flags & PRIORITY:
            priority = data[pos]
            pos += 1
        if flags & CORRELATION_ID:
            end = pos + 1 + data[pos]
            correlation_id = data[pos + 1 : end].decode("utf-8", "surrogateescape")
            pos = end
        if flags & REPLY_TO:
            end = pos + 1 + data[pos]
            reply_to = text(data[pos + 1 : end])
            pos = end
        if flags & EXPIRATION:
            end = pos + 1 + data[pos]
            expiration = text(data[pos + 1 : end])
            pos = end
        if flags & TYPE and not flags & (MESSAGE_ID | TIMESTAMP):
            end = pos + 1 + data[pos]
            type_ = text(data[pos + 1 : end])
            pos = end
            flags &= ~TYPE
        if flags & 0x00FF:
            if flags & MESSAGE_ID:
                end = pos + 1 + data[pos]
                message_id = data[pos + 1 : end].decode("utf-8", "surrogateescape")
                pos = end
            if flags & TIMESTAMP:
                timestamp = _U64.unpack_from(data, pos)[0]
                pos += 8
            if flags & TYPE:
                end = pos + 1 + data[pos]
                type_ = text(data[pos + 1 : end])
                pos = end
            if flags & USER_ID:
                end = pos + 1 + data[pos]
                user_id = text(data[pos + 1 : end])
                pos = end
            if flags & APP_ID:
                end = pos + 1 + data[pos]
                app_id = text(data[pos + 1 : end])
                pos = end
            if flags & CLUSTER_ID:
                end = pos + 1 + data[pos]
                cluster_id = text(data[pos + 1 : end])
                pos = end
            if flags & _MORE_FLAGS:
                raise ValueError("property flags that AMQP 0-9-1 does not define")
        if pos != stop:
            raise ValueError("the properties do not end where their frame does")
        return Properties(
            content_type,
            content_encoding,
            headers,
            delivery_mode,
            priority,
            correlation_id,
            reply_to,
            expiration,
            message_id,
            timestamp,
            type_,
            user_id,
            app_id,
            cluster_id,
        )


def _remember(cache: dict[bytes, _V], key: bytes, value: _V) -> None:
    if len(key) <= _CACHED_SIZE:
        if len(cache) >= _CACHED:
            cache.clear()
        cache[key] = value
