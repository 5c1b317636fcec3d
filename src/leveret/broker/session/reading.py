"""The receiving half of a client's connection: bytes in, events out. Pure.

`leveret.amqp.Parser` is for what a client receives. A broker receives publishes and
acknowledgements, hands on the properties of messages as they came, and complains in RabbitMQ's
words.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, Final

import msgspec

from leveret.amqp.codes import (
    BASIC,
    BASIC_ACK,
    BASIC_NACK,
    BASIC_PUBLISH,
    FRAME_BODY,
    FRAME_END,
    FRAME_HEADER,
    FRAME_HEARTBEAT,
    FRAME_METHOD,
    ReplyCode,
)
from leveret.amqp.events import Ack, Heartbeat, Method, Nack
from leveret.amqp.payloads import decode_method
from leveret.amqp.properties import PropertiesParser
from leveret.broker.model.arguments import Arguments
from leveret.broker.model.packed import types
from leveret.broker.session.received import PartialPublish, Published, Route
from leveret.broker.session.unreadable import (
    Unreadable,
    frame_error,
    octets,
    undecodable,
    unexpected,
)
from leveret.errors import ProtocolError

_FRAME: Callable[[bytes, int], tuple[int, int, int]] = struct.Struct(">BHI").unpack_from
_HEADER: Callable[[bytes, int], tuple[int, int, int]] = struct.Struct(">HHQ").unpack_from
_U32 = struct.Struct(">I").unpack_from
_ACK = struct.Struct(">QB").unpack_from
_HEARTBEAT: Final = Heartbeat()
_KINDS: Final = frozenset((FRAME_METHOD, FRAME_HEADER, FRAME_BODY, FRAME_HEARTBEAT))
_METHOD_SIZE: Final = 4
"""Bytes that each method frame has at least: the ids of class and method."""
_HEADER_SIZE: Final = 12
"""Bytes that each content header frame has before its properties: class, weight, body size."""
_CACHED_ROUTES: Final = 2048
_TAIL: Final = 12
"""Bytes of connection.close-ok in its frame."""

Event = Published | Ack | Nack | Method | Heartbeat
"""What a client sends."""

_TYPED: Final = {50 << 16 | 10: 1, 40 << 16 | 10: 2, 60 << 16 | 20: 2, 50 << 16 | 20: 3}
"""Methods whose arguments are checked by type, and how many short strings come before them."""


class BrokerParser:
    """Reads what one client sends, after the protocol header.

    It holds at most one frame and, for each channel, one message. It reads past a message with a
    larger body than `max_body`, and returns it with the body None.

    :param frame_max: bytes of the largest frame; set it again once it is agreed. Its payload alone
        may have as many.
    :param max_body: bytes of the largest message body to keep.
    """

    def __init__(self, *, frame_max: int, max_body: int) -> None:
        self.frame_max = frame_max
        self.broken: ProtocolError | None = None
        """What is wrong with the bytes, once something is. Nothing after that is read."""
        self.tail = b""
        """The last bytes after that, which may be the client's connection.close-ok."""
        self._max_body: int | None = max_body
        self._rest = b""
        self._properties = PropertiesParser()
        self._routes: dict[bytes, Route] = {}
        self._partial: dict[int, PartialPublish] = {}

    def receive(self, data: bytes) -> list[Event]:
        """The events that `data` completes, in order, up to where it is not AMQP."""
        events: list[Event] = []
        if self.broken is not None:
            self.tail = (self.tail + data)[-_TAIL:]
            return events
        if self._rest:
            data = self._rest + data
            self._rest = b""
        try:
            pos = self._read(data, events)
        except ProtocolError as error:
            self._break(error, data)
        except (IndexError, struct.error, ValueError) as error:
            text = f"SYNTAX_ERROR - malformed frame: {error}"
            self._break(ProtocolError(ReplyCode.SYNTAX_ERROR, text), data)
        else:
            if pos < len(data):
                self._rest = data[pos:]
        return events

    def _break(self, error: ProtocolError, data: bytes) -> None:
        self.broken = error
        self.tail = data[-_TAIL:]
        self._partial.clear()

    def frame_end(self, data: bytes) -> int:
        """Where in `data`, which is received next, the frame ends that is not complete yet."""
        if len(self._rest) + len(data) < 7:
            return len(data)
        begun = self._rest + data[:7]
        return min(len(data), 8 + _FRAME(begun, 0)[2] - len(self._rest))

    # The hot path: one pass over all frames of a read, without a call for each.
    def _read(self, data: bytes, events: list[Event]) -> int:  # noqa: C901, PLR0912
        pos = 0
        have = len(data)
        partial = self._partial
        while have - pos >= 7:
            kind, channel, size = _FRAME(data, pos)
            # RabbitMQ takes 8 bytes more than it names, and some clients send them.
            if size > self.frame_max:
                raise frame_error(kind, f"{{frame_too_large,{size},{self.frame_max - 8}}}")
            start = pos + 7
            stop = start + size
            if stop >= have:
                if kind not in _KINDS:
                    raise frame_error(kind, "unknown_frame")
                break
            if data[stop] != FRAME_END:
                raise frame_error(
                    kind, f"{{invalid_frame_end_marker,{data[stop]}}}", data[start:stop]
                )
            pos = stop + 1
            if (channel == 0 and kind != FRAME_METHOD) or (channel and kind == FRAME_HEARTBEAT):
                self._check_heartbeat(kind, channel, data[start:stop])
                events.append(_HEARTBEAT)
            elif kind == FRAME_METHOD:
                if size < _METHOD_SIZE:
                    raise frame_error(kind, "unknown_frame", data[start:stop])
                if channel in partial:
                    raise partial[channel].unexpected()
                (index,) = _U32(data, start)
                if index == BASIC_PUBLISH:
                    partial[channel] = PartialPublish(self._route_of(data[start + 4 : stop]))
                elif index == BASIC_ACK:
                    if size != 13:
                        raise undecodable(index, data[start + 4 : stop])
                    tag, bits = _ACK(data, start + 4)
                    events.append(Ack(channel, tag, bits & 1 == 1))
                elif index == BASIC_NACK:
                    if size != 13:
                        raise undecodable(index, data[start + 4 : stop])
                    tag, bits = _ACK(data, start + 4)
                    events.append(Nack(channel, tag, bits & 1 == 1, bits & 2 == 2))
                else:
                    events.append(_read_method(data, start, stop, channel, index))
            elif kind == FRAME_BODY:
                self._read_body(data, start, stop, channel, events)
            elif kind == FRAME_HEADER:
                self._read_header(data, start, stop, channel, events)
            else:
                raise frame_error(kind, "unknown_frame", data[start:stop])
        return pos

    def _check_heartbeat(self, kind: int, channel: int, payload: bytes) -> None:
        """Complain about a frame that stands where only a heartbeat may."""
        if (
            kind not in _KINDS
            or (kind == FRAME_HEARTBEAT and not channel and payload)
            or (kind == FRAME_HEADER and len(payload) < _HEADER_SIZE)
        ):
            raise frame_error(kind, "unknown_frame", payload)
        if kind != FRAME_HEARTBEAT or channel:
            raise unexpected(f"type {kind}, all octets = {octets(payload)}")

    def _route_of(self, data: bytes) -> Route:
        route = self._routes.get(data)
        if route is None:
            try:
                exchange, pos = _short(data, 2)
                routing_key, pos = _short(data, pos)
            except IndexError:
                raise undecodable(BASIC_PUBLISH, data) from None
            if pos != len(data) - 1:
                raise undecodable(BASIC_PUBLISH, data)
            route = (exchange, routing_key, data[pos] & 1 == 1, data[pos] & 2 == 2)
            if len(self._routes) >= _CACHED_ROUTES:
                self._routes.clear()
            self._routes[data] = route
        return route

    def _read_header(
        self, data: bytes, start: int, stop: int, channel: int, events: list[Event]
    ) -> None:
        if stop - start < _HEADER_SIZE:
            raise frame_error(FRAME_HEADER, "unknown_frame", data[start:stop])
        partial = self._partial.get(channel)
        if partial is None:
            raise unexpected("expected method frame, got non method frame instead")
        if partial.properties is not None:
            raise partial.unexpected()
        class_id, _, size = _HEADER(data, start)
        if class_id != BASIC:
            raise unexpected(
                f"expected content header for class 60, got one for class {class_id} instead",
                BASIC_PUBLISH,
            )
        # A copy, so that parsing cannot read past the frame.
        partial.packed = data[start + _HEADER_SIZE : stop]
        partial.properties = self._properties.parse(partial.packed, 0, len(partial.packed))
        partial.size = partial.missing = size
        partial.keep = self._max_body is not None and size <= self._max_body
        if not size:
            del self._partial[channel]
            events.append(partial.event(channel))

    def _read_body(
        self, data: bytes, start: int, stop: int, channel: int, events: list[Event]
    ) -> None:
        partial = self._partial.get(channel)
        if partial is None:
            raise unexpected("expected method frame, got non method frame instead")
        if partial.properties is None:
            raise partial.unexpected()
        size = stop - start
        if size == partial.size and partial.keep:
            del self._partial[channel]
            route = partial.route
            events.append(
                Published(
                    channel, *route, partial.properties, partial.packed, data[start:stop], size
                )
            )
            return
        partial.missing -= size
        if partial.missing < 0:
            raise frame_error(3, f"a body longer than the {partial.size} bytes its header promises")
        if partial.keep:
            partial.body += memoryview(data)[start:stop]
        if not partial.missing:
            del self._partial[channel]
            events.append(partial.event(channel))

    def discard(self) -> None:
        """Keep no more bodies, as the connection ends."""
        self._max_body = None
        for partial in self._partial.values():
            partial.keep = False
            partial.body = bytearray()

    @property
    def held(self) -> int:
        """Bytes of messages that are not complete yet."""
        if not self._partial:
            return 0
        return len(self._rest) + sum(len(partial.body) for partial in self._partial.values())


def _read_method(data: bytes, start: int, stop: int, channel: int, index: int) -> Method:
    """Read any other method."""
    try:
        method: Any = decode_method(data, start, stop)
        if index in _TYPED and method.arguments:
            arguments = _with_types(method.arguments, data, start, stop, _TYPED[index])
            method = msgspec.structs.replace(method, arguments=arguments)
    except (IndexError, struct.error, ValueError) as error:
        raise undecodable(index, data[start + 4 : stop]) from error
    _check_names(method)
    return Method(channel, method)


def _check_names(method: Any) -> None:
    """RabbitMQ takes names that are no UTF-8 in publishes alone."""
    for name, kind in method.fields:
        if kind == "ShortStr" and name not in method.reserved:
            try:
                getattr(method, name).encode()
            except UnicodeEncodeError:
                text = "FRAME_ERROR - Malformed UTF-8 in shortstr"
                raise Unreadable(ReplyCode.FRAME_ERROR, text) from None


def _with_types(table: dict[str, Any], data: bytes, start: int, stop: int, names: int) -> Arguments:
    """Keep the AMQP types of a method's arguments, which the broker names when it complains."""
    pos = start + 6
    for _ in range(names):
        pos += 1 + data[pos]
    arguments = Arguments(table)
    arguments.types = types(data[pos + 1 : stop])
    return arguments


def _short(data: bytes, pos: int) -> tuple[str, int]:
    end = pos + 1 + data[pos]
    return data[pos + 1 : end].decode("utf-8", "surrogateescape"), end
