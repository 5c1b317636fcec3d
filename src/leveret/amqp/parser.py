"""Bytes in, events out: the receiving half of a client's connection.

`Parser.receive` takes what one read of the socket brought and returns the events that are complete
now. The parser keeps the rest for the next read. Bytes that can never become valid are a
`ProtocolError` with the reply code that the peer should be told; the parser is of no use after it.

The parser holds at most one frame of `frame_max` bytes, and for each channel one message of
`max_body` bytes. It reads past a larger message and returns it with `body=None`.

A body is copied once: out of the read that has all of it, or by `bodies` out of its pieces.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, Final

from leveret.amqp.bodies import Pieces
from leveret.amqp.codes import (
    BASIC,
    BASIC_ACK,
    BASIC_DELIVER,
    BASIC_NACK,
    BASIC_PUBLISH,
    FRAME_BODY,
    FRAME_END,
    FRAME_HEADER,
    FRAME_HEARTBEAT,
    FRAME_METHOD,
    ReplyCode,
)
from leveret.amqp.events import Ack, Content, Delivery, Event, Heartbeat, Method, Nack, Publish
from leveret.amqp.payloads import decode_method
from leveret.amqp.properties import Properties, PropertiesParser
from leveret.errors import ProtocolError

_FRAME: Callable[[bytes, int], tuple[int, int, int]] = struct.Struct(">BHI").unpack_from
_HEADER = struct.Struct(">HHQ").unpack_from
_CONTENT: Callable[[bytes, int], tuple[int, int, int, int, int]] = struct.Struct(
    ">BHIH2xQ"
).unpack_from
"""A content header frame up to its property flags: type, channel, size, class, body size."""
_U32 = struct.Struct(">I").unpack_from
_U64 = struct.Struct(">Q").unpack_from
_ACK = struct.Struct(">QB").unpack_from

_HEARTBEAT: Final = Heartbeat()

_LARGE: Final = 4096
"""Bytes from which on a body frame is taken in pieces where it does not come in one read."""

_CACHED_ROUTES: Final = 2048
_CACHED_ROUTE_SIZE: Final = 512


class Parser:
    """Reads what one peer sends, after the protocol header.

    :param frame_max: bytes of the largest frame; set it again once it is negotiated.
    :param max_body: bytes of the largest message body to keep.
    """

    def __init__(self, *, frame_max: int = 131_072, max_body: int = 128 * 1024 * 1024) -> None:
        self.frame_max = frame_max
        self.max_body = max_body
        self._rest = b""  # the beginning of a frame
        self._open: _Partial | None = None  # whose body frame is not complete
        self._left = 0  # bytes of that frame still to come, without its end octet
        self._properties = PropertiesParser()
        self._routes: dict[bytes, tuple[bool, str, str]] = {}
        self._partial: dict[int, _Partial] = {}

    def receive(self, data: bytes) -> list[Event]:
        """Take the bytes of one read; return the events that they complete, in order.

        :raises ProtocolError: if the bytes are not valid AMQP. The events before the error are lost
            with the connection.
        """
        events: list[Event] = []
        pos = 0
        if self._rest:
            data = self._rest + data
            self._rest = b""
        elif self._open is not None:
            pos = self._continue_body(data, 0, self._open, events)
        try:
            pos = self._read_frames(data, pos, events)
        except (IndexError, struct.error, ValueError) as error:
            raise ProtocolError(
                ReplyCode.SYNTAX_ERROR, f"SYNTAX_ERROR - malformed frame: {error}"
            ) from error
        if pos < len(data):
            self._rest = data[pos:]
        return events

    # The hot path: one pass over all frames of a read, without a call for each.
    def _read_frames(  # noqa: C901, PLR0912
        self, data: bytes, pos: int, events: list[Event]
    ) -> int:
        """Read the frames in `data` from `pos` on; return where what is not read begins."""
        have = len(data)
        partial = self._partial
        while have - pos >= 7:
            kind, channel, size = _FRAME(data, pos)
            if size > self.frame_max - 8:
                raise _frame_error(f"a frame of {size + 8} bytes, more than {self.frame_max}")
            start = pos + 7
            stop = start + size
            if stop >= have:
                # Bytes that are not AMQP must not look like a long frame that is still to come.
                if kind not in _KINDS:
                    raise _frame_error(f"a frame of the unknown type {kind}")
                if kind == FRAME_BODY and size >= _LARGE and self._begin_body(channel, size):
                    return self._continue_body(data, start, partial[channel], events)
                break
            if data[stop] != FRAME_END:
                raise _wrong_end(data[stop])
            pos = stop + 1
            if kind == FRAME_METHOD:
                if partial and channel in partial:
                    raise _unexpected(channel, "a method", "content")
                (index,) = _U32(data, start)
                if index == BASIC_DELIVER:
                    after = self._deliver(data, start, stop, channel, events)
                    pos = after or pos
                elif index == BASIC_ACK:
                    if size != 13:
                        raise ValueError("basic.ack is not 13 bytes long")
                    tag, bits = _ACK(data, start + 4)
                    events.append(Ack(channel, tag, bits & 1 == 1))
                else:
                    self._method(data, start, stop, channel, index, events)
            elif kind == FRAME_BODY:
                self._body(data, start, stop, channel, events)
            elif kind == FRAME_HEADER:
                self._header(data, start, stop, channel, events)
            elif kind == FRAME_HEARTBEAT:
                if channel or size:
                    raise _frame_error("a heartbeat on a channel or with a payload")
                events.append(_HEARTBEAT)
            else:
                raise _frame_error(f"a frame of the unknown type {kind}")
        return pos

    def _deliver(
        self, data: bytes, start: int, stop: int, channel: int, events: list[Event]
    ) -> int | None:
        """Read basic.deliver. If all of its content is here, read that too and return its end."""
        pos = start + 5 + data[start + 4]
        consumer_tag = self._properties.text(data[start + 5 : pos])
        delivery_tag: int = _U64(data, pos)[0]
        route = self._routes.get(data[pos + 8 : stop])
        if route is None:
            route = self._route(data[pos + 8 : stop])

        header = stop + 1
        have = len(data)
        if have - header >= 29:
            kind, same, size, class_id, body_size = _CONTENT(data, header)
            body = header + 8 + size
            if kind == FRAME_HEADER and same == channel and have - body >= 8:
                kind, same, chunk = _FRAME(data, body)
                end = body + 7 + chunk
                if (
                    end < have
                    and kind == FRAME_BODY
                    and same == channel
                    and 0 < chunk == body_size
                    and class_id == BASIC
                    and size <= self.frame_max - 8
                    and chunk <= self.frame_max - 8
                    and chunk <= self.max_body
                    and data[body - 1] == FRAME_END
                    and data[end] == FRAME_END
                ):
                    events.append(
                        Delivery(
                            channel,
                            consumer_tag,
                            delivery_tag,
                            route[0],
                            route[1],
                            route[2],
                            self._properties.parse(data, header + 19, body - 1),
                            data[body + 7 : end],
                            chunk,
                        )
                    )
                    return end + 1
        self._partial[channel] = _Partial(Delivery, (channel, consumer_tag, delivery_tag, *route))
        return None

    def _route(self, data: bytes) -> tuple[bool, str, str]:
        """Read the end of basic.deliver, equal for most: redelivered, exchange, routing key."""
        exchange, pos = _short(data, 1)
        routing_key, pos = _short(data, pos)
        if pos != len(data):
            raise ValueError("basic.deliver does not end where its frame does")
        route = (data[0] & 1 == 1, exchange, routing_key)
        if len(data) <= _CACHED_ROUTE_SIZE:
            if len(self._routes) >= _CACHED_ROUTES:
                self._routes.clear()
            self._routes[data] = route
        return route

    def _method(
        self, data: bytes, start: int, stop: int, channel: int, index: int, events: list[Event]
    ) -> None:
        """Read any method but basic.deliver and basic.ack."""
        if index == BASIC_PUBLISH:
            exchange, pos = _short(data, start + 6)
            routing_key, pos = _short(data, pos)
            if pos != stop - 1:
                raise ValueError("basic.publish does not end where its frame does")
            bits = data[pos]
            fields = (channel, exchange, routing_key, bits & 1 == 1, bits & 2 == 2)
            self._partial[channel] = _Partial(Publish, fields)
        elif index == BASIC_NACK:
            if stop - start != 13:
                raise ValueError("basic.nack is not 13 bytes long")
            tag, bits = _ACK(data, start + 4)
            events.append(Nack(channel, tag, bits & 1 == 1, bits & 2 == 2))
        else:
            method = decode_method(data, start, stop)
            if method.has_content:
                self._partial[channel] = _Partial(Content, (channel, method))
            else:
                events.append(Method(channel, method))

    def _header(
        self, data: bytes, start: int, stop: int, channel: int, events: list[Event]
    ) -> None:
        partial = self._partial.get(channel)
        if partial is None or partial.properties is not None:
            raise _unexpected(channel, "a content header", "a method")
        class_id, _, size = _HEADER(data, start)
        if class_id != BASIC:
            raise ValueError(f"a content header of class {class_id}")
        partial.properties = self._properties.parse(data, start + 12, stop)
        partial.size = partial.missing = size
        partial.keep = size <= self.max_body
        if not size:
            self._complete(channel, partial, b"", events)

    def _body(self, data: bytes, start: int, stop: int, channel: int, events: list[Event]) -> None:
        """Read a body frame that came in one read."""
        partial = self._partial.get(channel)
        if partial is None or partial.properties is None:
            raise _unexpected(channel, "a content body", "a content header")
        size = stop - start
        partial.missing -= size
        if partial.missing < 0:
            raise _frame_error(f"a body longer than the {partial.size} bytes its header promises")
        if size == partial.size:  # all of the body
            self._complete(channel, partial, data[start:stop], events)
            return
        if partial.keep:
            partial.pieces.add(data, start, stop)
        if not partial.missing:
            self._complete(channel, partial, partial.pieces.join(), events)

    def _complete(self, channel: int, partial: _Partial, body: bytes, events: list[Event]) -> None:
        del self._partial[channel]
        kept = body if partial.keep else None
        events.append(partial.kind(*partial.fields, partial.properties, kept, partial.size))

    # -- a large body frame that comes in several reads ------------------------------------------

    def _begin_body(self, channel: int, size: int) -> bool:
        """Open a body frame. A wrong one is not opened: it is refused once it is complete."""
        partial = self._partial.get(channel)
        if partial is None or partial.properties is None or size > partial.missing:
            return False
        partial.missing -= size
        self._open, self._left = partial, size
        return True

    def _continue_body(self, data: bytes, pos: int, partial: _Partial, events: list[Event]) -> int:
        """Take the part of the open body frame that `data` has from `pos` on; return its end."""
        stop = pos + self._left
        have = len(data)
        if stop < have and data[stop] != FRAME_END:
            raise _wrong_end(data[stop])
        if partial.keep:
            partial.pieces.add(data, pos, min(stop, have))
        if stop >= have:  # its end octet is missing at least
            self._left = stop - have
            return have
        self._open = None
        if not partial.missing:
            self._complete(partial.fields[0], partial, partial.pieces.join(), events)
        return stop + 1


_KINDS: Final = frozenset((FRAME_METHOD, FRAME_HEADER, FRAME_BODY, FRAME_HEARTBEAT))


class _Partial:
    """A message of which some frames are still to come."""

    __slots__ = ("fields", "keep", "kind", "missing", "pieces", "properties", "size")

    def __init__(self, kind: Callable[..., Event], fields: tuple[Any, ...]) -> None:
        self.kind = kind
        self.fields = fields
        """The event's fields before the properties, the channel first."""
        self.properties: Properties | None = None
        """None until the content header has come."""
        self.size = self.missing = 0
        """The length of the body, and how much of it no frame has announced yet."""
        self.keep = True
        """Whether the body is not too large."""
        self.pieces = Pieces()


def _short(data: bytes, pos: int) -> tuple[str, int]:
    end = pos + 1 + data[pos]
    return data[pos + 1 : end].decode("utf-8", "surrogateescape"), end


def _frame_error(what: str) -> ProtocolError:
    return ProtocolError(ReplyCode.FRAME_ERROR, f"FRAME_ERROR - {what}")


def _wrong_end(octet: int) -> ProtocolError:
    return _frame_error(f"a frame ends in {octet:#04x} instead of 0xce")


def _unexpected(channel: int, got: str, wanted: str) -> ProtocolError:
    return ProtocolError(
        ReplyCode.UNEXPECTED_FRAME,
        f"UNEXPECTED_FRAME - {got} on channel {channel} where {wanted} was due",
    )
