"""Bytes in, events out: what pamqp reads, however the bytes are cut into reads."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leveret.amqp import frames
from leveret.amqp.events import Content, Delivery, Event, Heartbeat, Method, Publish
from leveret.amqp.methods import Basic, Queue
from leveret.amqp.parser import Parser
from leveret.amqp.properties import Properties, encode_properties
from leveret.amqp.tables import decode_table
from leveret.errors import ProtocolError
from tests.unit.amqp.deliveries import deliver_frame
from tests.unit.amqp.reading import byte_by_byte, comparable, in_one_piece, read, read_by_pamqp
from tests.unit.amqp.strategies import (
    FAST,
    bodies,
    channels,
    conversations,
    cuts,
    properties,
    short_texts,
    tags,
)

RETURN = Basic.Return(reply_code=312, reply_text="NO_ROUTE", exchange="leveret", routing_key="key")
GET_OK = Basic.GetOk(
    delivery_tag=1, redelivered=False, exchange="leveret", routing_key="key", message_count=0
)


def delivery(
    channel: int, body: bytes, *, frame_max: int = 4096, properties: Properties | None = None
) -> bytes:
    """A delivered message, as a broker sends it."""
    header = encode_properties(properties or Properties())
    return deliver_frame(
        channel, "consumer", 7, False, "leveret", "fibonacci.fib"
    ) + frames.content_frames(channel, header, body, frame_max)


def bodies_of(events: list[Event]) -> list[tuple[int, bytes | None]]:
    """Channel and body of each message among the events."""
    return [
        (event.channel, event.body)
        for event in events
        if isinstance(event, Delivery | Publish | Content)
    ]


@FAST
@given(conversations(), st.data())
def test_a_stream_cut_anywhere_gives_the_events_that_pamqp_reads(
    stream: bytes, data: st.DataObject
) -> None:
    expected = comparable(read_by_pamqp(stream))
    for pieces in ([stream], byte_by_byte(stream), data.draw(cuts(stream))):
        assert comparable(read(pieces)) == expected


@FAST
@given(channels, short_texts, tags, st.booleans(), short_texts, short_texts, properties, bodies)
def test_what_our_broker_side_delivers_our_client_side_reads(
    channel: int,
    consumer: str,
    tag: int,
    redelivered: bool,
    exchange: str,
    routing_key: str,
    ours: Properties,
    body: bytes,
) -> None:
    route = (channel, consumer, tag, redelivered, exchange, routing_key)
    stream = deliver_frame(*route) + frames.content_frames(
        channel, encode_properties(ours), body, 4096
    )
    assert read([stream]) == [Delivery(*route, ours, body, len(body))]
    assert read(byte_by_byte(stream)) == [Delivery(*route, ours, body, len(body))]


@FAST
@given(channels, short_texts, short_texts, properties, bodies, st.booleans())
def test_what_our_client_side_publishes_our_broker_side_reads(
    channel: int, exchange: str, key: str, ours: Properties, body: bytes, mandatory: bool
) -> None:
    stream = frames.publish(channel, exchange, key, ours, body, frame_max=4096, mandatory=mandatory)
    expected = Publish(channel, exchange, key, mandatory, False, ours, body, len(body))
    assert read([stream]) == [expected]
    assert read(byte_by_byte(stream)) == [expected]


@pytest.mark.parametrize("size", [0, 1, 4087, 4088, 4089, 8176, 20_000])
def test_a_body_larger_than_frame_max_comes_whole(size: int) -> None:
    body = bytes(i % 251 for i in range(size))
    stream = delivery(1, body, frame_max=4096)
    assert bodies_of(read([stream], frame_max=4096)) == [(1, body)]
    assert bodies_of(read(byte_by_byte(stream), frame_max=4096)) == [(1, body)]


@FAST
@given(st.integers(1, 40_000), st.integers(5000, 20_000), st.lists(st.integers(0, 60_000)))
def test_large_body_frames_come_whole_however_the_reads_cut_them(
    size: int, frame_max: int, places: list[int]
) -> None:
    body = bytes(i % 251 for i in range(size))
    whole = frames.content_frames(1, b"\x00\x00", body, frame_max)
    after_header = 22
    stream = (
        deliver_frame(1, "c", 1, False, "", "q")
        + whole[:after_header]
        + frames.HEARTBEAT
        + whole[after_header:]
        + delivery(2, b"next")
    )
    edges = [0, *sorted(place % len(stream) for place in places), len(stream)]
    pieces = [stream[start:stop] for start, stop in pairwise(edges)]
    assert bodies_of(read(pieces, frame_max=frame_max)) == [(1, body), (2, b"next")]
    assert read(pieces, frame_max=frame_max, max_body=size - 1)[1].body is None  # type: ignore[union-attr]


@pytest.mark.parametrize("step", [1, 999, 5000, 100_000])
def test_a_large_body_frame_that_is_wrong_is_refused_alike_in_each_cut(step: int) -> None:
    start = deliver_frame(1, "c", 1, False, "", "q")
    content = frames.content_frames(1, b"\x00\x00", b"x" * 9000, 0)
    header, body = content[:22], content[22:]
    longer = body[:3] + (9001).to_bytes(4, "big") + body[7:-1] + b"x\xce"
    for stream, complaint in (
        (start + header + body[:-1] + b"\xcd", "a frame ends in 0xcd"),
        (start + header + longer, "a body longer than the 9000 bytes"),
        (start + body, "a content body on channel 1 where a content header was due"),
        (start + header + body + body, "a content body on channel 1 where a content header"),
    ):
        with pytest.raises(ProtocolError, match=complaint):
            read([stream[at : at + step] for at in range(0, len(stream), step)])


def test_contents_of_several_channels_are_told_apart_frame_by_frame() -> None:
    def parts(channel: int, body: bytes) -> list[bytes]:
        content = frames.content_frames(channel, b"\x00\x00", body, 24)
        method = deliver_frame(channel, "c", 1, False, "", "q")
        return [method, content[:22], *(content[i : i + 24] for i in range(22, len(content), 24))]

    one, two = parts(1, b"a" * 16 + b"b" * 16 + b"c"), parts(2, b"x" * 16 + b"y" * 16 + b"z")
    stream = b"".join(a + b for a, b in zip(one, two, strict=True)) + frames.HEARTBEAT
    events = read([stream])
    assert bodies_of(events) == [
        (1, b"a" * 16 + b"b" * 16 + b"c"),
        (2, b"x" * 16 + b"y" * 16 + b"z"),
    ]
    assert events[-1] == Heartbeat()


def test_another_channels_methods_and_heartbeats_may_come_inside_a_content() -> None:
    whole = delivery(1, b"body")
    cut = len(whole) - 12
    other = frames.ack(2, 5) + frames.HEARTBEAT + delivery(3, b"other")
    events = read([whole[:cut] + other + whole[cut:]])
    assert [type(event).__name__ for event in events] == [
        "Ack",
        "Heartbeat",
        "Delivery",
        "Delivery",
    ]
    assert bodies_of(events) == [(3, b"other"), (1, b"body")]


@pytest.mark.parametrize("pieces_of", [in_one_piece, byte_by_byte])
@pytest.mark.parametrize("frame_max", [24, 4096])
def test_a_body_over_max_body_comes_as_none_and_the_next_message_whole(
    pieces_of: Callable[[bytes], list[bytes]], frame_max: int
) -> None:
    stream = delivery(1, b"x" * 101, frame_max=frame_max) + delivery(1, b"y" * 100)
    first, second = read(pieces_of(stream), max_body=100)
    assert isinstance(first, Delivery)
    assert isinstance(second, Delivery)
    assert (first.body, first.body_size) == (None, 101)
    assert (second.body, second.body_size) == (b"y" * 100, 100)


@pytest.mark.parametrize(
    "method",
    [
        frames.publish_prefix(1, "leveret", "key"),
        frames.method_frame(1, RETURN),
        frames.method_frame(1, GET_OK),
    ],
    ids=["publish", "return", "get-ok"],
)
def test_a_body_over_max_body_comes_as_none_with_every_method(method: bytes) -> None:
    stream = method + frames.content_frames(1, b"\x00\x00", b"x" * 9, 4096)
    (event,) = read([stream], max_body=8)
    assert isinstance(event, Publish | Content)
    assert (event.body, event.body_size) == (None, 9)


def test_names_that_are_no_utf8_survive_a_delivery_and_a_return_trip() -> None:
    name = b"\xff\xfe name".decode("utf-8", "surrogateescape")
    stream = deliver_frame(1, name, 1, True, name, name) + frames.content_frames(
        1, encode_properties(Properties(reply_to=name, correlation_id=name)), b"", 0
    )
    (event,) = read([stream])
    assert isinstance(event, Delivery)
    assert (event.consumer_tag, event.exchange, event.routing_key) == (name, name, name)
    assert (event.properties.reply_to, event.properties.correlation_id) == (name, name)
    assert deliver_frame(1, name, 1, True, name, name) == stream[: stream.index(b"\xce") + 1]


def test_a_returned_message_whose_key_is_no_utf8_survives() -> None:
    """A stranger chooses `reply_to`: an unroutable answer must not end the connection."""
    key = b"\xff\xfe"
    method = frames.raw_method(
        1, b"\x00\x3c\x00\x32\x01\x38\x08NO_ROUTE\x00" + bytes((len(key),)) + key
    )
    (event,) = read([method + frames.content_frames(1, b"\x00\x00", b"reply", 0)])
    assert isinstance(event, Content)
    assert event.method.routing_key == key.decode("utf-8", "surrogateescape")
    assert event.body == b"reply"


def test_a_method_whose_names_are_no_utf8_survives() -> None:
    (event,) = read([frames.raw_method(1, b"\x00\x3c\x00\x15\x03c\xff\xfe")])  # basic.consume-ok
    assert isinstance(event, Method)
    assert isinstance(event.method, Basic.ConsumeOk)
    assert event.method.consumer_tag.encode("utf-8", "surrogateescape") == b"c\xff\xfe"


def test_the_arguments_of_a_method_nest_as_deep_as_headers_may() -> None:
    nested = b""
    for _ in range(500):
        nested = b"A" + len(nested).to_bytes(4, "big") + nested
    table = b"\x01a" + nested
    payload = b"\x00\x32\x00\x0a\x00\x00\x01q\x00" + len(table).to_bytes(4, "big") + table
    (event,) = read([frames.raw_method(1, payload)])  # queue.declare
    assert isinstance(event, Method)
    assert isinstance(event.method, Queue.Declare)
    assert event.method.arguments == decode_table(table, 0, len(table))


def test_the_same_route_again_is_read_the_same() -> None:
    first, second = read([delivery(1, b"a") + delivery(1, b"a")])
    assert first == second


def test_a_message_without_a_body_is_complete_with_its_header() -> None:
    stream = delivery(1, b"")
    parser = Parser()
    assert parser.receive(stream[:-1]) == []
    (event,) = parser.receive(stream[-1:])
    assert isinstance(event, Delivery)
    assert (event.body, event.body_size) == (b"", 0)


def test_the_largest_frame_is_taken_and_a_new_limit_holds_at_once() -> None:
    parser = Parser(frame_max=4096)
    frame = frames.raw_method(1, b"\x00\x14\x00\x28\x01\x94\x00\x00\x00\x00\x00")  # channel.close
    assert isinstance(parser.receive(frame)[0], Method)
    stream = delivery(1, b"x" * 8184, frame_max=8192)
    parser.frame_max = 8192
    assert bodies_of(parser.receive(stream)) == [(1, b"x" * 8184)]


def test_no_bytes_are_no_events() -> None:
    assert Parser().receive(b"") == []
