"""How the AMQP tests read a stream: with pamqp alone, and with ours, in pieces."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

import msgspec
import pamqp.commands as amqp
import pamqp.frame
from pamqp.body import ContentBody
from pamqp.header import ContentHeader
from pamqp.heartbeat import Heartbeat as PamqpHeartbeat

from leveret.amqp.events import Ack, Content, Delivery, Event, Heartbeat, Method, Nack, Publish
from leveret.amqp.methods import METHODS, AMQPMethod
from leveret.amqp.parser import Parser
from leveret.amqp.properties import Properties
from leveret.errors import ProtocolError
from tests.unit.amqp.strategies import CONTENT_METHODS


def read_by_pamqp(stream: bytes) -> list[Event]:
    """The events of a valid stream, read frame by frame with pamqp, put together the plain way."""
    events: list[Event] = []
    open_contents: dict[int, tuple[Any, ContentHeader | None, bytes]] = {}
    while stream:
        used, channel, frame = pamqp.frame.unmarshal(stream)
        stream = stream[used:]
        if isinstance(frame, CONTENT_METHODS):
            open_contents[channel] = (frame, None, b"")
        elif isinstance(frame, ContentHeader | ContentBody):
            method, header, body = open_contents.pop(channel)
            if isinstance(frame, ContentHeader):
                header = frame
            else:
                body += frame.value
            assert header is not None
            if len(body) == header.body_size:
                events.append(_with_content(channel, method, header, body))
            else:
                open_contents[channel] = (method, header, body)
        else:
            events.append(_without_content(channel, frame))
    return events


def _without_content(channel: int, frame: Any) -> Event:
    match frame:
        case PamqpHeartbeat():
            return Heartbeat()
        case amqp.Basic.Ack():
            return Ack(channel, frame.delivery_tag, frame.multiple)
        case amqp.Basic.Nack():
            return Nack(channel, frame.delivery_tag, frame.multiple, frame.requeue)
    return Method(channel, from_pamqp(frame))


def _with_content(channel: int, method: Any, header: ContentHeader, body: bytes) -> Event:
    content: tuple[Properties, bytes, int] = (_properties(header), body, len(body))
    match method.name:
        case "Basic.Deliver":
            return Delivery(
                channel,
                method.consumer_tag,
                method.delivery_tag,
                method.redelivered,
                method.exchange,
                method.routing_key,
                *content,
            )
        case "Basic.Publish":
            return Publish(
                channel,
                method.exchange,
                method.routing_key,
                method.mandatory,
                method.immediate,
                *content,
            )
    returned: Any = from_pamqp(method)
    return Content(channel, returned, *content)


def from_pamqp(theirs: Any) -> AMQPMethod:
    """Our record of a method of pamqp's. A field of its own default may be None there."""
    kind = METHODS[theirs.index]
    fields = {name: getattr(theirs, name) for name in kind.__struct_fields__}
    return kind(**{name: value for name, value in fields.items() if value is not None})


def _properties(header: ContentHeader) -> Properties:
    """pamqp's properties as ours; an absent one is None there, and for `cluster_id` empty."""
    fields = dict(header.properties)
    moment: Any = fields["timestamp"]
    fields["timestamp"] = None if moment is None else int(moment.timestamp())
    fields["type"] = fields.pop("message_type")
    fields["cluster_id"] = fields["cluster_id"] or None
    return Properties(**fields)  # type: ignore[arg-type]


def comparable(events: Iterable[Event]) -> list[Any]:
    """Events as plain values, which show what differs."""
    return [(type(event).__name__, msgspec.structs.asdict(event)) for event in events]


def read(pieces: Iterable[bytes], **limits: int) -> list[Event]:
    """The events of a stream that comes in these pieces."""
    parser = Parser(**limits)
    return [event for piece in pieces for event in parser.receive(piece)]


def in_one_piece(stream: bytes) -> list[bytes]:
    """The largest piece a socket can give."""
    return [stream]


def byte_by_byte(stream: bytes) -> list[bytes]:
    """The smallest pieces a socket can give."""
    return [stream[i : i + 1] for i in range(len(stream))]


def outcome(pieces: Iterable[bytes], **limits: int) -> tuple[list[Any], int | None]:
    """The events up to the end or the first error, and that error's reply code.

    Whatever else `receive` raises ends the test.
    """
    parser = Parser(**limits)
    events: list[Event] = []
    try:
        for piece in pieces:
            events += parser.receive(piece)
    except ProtocolError as error:
        return comparable(events), error.reply_code
    return comparable(events), None


def held(value: Any) -> int:
    """The bytes of memory that `value` and all it refers to take, classes and functions aside."""
    seen: set[int] = set()

    def size(value: Any) -> int:
        if id(value) in seen or isinstance(value, type) or callable(value):
            return 0
        seen.add(id(value))
        total = sys.getsizeof(value)
        if isinstance(value, dict):
            return total + sum(map(size, value)) + sum(map(size, value.values()))
        if isinstance(value, list | tuple | set | frozenset):
            return total + sum(map(size, value))
        names = [*getattr(value, "__dict__", {}), *getattr(type(value), "__slots__", ())]
        return total + sum(size(getattr(value, name, None)) for name in names)

    return size(value)
