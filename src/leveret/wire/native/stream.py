"""What a server sends of a call that streams, and what comes to it of an upload.

Of an item all is the same as of the one before but its number and its body. So the frames before
the body are one `struct`, as those of results.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import Any

from leveret.amqp.codes import BASIC
from leveret.amqp.events import Delivery
from leveret.amqp.frames import (
    FRAME_OVERHEAD,
    SMALL_BODY,
    Frames,
    content_frames,
    in_parts,
    publish_prefix,
    with_body,
)
from leveret.amqp.properties import (
    CONTENT_TYPE,
    CORRELATION_ID,
    HEADERS,
    REPLY_TO,
    TYPE,
    Properties,
    encode_properties,
    short_string,
)
from leveret.body_parts import Body, BodyParts
from leveret.errors import CallError
from leveret.streaming import Credit
from leveret.wire.dialect import Metadata
from leveret.wire.failures import ERROR_CONTENT_TYPE, encode_failure
from leveret.wire.message import Incoming, ReplyAddress, UploadMessage
from leveret.wire.native.headers import (
    AGAIN,
    BYTES,
    CURSOR,
    GOT,
    METADATA,
    MOVED,
    NUMBER,
    UPTO,
    number_of,
    problem_of,
)
from leveret.wire.native.names import CREDIT, END, ERROR, ITEM, ITEMS, PROGRESS

LONGEST_CURSOR = 255
"""Bytes of the longest cursor."""

_Layout = tuple[Callable[..., bytes], bytes, bytes, bytes]
"""Packs the frames of one kind of message before its body, and what is the same in all of them."""

_HEADER = struct.Struct(">BHIHH").pack
_U16 = struct.Struct(">H").pack
_NUMBER_TABLE = b"\x00\x00\x00\x0b\x01nl"
"""A table with `n` alone, before its eight bytes."""


class StreamPacker:
    """Packs what the server sends of one call; see `wire.dialect.StreamPacker`.

    :param sender: "service.instance".
    :raises ValueError: if the request has no reply address, or no call id.
    """

    def __init__(
        self, channel: int, frame_max: int, call: Incoming, sender: str, content_type: str
    ) -> None:
        reply_to = call.reply_to
        if reply_to is None or not call.call_id:
            raise ValueError("a call that streams needs a reply address and a call id")
        self._channel = channel
        self._frame_max = frame_max
        self._call_id = call.call_id
        self._sender = sender
        self._content_type = content_type
        self._publish = publish_prefix(channel, reply_to.exchange, reply_to.key, mandatory=True)
        self._room = (frame_max or 1 << 62) - FRAME_OVERHEAD
        self._small = min(self._room, SMALL_BODY)
        call_id = call.call_id.encode("utf-8", "surrogateescape")
        flags = CONTENT_TYPE | HEADERS | CORRELATION_ID | REPLY_TO | TYPE
        self._head = _U16(flags) + short_string(content_type) + _NUMBER_TABLE
        ids = bytes((len(call_id),)) + call_id + short_string(sender)
        self._item = self._lay_out(ids + short_string(ITEM))
        self._items = self._lay_out(ids + short_string(ITEMS))

    def _lay_out(self, after: bytes) -> _Layout:
        """What packs a kind of message with a number and a body.

        :param after: what follows the headers.
        """
        head = self._head
        size = 12 + len(head) + 8 + len(after)
        start = self._publish + _HEADER(2, self._channel, size, BASIC, 0)
        pack = struct.Struct(f">{len(start)}sQ{len(head)}sq{len(after) + 1}sBHI").pack
        return pack, start, head, after + b"\xce"

    def item(self, number: int, body: Body, cursor: str = "") -> bytes:
        """The frames of one item."""
        if cursor:
            if len(cursor.encode()) > LONGEST_CURSOR:
                raise ValueError(f"a cursor has at most {LONGEST_CURSOR} bytes: {cursor[:40]!r}...")
            return self._message(ITEM, body, self._content_type, {CURSOR: cursor}, number)
        size = len(body)
        pack, start, head, after = self._item
        frames = pack(start, size, head, number, after, 3, self._channel, size)
        if 0 < size <= self._small:  # an empty body has no frame of its own
            return frames + body + b"\xce"
        return with_body(frames[:-7], self._channel, body, self._room)

    def items(self, first: int, bodies: Sequence[bytes]) -> Frames:
        """The frames of several items."""
        sizes = struct.pack(f">{len(bodies) + 1}I", len(bodies), *map(len, bodies))
        body = BodyParts((sizes, *bodies))
        size = len(body)
        pack, start, head, after = self._items
        frames = pack(start, size, head, first, after, 3, self._channel, size)
        return in_parts(frames[:-7], self._channel, body, self._room)

    def end(self, count: int, metadata: Metadata | None = None, *, moved: bool = False) -> bytes:
        """The frames of the end."""
        headers: dict[str, Any] = {MOVED: True} if moved else {}
        return self._message(END, b"", self._content_type, headers, count, metadata)

    def error(self, count: int, error: CallError, metadata: Metadata | None = None) -> bytes:
        """The frames of an error."""
        body = encode_failure(error)
        return self._message(ERROR, body, ERROR_CONTENT_TYPE, {}, count, metadata)

    def progress(self, number: int) -> bytes:
        """The frames of a sign of life."""
        return self._message(PROGRESS, b"", ERROR_CONTENT_TYPE, {}, number)

    def credit(self, credit: Credit) -> bytes:
        """The frames of a credit."""
        headers: dict[str, Any] = {GOT: credit.got, UPTO: credit.upto, BYTES: credit.size}
        if credit.again:
            headers[AGAIN] = True
        return self._message(CREDIT, b"", ERROR_CONTENT_TYPE, headers)

    def _message(
        self,
        kind: str,
        body: Body,
        content_type: str,
        headers: dict[str, Any],
        number: int | None = None,
        metadata: Metadata | None = None,
    ) -> bytes:
        if number is not None:
            headers[NUMBER] = number
        if metadata:
            if not all(isinstance(text, str) for pair in metadata.items() for text in pair):
                raise TypeError(f"metadata must map text to text; got {metadata!r}")
            headers[METADATA] = dict(metadata)
        packed = encode_properties(
            Properties(
                content_type=content_type,
                correlation_id=self._call_id,
                reply_to=self._sender,
                type=kind,
                headers=headers,
            )
        )
        if self._frame_max and len(packed) + 12 + FRAME_OVERHEAD > self._frame_max:
            raise ValueError(
                f"metadata must fit into one frame of {self._frame_max} bytes with the rest"
            )
        return self._publish + content_frames(self._channel, packed, body, self._frame_max)


def read_upload(delivery: Delivery) -> UploadMessage | None:
    """A message of an upload; None for one that can be of none."""
    properties = delivery.properties
    number = number_of(properties.headers)
    call_id, reply_to = properties.correlation_id, properties.reply_to
    if (
        properties.type not in (ITEM, END, PROGRESS)
        or number is None
        or not call_id
        or not reply_to
    ):
        return None
    encoding = properties.content_encoding
    return UploadMessage(
        key=(ReplyAddress(exchange="", key=reply_to), call_id),
        number=number,
        is_end=properties.type == END,
        is_sign=properties.type == PROGRESS,
        user=properties.user_id or "",
        content_type=properties.content_type,
        body=delivery.body,
        body_size=delivery.body_size,
        problem="" if encoding is None else problem_of(encoding),
    )
