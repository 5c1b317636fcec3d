"""The fourteen properties of a message of class basic, packed and parsed by hand."""

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
_I64 = struct.Struct(">q").unpack_from

_CACHED: Final = 2048
"""How many strings and header tables a `PropertiesParser` remembers."""
_CACHED_SIZE: Final = 256
"""Bytes of the longest of them. Both together bound what strangers can make it hold."""

_DEADLINE: Final = b"\x08deadlinel"
_NUMBER: Final = b"\x01nl"
_METADATA: Final = b"\x08metadataF"

_K = TypeVar("_K")
_V = TypeVar("_V")
_Text = str | None
_Head = tuple[_Text, _Text]
_Item = tuple[_Text, _Text, tuple[Any, ...]]
_Tail = tuple[_Text, _Text, _Text, int | None, _Text, _Text, _Text, _Text]


class Properties(msgspec.Struct, frozen=True, gc=False):
    """A message's properties; None is a property that is absent.

    Text that is not UTF-8 is kept as surrogate escapes, so it is echoed unchanged.
    """

    content_type: str | None = None
    """The MIME type of the body."""
    content_encoding: str | None = None
    """How the body is encoded besides, such as "gzip"."""
    headers: dict[str, Any] | None = None
    """A field table. Messages share the values in it: copy one to change it."""
    delivery_mode: int | None = None
    """2 for a persistent message, 1 for a transient one."""
    priority: int | None = None
    """0 to 255, the higher the sooner."""
    correlation_id: str | None = None
    """Tells the sender which request a reply is for."""
    reply_to: str | None = None
    """The queue that replies go to."""
    expiration: str | None = None
    """Milliseconds that the message may wait in a queue, as decimal text."""
    message_id: str | None = None
    """Names the message."""
    timestamp: int | None = None
    """Seconds since 1970."""
    type: str | None = None
    """What kind of message it is."""
    user_id: str | None = None
    """Who sent it. RabbitMQ refuses any name but the sender's own."""
    app_id: str | None = None
    """The program that sent it."""
    cluster_id: str | None = None
    """Deprecated."""


def short_string(text: str) -> bytes:
    """A string of at most 255 bytes, with its length before it (section 4.2.5.3).

    :raises ValueError: if it is longer.
    """
    data = text.encode("utf-8", "surrogateescape")
    if len(data) > 255:
        raise ValueError(f"AMQP takes at most 255 bytes here, got {len(data)}: {text[:40]!r}...")
    return bytes((len(data),)) + data


def encode_properties(properties: Properties) -> bytes:
    """The property flags and values, as a content header frame has them.

    :raises ValueError: if a text is longer than 255 bytes, or a number does not fit.
    :raises TypeError: if AMQP has no type for a header's value.
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
            if not 0 <= value < 2**64:
                raise ValueError(f"a timestamp is a number of seconds since 1970, not {value}")
            return _U64.pack(value)
    if not isinstance(value, str):
        raise TypeError(f"AMQP takes a text here, not {value!r}")
    return short_string(value)


class PropertiesParser:
    """Reads properties, and remembers the strings and header tables that come again and again.

    The headers of Leveret's requests differ only in their last entry, `deadline`, a 64-bit number.
    So the parser looks up all that stands before it as one block, and unpacks only the deadline.
    The items of a stream differ only in their number.
    Messages share the values in such headers: copy one to change it.
    """

    def __init__(self) -> None:
        self._texts: dict[bytes, str] = {}
        self._blocks: dict[bytes, tuple[_Head, dict[str, Any]]] = {}
        self._heads: dict[bytes, _Head] = {}
        self._seen: set[int] = set()
        self._tails: dict[tuple[int, bytes], _Tail] = {}
        self._items: dict[tuple[bytes, bytes], _Item] = {}

    def text(self, data: bytes) -> str:
        """Decode a string that is likely to come again."""
        found = self._texts.get(data)
        if found is None:
            found = data.decode("utf-8", "surrogateescape")
            _remember(self._texts, data, found, len(data))
        return found

    def _with_headers(
        self, data: bytes, start: int, table: int, stop: int, flags: int
    ) -> tuple[_Head, dict[str, Any]]:
        """Read what stands before the headers, and the headers: data[table:stop]."""
        whole = data[start : stop - 8]
        known = self._blocks.get(whole)
        if known is not None:
            head, before = known
            return head, {**before, "deadline": _I64(data, stop - 8)[0]}
        end = stop - 18
        if not data.startswith(_DEADLINE, end) or end < table:
            return self._head_of(data, start, table, flags), decode_table(data, table, stop)
        deadline = _I64(data, stop - 8)[0]
        at = data.find(_METADATA, table, end)
        # Only if what stands before is a whole table are these the names of entries.
        try:
            if at < 0 or at + 14 + _U32(data, at + 10)[0] != end:
                head = self._head_of(data, start, table, flags)
                before = decode_table(data, table, end)
            else:
                front = data[start:at]
                known = self._blocks.get(front)
                if known is None:
                    head = self._head_of(data, start, table, flags)
                    known = (head, decode_table(data, table, at))
                    _remember(self._blocks, front, known, len(front))
                head, before = known
                metadata = decode_table(data, at + 14, end, 1)
                seen = hash(whole)  # those few that have the same hash do no harm
                if seen not in self._seen:  # metadata mostly differs in each message
                    if len(self._seen) >= _CACHED:
                        self._seen.clear()
                    self._seen.add(seen)
                    return head, {**before, "metadata": metadata, "deadline": deadline}
                before = {**before, "metadata": metadata}
        except (TableError, IndexError, struct.error):
            return self._head_of(data, start, table, flags), decode_table(data, table, stop)
        _remember(self._blocks, whole, (head, before), len(whole))
        return head, {**before, "deadline": deadline}

    def parse(self, data: bytes, pos: int, stop: int) -> Properties:  # noqa: C901 - the hot path
        """Read the properties in data[pos:stop], flags first.

        Most messages from one sender have the same bytes before the headers, and the same after the
        correlation id. The parser looks up each of the two as one block.

        :raises ValueError: if they do not end exactly at `stop`; :raises IndexError: likewise.
        """
        flags = data[pos] << 8 | data[pos + 1]
        start = pos
        pos += 2
        if flags & CONTENT_TYPE:
            pos += 1 + data[pos]
        if flags & CONTENT_ENCODING:
            pos += 1 + data[pos]
        headers = delivery_mode = priority = correlation_id = None
        if flags & HEADERS:
            end = pos + 4 + _U32(data, pos)[0]
            if end > stop:
                raise TableError("the header table runs past the end of its frame")
            if end - pos == 15 and data[pos + 4 : pos + 7] == _NUMBER:  # an item of a stream
                around = data[start:pos], data[end:stop]
                item = self._items.get(around) or self._item(around, flags)
                number = _I64(data, end - 8)[0]
                return Properties(item[0], item[1], {"n": number}, *item[2])
            head, headers = self._with_headers(data, start, pos + 4, end, flags)
            pos = end
        else:
            head = self._heads.get(data[start:pos]) or self._head(data[start:pos], flags)
        if flags & (DELIVERY_MODE | PRIORITY):
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
        tail = self._tails.get((flags, data[pos:stop]))
        if tail is None:
            if pos > stop:
                raise ValueError("the properties run past the end of their frame")
            tail = self._tail(data[pos:stop], flags)
        reply_to, expiration, message_id, timestamp, type_, user_id, app_id, cluster_id = tail
        return Properties(
            head[0],
            head[1],
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

    def _item(self, around: tuple[bytes, bytes], flags: int) -> _Item:
        """The properties of an item beside its headers, which are all of what its stream has.

        :param around: what stands before the headers, and after them.
        """
        before, after = around
        data = _U16.pack(flags & ~HEADERS) + before[2:] + after
        values = msgspec.structs.astuple(self.parse(data, 0, len(data)))
        item = (values[0], values[1], values[3:])
        _remember(self._items, around, item, len(data))
        return item

    def _head_of(self, data: bytes, start: int, table: int, flags: int) -> _Head:
        """What stands before the length of the headers, which are at `table`."""
        front = data[start : table - 4]
        return self._heads.get(front) or self._head(front, flags)

    def _head(self, data: bytes, flags: int) -> _Head:
        """Content type and encoding, the flags before them."""
        content_type = content_encoding = None
        pos = 2
        if flags & CONTENT_TYPE:
            content_type, pos = _text(data, pos)
        if flags & CONTENT_ENCODING:
            content_encoding, pos = _text(data, pos)
        if pos != len(data):
            raise ValueError("a property runs past the end of its frame")
        head = (content_type, content_encoding)
        _remember(self._heads, data, head, len(data))
        return head

    def _tail(self, data: bytes, flags: int) -> _Tail:
        """All from reply_to on."""
        if flags & _MORE_FLAGS:
            raise ValueError("property flags that AMQP 0-9-1 does not define")
        values: list[Any] = []
        pos = 0
        bit = REPLY_TO
        while bit >= CLUSTER_ID:
            value: str | int | None = None
            if flags & bit == 0:
                pass
            elif bit == TIMESTAMP:
                (value,) = _U64.unpack_from(data, pos)
                pos += 8
            else:
                value, pos = _text(data, pos)
            values.append(value)
            bit >>= 1
        if pos != len(data):
            raise ValueError("the properties do not end where their frame does")
        tail: _Tail = tuple(values)
        if not flags & (MESSAGE_ID | TIMESTAMP):  # which never come again
            _remember(self._tails, (flags, data), tail, len(data))
        return tail


def _text(data: bytes, pos: int) -> tuple[str, int]:
    end = pos + 1 + data[pos]
    if end > len(data):
        raise ValueError("a property runs past the end of its frame")
    return data[pos + 1 : end].decode("utf-8", "surrogateescape"), end


def _remember(cache: dict[_K, _V], key: _K, value: _V, size: int) -> None:
    if size <= _CACHED_SIZE:
        if len(cache) >= _CACHED:
            cache.clear()
        cache[key] = value
