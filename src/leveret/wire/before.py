"""What client and server still use of the time before dialects; it goes with its last user."""

from __future__ import annotations

import struct
from typing import Any, Final

from msgspec import structs

from leveret.amqp.codes import BASIC
from leveret.amqp.events import Delivery
from leveret.amqp.frames import FRAME_OVERHEAD, content_frames, publish_prefix
from leveret.amqp.properties import (
    APP_ID,
    CONTENT_TYPE,
    CORRELATION_ID,
    EXPIRATION,
    HEADERS,
    PRIORITY,
    REPLY_TO,
    TYPE,
    USER_ID,
    Properties,
    encode_properties,
    short_string,
)
from leveret.amqp.tables import encode_table
from leveret.wire.native.headers import HANDED_BACK, ON_BEHALF_OF, RESENT
from leveret.wire.native.names import CALL, EXCHANGE
from leveret.wire.timing import REPLY_QUEUE_LIVES

REPLY_QUEUE_EXPIRES: Final = int(REPLY_QUEUE_LIVES * 1000)
PLAIN_ENCODINGS: Final = frozenset({"", "identity", "utf-8", "utf8", "us-ascii", "binary"})
"""What some libraries put into `content_encoding` though the body is as it is."""

IF_BUSY_FAIL: Final = 0
"""The expiration of a request that is to bounce unless a server takes it this moment."""

_HEADER = struct.Struct(">BHIHH").pack
_BODY = struct.Struct(">BHI").pack
_U16 = struct.Struct(">H").pack
_U32 = struct.Struct(">I").pack


def is_compressed(content_encoding: str | None) -> bool:
    """Whether a body is not as it is: Leveret compresses nothing, and decompresses nothing."""
    return content_encoding is not None and content_encoding.lower() not in PLAIN_ENCODINGS


class RequestTemplate:
    """Packs the requests of one method.

    Call id and expiration have the same length in one request after the other, so the frames
    before the body are one `struct`, laid out anew only when a length or the expiration changes.

    :param key: "service.method", the routing key.
    :param headers: what stands before `deadline` among the headers, beside `CC`.
    :param user_id: the user that this connection logged in as; RabbitMQ refuses any other
        (https://www.rabbitmq.com/docs/validated-user-id). "" for none.
    :raises ValueError: if the headers do not fit into a frame.
    """

    def __init__(
        self,
        *,
        channel: int,
        frame_max: int,
        key: str,
        content_type: str,
        reply_queue: str,
        app_id: str = "",
        user_id: str = "",
        priority: int | None = None,
        headers: dict[str, Any] | None = None,
    ) -> None:
        self._channel = channel
        self._room = (frame_max or 1 << 62) - FRAME_OVERHEAD
        self._publish = publish_prefix(channel, EXCHANGE, key, mandatory=True)
        table = encode_table({"CC": [reply_queue], **(headers or {})})[4:] + b"\x08deadlinel"
        flags = CONTENT_TYPE | HEADERS | CORRELATION_ID | REPLY_TO | EXPIRATION | TYPE
        self._priority = b""
        if priority is not None:
            flags |= PRIORITY
            self._priority = bytes((priority,))
        self._after = short_string(CALL)
        if user_id:
            flags |= USER_ID
            self._after += short_string(user_id)
        if app_id:
            flags |= APP_ID
            self._after += short_string(app_id)
        self._head = _U16(flags) + short_string(content_type) + _U32(len(table) + 8) + table
        self._reply_to = short_string(reply_queue)
        # A request that bounces comes back with x-death added, which names key and queues again;
        # one that was handed back before also has its user once more.
        bounce = 1024 + 4 * (len(key) + len(reply_queue)) + len(user_id)
        if len(self._head) + len(self._reply_to) + len(self._after) + bounce > self._room:
            raise ValueError(f"metadata must fit into one frame of {frame_max} bytes with the rest")
        self._expiration = self._id_size = -1

    def pack(self, call_id: bytes, deadline: int, expiration: int, body: bytes, /) -> bytes:
        """The frames of one request.

        :param deadline: milliseconds since 1970; :param expiration: milliseconds from now.
        """
        if expiration != self._expiration or len(call_id) != self._id_size:
            self._lay_out(expiration, len(call_id))
        size = len(body)
        start, middle, end = self._constant
        frames = self._pack(
            start, size, middle, deadline, self._between, call_id, end, 3, self._channel, size
        )
        if 0 < size <= self._room:  # an empty body has no frame of its own
            return frames + body + b"\xce"
        return frames[:-7] + _body_frames(self._channel, body, self._room)

    def _lay_out(self, expiration: int, id_size: int) -> None:
        self._expiration, self._id_size = expiration, id_size
        between = self._priority + bytes((id_size,))
        end = self._reply_to + short_string(str(expiration)) + self._after
        size = 12 + len(self._head) + 8 + len(between) + id_size + len(end)
        start = self._publish + _HEADER(2, self._channel, size, BASIC, 0)
        self._between = between
        self._constant = (start, self._head, end + b"\xce")
        self._pack = struct.Struct(
            f">{len(start)}sQ{len(self._head)}sq{len(between)}s{id_size}s{len(end) + 1}sBHI"
        ).pack


class ReplyTemplate:
    """Packs the replies to one reply queue with one type and content type, as above."""

    def __init__(
        self, *, channel: int, frame_max: int, reply_to: str, content_type: str, kind: str
    ) -> None:
        self._channel = channel
        self._room = (frame_max or 1 << 62) - FRAME_OVERHEAD
        self._publish = publish_prefix(channel, "", reply_to)
        self._head = _U16(CONTENT_TYPE | CORRELATION_ID | TYPE) + short_string(content_type)
        self._after = short_string(kind) + b"\xce"
        self._id_size = -1

    def pack(self, call_id: bytes, body: bytes) -> bytes:
        """The frames of one reply."""
        if len(call_id) != self._id_size:
            self._lay_out(len(call_id))
        size = len(body)
        frames = self._pack(
            self._start, size, self._middle, call_id, self._after, 3, self._channel, size
        )
        if 0 < size <= self._room:  # an empty body has no frame of its own
            return frames + body + b"\xce"
        return frames[:-7] + _body_frames(self._channel, body, self._room)

    def _lay_out(self, id_size: int) -> None:
        self._id_size = id_size
        self._middle = self._head + bytes((id_size,))
        size = 12 + len(self._middle) + id_size + len(self._after) - 1
        self._start = self._publish + _HEADER(2, self._channel, size, BASIC, 0)
        self._pack = struct.Struct(
            f">{len(self._start)}sQ{len(self._middle)}s{id_size}s{len(self._after)}sBHI"
        ).pack


def _body_frames(channel: int, body: bytes, room: int) -> bytes:
    parts: list[bytes] = []
    for start in range(0, len(body), room):
        chunk = body[start : start + room]
        parts += (_BODY(3, channel, len(chunk)), chunk, b"\xce")
    return b"".join(parts)


def pack_reply(
    channel: int,
    frame_max: int,
    reply_to: str,
    correlation_id: str | None,
    body: bytes,
    *,
    content_type: str,
    kind: str,
    metadata: dict[str, str] | None = None,
    answer_to: str | None = None,
) -> bytes:
    """One reply that is out of the ordinary: an error, a result with metadata, a question.

    :raises TypeError: if the metadata does not map text to text.
    :raises ValueError: if it does not fit into a frame, or is no Unicode.
    """
    if metadata and not all(isinstance(text, str) for pair in metadata.items() for text in pair):
        raise TypeError(f"metadata must map text to text; got {metadata!r}")
    properties = encode_properties(
        Properties(
            content_type=content_type,
            correlation_id=correlation_id,
            type=kind,
            reply_to=answer_to,
            headers={"metadata": metadata} if metadata else None,
        )
    )
    if frame_max and len(properties) + 12 + FRAME_OVERHEAD > frame_max:
        raise ValueError(f"metadata must fit into one frame of {frame_max} bytes with the rest")
    return publish_prefix(channel, "", reply_to) + content_frames(
        channel, properties, body, frame_max
    )


def on_behalf_of(properties: Properties, user: str, own_user: str) -> Properties:
    """The properties of a request that a server publishes anew for `user`, as `own_user`.

    RabbitMQ lets nobody send another's `user_id`. So the copy carries the server's own, and a
    header says whose request it is; where nobody knows either of them, the copy says nothing.
    """
    headers = {k: v for k, v in (properties.headers or {}).items() if k != ON_BEHALF_OF}
    if user and own_user and user != own_user:
        # First: a request's last header is its deadline, by which it is read fast.
        headers = {ON_BEHALF_OF: user, **headers}
    return structs.replace(
        properties, headers=headers or None, user_id=own_user if user and own_user else None
    )


def marked_as_handed_back(properties: Properties, *, has_original: bool) -> Properties:
    """The properties of a copy of a request.

    :param has_original: whether the server keeps the original until the broker has the copy.
    """
    headers = dict(properties.headers or {})
    headers.pop(HANDED_BACK, None)
    if has_original:
        headers = {HANDED_BACK: True, **headers}  # the deadline stays the last
    return structs.replace(properties, headers=headers or None)


def marked_as_resent(delivery: Delivery) -> Delivery:
    """A reply to a request that was sent more than once: what it says may be true of one only."""
    properties = delivery.properties
    headers = {**(properties.headers or {}), RESENT: True}
    return structs.replace(delivery, properties=structs.replace(properties, headers=headers))


TEXT_CONTENT_TYPE = "text/plain"


class PlainTemplate:
    """Packs the requests to one queue."""

    def __init__(
        self, *, channel: int, frame_max: int, queue: str, reply_queue: str, user_id: str = ""
    ) -> None:
        self._channel = channel
        self._frame_max = frame_max
        self._reply_queue = reply_queue
        self._user_id = user_id or None
        self._publish = publish_prefix(channel, "", queue, mandatory=True)

    def pack(self, call_id: bytes, deadline: int, expiration: int, body: bytes, /) -> bytes:
        """The frames of one request; the deadline shows only in its expiration."""
        properties = Properties(
            content_type=TEXT_CONTENT_TYPE,
            correlation_id=call_id.decode(),
            reply_to=self._reply_queue,
            expiration=str(expiration),
            user_id=self._user_id,
        )
        return self._publish + content_frames(
            self._channel, encode_properties(properties), body, self._frame_max
        )
