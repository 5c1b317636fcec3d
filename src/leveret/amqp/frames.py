"""Packs frames. A sender with constant routing packs that part once, by `publish_prefix`."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import Final, TypeAlias

from leveret.amqp.codes import BASIC_ACK, BASIC_NACK, BASIC_PUBLISH
from leveret.amqp.methods import AMQPMethod
from leveret.amqp.payloads import encode_method
from leveret.amqp.properties import Properties, PropertiesParser, encode_properties, short_string
from leveret.body_parts import Body, BodyParts, Parts

HEARTBEAT: Final = b"\x08\x00\x00\x00\x00\x00\x00\xce"

HEADER_FRAME: Final = 2
BODY_FRAME: Final = 3
FRAME_OVERHEAD: Final = 8
"""Bytes of a frame besides its payload: type, channel, size and end octet."""

SMALL_BODY: Final = 4096
"""Bytes up to which copying a body twice, by `+`, costs less than a call of `with_body`."""

PARTS_FROM: Final = 65_536
"""Bytes of a body from which on its frames may be sent in parts: a copy costs more than these."""

_FRAME = struct.Struct(">BHI")
_HEADER = struct.Struct(">BHIHHQ")
_ACK = struct.Struct(">BHIIQBB")


class FrameParts(Parts):
    """The frames of a message in parts, which are handed to the socket without being joined."""

    __slots__ = ()


Frames: TypeAlias = bytes | FrameParts
"""The frames of a message that is sent."""


def method_frame(channel: int, method: AMQPMethod) -> bytes:
    """A method frame.

    :raises ValueError: if a value does not fit in its field. :raises TypeError: likewise.
    """
    return raw_method(channel, encode_method(method))


def raw_method(channel: int, payload: bytes) -> bytes:
    """A method frame around a packed payload."""
    return _FRAME.pack(1, channel, len(payload)) + payload + b"\xce"


def publish_prefix(
    channel: int, exchange: str, routing_key: str, *, mandatory: bool = False
) -> bytes:
    """The basic.publish frame, which is the same for all messages with this routing.

    :raises ValueError: if a name has more than 255 bytes.
    """
    payload = (
        struct.pack(">IH", BASIC_PUBLISH, 0)
        + short_string(exchange)
        + short_string(routing_key)
        + (b"\x01" if mandatory else b"\x00")
    )
    return raw_method(channel, payload)


def content_frames(channel: int, properties: bytes, body: Body, frame_max: int) -> bytes:
    """Header and body frames.

    :param properties: packed, their flags first.
    :param frame_max: bytes of the largest frame, 0 for no limit. A body that exceeds it is cut into
        several frames (section 2.3.5.2).
    :raises ValueError: if the properties exceed it. They cannot be cut, and the broker would close
        the connection.
    """
    if frame_max and 20 + len(properties) > frame_max:
        raise ValueError(
            f"the message's properties take {len(properties)} bytes, and a frame of "
            f"{frame_max} bytes has room for {frame_max - 20}; put less into its headers"
        )
    size = len(body)
    header = _HEADER.pack(2, channel, 12 + len(properties), 60, 0, size) + properties + b"\xce"
    return with_body(header, channel, body, frame_max - FRAME_OVERHEAD if frame_max else size)


def with_body(before: bytes, channel: int, body: Body, room: int) -> bytes:
    """`before`, and after it the frames of a body, cut into pieces of at most `room` bytes.

    The body is copied once. An empty body has no frame.
    """
    return b"".join(_with_body(before, channel, body, room))


def in_parts(before: bytes, channel: int, body: BodyParts, room: int) -> Frames:
    """The same, in parts that are not joined if the body is large.

    The parts are views of the body's own, which must not change until the frames were sent.
    """
    parts = _with_body(before, channel, body, room)
    return FrameParts(parts) if len(body) >= PARTS_FROM else b"".join(parts)


def _with_body(before: bytes, channel: int, body: Body, room: int) -> list[bytes | memoryview]:
    size = len(body)
    if not size:
        return [before]
    views = body.parts if isinstance(body, BodyParts) else (body,)
    if size <= room:
        return [before, _FRAME.pack(3, channel, size), *views, b"\xce"]
    parts: list[bytes | memoryview] = [before]
    left = size
    for pieces in _cut(views, room):
        parts += (_FRAME.pack(3, channel, min(room, left)), *pieces, b"\xce")
        left -= room
    return parts


def _cut(views: Sequence[bytes | memoryview], room: int) -> Iterator[list[memoryview]]:
    """Yield the pieces of each frame: `room` bytes together, fewer in the last one."""
    pieces: list[memoryview] = []
    free = room
    for whole in views:
        view = memoryview(whole)
        start, size = 0, len(view)
        while start < size:
            if not free:
                yield pieces
                pieces, free = [], room
            piece = view[start : start + free]
            pieces.append(piece)
            start += len(piece)
            free -= len(piece)
    yield pieces


def publish(
    channel: int,
    exchange: str,
    routing_key: str,
    properties: Properties,
    body: Body,
    *,
    frame_max: int,
    mandatory: bool = False,
) -> bytes:
    """All frames of one message; the hot path packs its own.

    :raises ValueError: if a text has more than 255 bytes, or the properties exceed `frame_max`.
    :raises TypeError: if a property is of the wrong type.
    """
    return publish_prefix(channel, exchange, routing_key, mandatory=mandatory) + content_frames(
        channel, encode_properties(properties), body, frame_max
    )


def on_channel(frames: Frames, channel: int) -> bytes:
    """Move packed frames to another channel."""
    moved = bytearray(bytes(frames))
    start = 0
    while start < len(moved):
        kind, _, size = _FRAME.unpack_from(moved, start)
        _FRAME.pack_into(moved, start, kind, channel, size)
        start += size + FRAME_OVERHEAD
    return bytes(moved)


def published(frames: bytes) -> tuple[Properties, bytes]:
    """Read properties and body out of the frames of one message that this module packed."""
    start = body_start = 0
    properties = Properties()
    body = bytearray()
    while start < len(frames):
        kind, _, size = _FRAME.unpack_from(frames, start)
        body_start = start + FRAME_OVERHEAD - 1
        if kind == HEADER_FRAME:
            properties = PropertiesParser().parse(frames, body_start + 12, body_start + size)
        elif kind == BODY_FRAME:
            body += frames[body_start : body_start + size]
        start = body_start + size + 1
    return properties, bytes(body)


def with_other_body(frames: bytes, body: bytes) -> bytes:
    """The frames of one message that this module packed, with another body in place of its own.

    None of them is larger than the largest was, or the one with the properties.
    """
    _, channel, size = _FRAME.unpack_from(frames)
    start = end_of_method = size + FRAME_OVERHEAD
    largest = 0
    while start < len(frames):
        size = _FRAME.unpack_from(frames, start)[-1] + FRAME_OVERHEAD
        largest = max(largest, size)
        start += size
    properties = encode_properties(published(frames)[0])
    return frames[:end_of_method] + content_frames(channel, properties, body, largest)


def body_size(frames: bytes) -> int:
    """Bytes of the body in the frames of one message that this module packed, 0 without frames."""
    start = 0
    while start < len(frames):
        kind, _, size = _FRAME.unpack_from(frames, start)
        if kind == HEADER_FRAME:
            found: int = _HEADER.unpack_from(frames, start)[-1]
            return found
        start += size + FRAME_OVERHEAD
    return 0


def ack(channel: int, delivery_tag: int, *, multiple: bool = False) -> bytes:
    """The basic.ack frame: a delivery is done with, or the broker has a publish."""
    return _ACK.pack(1, channel, 13, BASIC_ACK, delivery_tag, multiple, 0xCE)


def nack(channel: int, delivery_tag: int, *, multiple: bool = False, requeue: bool = True) -> bytes:
    """The basic.nack frame, RabbitMQ's extension (https://www.rabbitmq.com/docs/nack)."""
    return _ACK.pack(1, channel, 13, BASIC_NACK, delivery_tag, multiple | requeue << 1, 0xCE)
