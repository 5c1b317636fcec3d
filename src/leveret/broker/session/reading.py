"""The receiving half of a client's connection: publishes in one pass, their properties kept packed.

`leveret.amqp.Parser` is quickest at what a client receives. A broker receives publishes, and hands
their properties on as they came.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, Final

import msgspec

from leveret.amqp.codes import (
    BASIC,
    BASIC_ACK,
    BASIC_PUBLISH,
    FRAME_BODY,
    FRAME_END,
    FRAME_HEADER,
    FRAME_HEARTBEAT,
    FRAME_METHOD,
    ReplyCode,
)
from leveret.amqp.events import Ack, Event, Heartbeat, Method
from leveret.amqp.parser import Parser
from leveret.broker.model.arguments import Arguments
from leveret.broker.model.packed import types
from leveret.broker.session.received import Coming, Published, Route
from leveret.broker.session.unreadable import frame_error, octets, undecodable, unexpected
from leveret.errors import ProtocolError

_FRAME: Callable[[bytes, int], tuple[int, int, int]] = struct.Struct(">BHI").unpack_from
_HEADER: Callable[[bytes, int], tuple[int, int, int]] = struct.Struct(">HHQ").unpack_from
_U32 = struct.Struct(">I").unpack_from
_ACK = struct.Struct(">QB").unpack_from
_HEARTBEAT: Final = Heartbeat()
_KINDS: Final = frozenset((FRAME_METHOD, FRAME_HEADER, FRAME_BODY, FRAME_HEARTBEAT))
_METHOD_SIZE: Final = 4
"""Bytes that each method frame has at least: class and method."""
_HEADER_SIZE: Final = 12
"""Bytes that each content header frame has before its properties: class, weight, body size."""
_CACHED_ROUTES: Final = 2048
_TAIL: Final = 12
"""The length of connection.close-ok in its frame, in bytes."""

_TYPED: Final = {50 << 16 | 10: 1, 40 << 16 | 10: 2, 60 << 16 | 20: 2, 50 << 16 | 20: 3}
"""Methods whose arguments are checked by type, and how many short strings come before them."""


class ServerParser(Parser):
    """A `Parser` that gives `Published` for basic.publish, and what comes before broken bytes.

    `broken` is what is wrong with the bytes, once something is. Nothing after that is read; `tail`
    has the last of it, where the client's answer to being told can be seen.
    """

    def __init__(self, *, frame_max: int, max_body: int) -> None:
        super().__init__(frame_max=frame_max, max_body=max_body)
        self._published_routes: dict[bytes, Route] = {}
        self._coming: dict[int, Coming] = {}
        self.broken: ProtocolError | None = None
        self.tail = b""

    def receive(self, data: bytes) -> list[Event]:
        """The events that `data` completes, in order, up to where it is no AMQP."""
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
        self._coming.clear()

    def frame_end(self, data: bytes) -> int:
        """Where in `data`, which comes next, the frame ends that is not complete yet."""
        if len(self._rest) + len(data) < 7:
            return len(data)
        begun = self._rest + data[:7]
        return min(len(data), 8 + _FRAME(begun, 0)[2] - len(self._rest))

    # The hot path, as in `Parser`: one pass over all frames of a read.
    def _read(self, data: bytes, events: list[Event]) -> int:  # noqa: C901, PLR0912
        pos = 0
        have = len(data)
        coming = self._coming
        while have - pos >= 7:
            kind, channel, size = _FRAME(data, pos)
            if size > self.frame_max - 8:
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
                self._heartbeat(kind, channel, data[start:stop])
                events.append(_HEARTBEAT)
            elif kind == FRAME_METHOD:
                if size < _METHOD_SIZE:
                    raise frame_error(kind, "unknown_frame", data[start:stop])
                if channel in coming:
                    raise coming[channel].unexpected()
                (index,) = _U32(data, start)
                if index == BASIC_PUBLISH:
                    coming[channel] = Coming(self._route_of(data[start + 4 : stop]))
                elif index == BASIC_ACK:
                    if size != 13:
                        raise undecodable(index, data[start + 4 : stop])
                    tag, bits = _ACK(data, start + 4)
                    events.append(Ack(channel, tag, bits & 1 == 1))
                else:
                    self._other_method(data, start, stop, channel, index, events)
            elif kind == FRAME_BODY:
                self._body_of_publish(data, start, stop, channel, events)
            elif kind == FRAME_HEADER:
                self._header_of_publish(data, start, stop, channel, events)
            else:
                raise frame_error(kind, "unknown_frame", data[start:stop])
        return pos

    def _heartbeat(self, kind: int, channel: int, payload: bytes) -> None:
        """A frame that is a heartbeat, or stands where no such frame may."""
        if (
            kind not in _KINDS
            or (kind == FRAME_HEARTBEAT and not channel and payload)
            or (kind == FRAME_HEADER and len(payload) < _HEADER_SIZE)
        ):
            raise frame_error(kind, "unknown_frame", payload)
        if kind != FRAME_HEARTBEAT or channel:
            raise unexpected(f"type {kind}, all octets = {octets(payload)}")

    def _other_method(
        self, data: bytes, start: int, stop: int, channel: int, index: int, events: list[Event]
    ) -> None:
        try:
            self._method(data, start, stop, channel, index, events)
            if index in _TYPED:
                events[-1] = _with_types(events[-1], data, start, stop)
        except (IndexError, struct.error, ValueError) as error:
            raise undecodable(index, data[start + 4 : stop]) from error

    def _route_of(self, data: bytes) -> Route:
        route = self._published_routes.get(data)
        if route is None:
            try:
                exchange, pos = _short(data, 2)
                routing_key, pos = _short(data, pos)
            except IndexError:
                raise undecodable(BASIC_PUBLISH, data) from None
            if pos != len(data) - 1:
                raise undecodable(BASIC_PUBLISH, data)
            route = (exchange, routing_key, data[pos] & 1 == 1, data[pos] & 2 == 2)
            if len(self._published_routes) >= _CACHED_ROUTES:
                self._published_routes.clear()
            self._published_routes[data] = route
        return route

    def _header_of_publish(
        self, data: bytes, start: int, stop: int, channel: int, events: list[Event]
    ) -> None:
        if stop - start < _HEADER_SIZE:
            raise frame_error(FRAME_HEADER, "unknown_frame", data[start:stop])
        coming = self._coming.get(channel)
        if coming is None:
            raise unexpected("expected method frame, got non method frame instead")
        if coming.properties is not None:
            raise coming.unexpected()
        class_id, _, size = _HEADER(data, start)
        if class_id != BASIC:
            raise unexpected(
                f"expected content header for class 60, got one for class {class_id} instead",
                BASIC_PUBLISH,
            )
        coming.packed = data[start + _HEADER_SIZE : stop]  # alone: what follows is not read by it
        coming.properties = self._properties.parse(coming.packed, 0, len(coming.packed))
        coming.size = coming.missing = size
        coming.keep = size <= self.max_body
        if not size:
            del self._coming[channel]
            events.append(coming.event(channel))  # type: ignore[arg-type]

    def _body_of_publish(
        self, data: bytes, start: int, stop: int, channel: int, events: list[Event]
    ) -> None:
        coming = self._coming.get(channel)
        if coming is None:
            raise unexpected("expected method frame, got non method frame instead")
        if coming.properties is None:
            raise coming.unexpected()
        size = stop - start
        if size == coming.size and coming.keep:
            del self._coming[channel]
            route = coming.route
            events.append(
                Published(  # type: ignore[arg-type]
                    channel, *route, coming.properties, coming.packed, data[start:stop], size
                )
            )
            return
        coming.missing -= size
        if coming.missing < 0:
            raise frame_error(3, f"a body longer than the {coming.size} bytes its header promises")
        if coming.keep:
            coming.body += data[start:stop]
        if not coming.missing:
            del self._coming[channel]
            events.append(coming.event(channel))  # type: ignore[arg-type]

    def discard(self) -> None:
        """Keep no more bodies: the connection ends."""
        self.max_body = -1
        for coming in self._coming.values():
            coming.keep = False
            coming.body = bytearray()

    @property
    def held(self) -> int:
        """Bytes of messages that are not complete yet."""
        if not self._coming:
            return 0
        return len(self._rest) + sum(len(coming.body) for coming in self._coming.values())


def _with_types(event: Event, data: bytes, start: int, stop: int) -> Event:
    """The method, its arguments with the AMQP types that they have: complaints about them tell."""
    assert isinstance(event, Method)
    method: Any = event.method
    if not method.arguments:
        return event
    pos = start + 6
    for _ in range(_TYPED[method.index]):
        pos += 1 + data[pos]
    arguments = Arguments(method.arguments)
    arguments.types = types(data[pos + 1 : stop])
    return Method(event.channel, msgspec.structs.replace(method, arguments=arguments))


def _short(data: bytes, pos: int) -> tuple[str, int]:
    end = pos + 1 + data[pos]
    return data[pos + 1 : end].decode("utf-8", "surrogateescape"), end
