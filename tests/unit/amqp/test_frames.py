"""What is sent: each hand-packed frame is pamqp's, byte for byte."""

from __future__ import annotations

from itertools import pairwise

import pamqp.commands as amqp
import pamqp.frame
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pamqp.body import ContentBody
from pamqp.header import ContentHeader
from pamqp.heartbeat import Heartbeat

from leveret.amqp import frames
from leveret.amqp.codes import PROTOCOL_HEADER
from leveret.amqp.methods import Channel
from leveret.amqp.properties import Properties, encode_properties
from leveret.body_parts import BodyParts
from tests.unit.amqp.deliveries import deliver_frame
from tests.unit.amqp.strategies import (
    FAST,
    bodies,
    channels,
    exchanges,
    pamqp_properties,
    properties,
    short_texts,
    tags,
)

booleans = st.booleans()


@FAST
@given(channels, exchanges, short_texts, booleans)
def test_a_publish_is_packed_as_by_pamqp(
    channel: int, exchange: str, routing_key: str, mandatory: bool
) -> None:
    expected = amqp.Basic.Publish(0, exchange, routing_key, mandatory)
    assert frames.publish_prefix(
        channel, exchange, routing_key, mandatory=mandatory
    ) == pamqp.frame.marshal(expected, channel)


@FAST
@given(channels, short_texts, tags, booleans, exchanges, short_texts)
def test_a_deliver_is_packed_as_by_pamqp(
    channel: int, consumer: str, tag: int, redelivered: bool, exchange: str, routing_key: str
) -> None:
    expected = amqp.Basic.Deliver(consumer, tag, redelivered, exchange, routing_key)
    packed = deliver_frame(channel, consumer, tag, redelivered, exchange, routing_key)
    assert packed == pamqp.frame.marshal(expected, channel)


@FAST
@given(channels, tags, booleans)
def test_an_ack_is_packed_as_by_pamqp(channel: int, tag: int, multiple: bool) -> None:
    expected = pamqp.frame.marshal(amqp.Basic.Ack(tag, multiple), channel)
    assert frames.ack(channel, tag, multiple=multiple) == expected


@FAST
@given(channels, tags, booleans, booleans)
def test_a_nack_is_packed_as_by_pamqp(
    channel: int, tag: int, multiple: bool, requeue: bool
) -> None:
    expected = pamqp.frame.marshal(amqp.Basic.Nack(tag, multiple, requeue), channel)
    assert frames.nack(channel, tag, multiple=multiple, requeue=requeue) == expected


def marshalled(channel: int, ours: Properties, body: bytes, chunk: int) -> bytes:
    """Header and body by pamqp, the body in frames of at most `chunk` bytes of payload."""
    header = ContentHeader(body_size=len(body), properties=pamqp_properties(ours))
    chunks = [body[start : start + chunk] for start in range(0, len(body), chunk)]
    parts: list[pamqp.frame.FrameTypes] = [header, *map(ContentBody, chunks)]
    return b"".join(pamqp.frame.marshal(part, channel) for part in parts)


@FAST
@given(channels, properties, bodies, st.integers(9, 300))
def test_content_is_packed_as_by_pamqp_and_cut_at_frame_max(
    channel: int, ours: Properties, body: bytes, least: int
) -> None:
    packed_properties = encode_properties(ours)
    frame_max = max(least, 20 + len(packed_properties))  # the header itself is never cut
    packed = frames.content_frames(channel, packed_properties, body, frame_max)
    assert packed == marshalled(channel, ours, body, frame_max - frames.FRAME_OVERHEAD)


@FAST
@given(channels, properties, bodies)
def test_content_without_a_frame_max_is_one_body_frame(
    channel: int, ours: Properties, body: bytes
) -> None:
    packed = frames.content_frames(channel, encode_properties(ours), body, 0)
    assert packed == marshalled(channel, ours, body, len(body) or 1)


@pytest.mark.parametrize("extra", [-1, 0, 1])
def test_a_body_at_the_edge_of_frame_max_is_cut_just_where_it_must_be(extra: int) -> None:
    frame_max = 4096
    body = b"x" * (frame_max - frames.FRAME_OVERHEAD + extra)
    packed = frames.content_frames(1, b"\x00\x00", body, frame_max)
    assert packed.count(b"\x03\x00\x01\x00") == (2 if extra > 0 else 1)
    assert packed == marshalled(1, Properties(), body, frame_max - frames.FRAME_OVERHEAD)


@FAST
@given(channels, exchanges, short_texts, properties, bodies, booleans)
def test_a_whole_message_is_its_publish_and_its_content(
    channel: int, exchange: str, routing_key: str, ours: Properties, body: bytes, mandatory: bool
) -> None:
    packed = frames.publish(
        channel, exchange, routing_key, ours, body, frame_max=4096, mandatory=mandatory
    )
    method = amqp.Basic.Publish(0, exchange, routing_key, mandatory)
    assert packed == pamqp.frame.marshal(method, channel) + marshalled(channel, ours, body, 4088)


@FAST
@given(channels, bodies, st.integers(1, 300))
def test_a_body_follows_what_is_before_it_in_frames_of_the_given_room(
    channel: int, body: bytes, room: int
) -> None:
    pieces = [body[start : start + room] for start in range(0, len(body), room)]
    expected = b"".join(pamqp.frame.marshal(ContentBody(piece), channel) for piece in pieces)
    assert frames.with_body(b"before", channel, body, room) == b"before" + expected


def test_properties_that_no_frame_can_hold_are_refused() -> None:
    """The broker would close the connection over them, and every other call with it."""
    assert len(frames.content_frames(1, b"\x00" * 4076, b"", 4096)) == 4096
    with pytest.raises(ValueError, match=r"properties take 4077 bytes.*room for 4076"):
        frames.content_frames(1, b"\x00" * 4077, b"", 4096)


@FAST
@given(channels, short_texts)
def test_any_other_method_is_packed_as_by_pamqp(channel: int, reason: str) -> None:
    method = Channel.Close(reply_code=404, reply_text=reason, class_id=50, method_id=10)
    packed = frames.method_frame(channel, method)
    assert packed == pamqp.frame.marshal(amqp.Channel.Close(404, reason, 50, 10), channel)
    assert packed == frames.raw_method(channel, packed[7:-1])


def test_heartbeat_and_protocol_header_are_as_by_pamqp() -> None:
    assert pamqp.frame.marshal(Heartbeat(), 0) == frames.HEARTBEAT
    assert pamqp.frame.unmarshal(PROTOCOL_HEADER)[2].name == "ProtocolHeader"


def test_a_routing_key_that_is_too_long_is_refused() -> None:
    with pytest.raises(ValueError, match="at most 255 bytes here, got 256"):
        frames.publish_prefix(1, "exchange", "k" * 256)


def test_a_routing_key_that_is_no_utf8_goes_out_as_it_came_in() -> None:
    key = b"\xff\xfe".decode("utf-8", "surrogateescape")
    assert frames.publish_prefix(1, "", key).endswith(b"\x02\xff\xfe\x00\xce")


@pytest.mark.parametrize("size", [0, 1, 9_000])
def test_the_size_of_a_body_is_read_from_its_frames(size: int) -> None:
    packed = frames.publish(1, "", "q", Properties(type="result"), b"x" * size, frame_max=4096)
    assert frames.body_size(packed) == size
    assert frames.body_size(b"") == 0


@FAST
@given(channels, bodies, st.lists(st.integers(0, 300), max_size=5), st.integers(1, 100))
def test_a_body_in_parts_has_the_frames_of_the_whole(
    channel: int, body: bytes, cuts: list[int], room: int
) -> None:
    bounds = [0, *sorted(cuts), len(body)]
    parts = [memoryview(body)[a:b] for a, b in pairwise(bounds)]
    expected = frames.with_body(b"before", channel, body, room)
    assert frames.with_body(b"before", channel, BodyParts(parts), room) == expected
    packed = frames.content_frames(channel, b"\x00\x00", BodyParts(parts), 4096)
    assert packed == frames.content_frames(channel, b"\x00\x00", body, 4096)
    assert bytes(frames.in_parts(b"before", channel, BodyParts(parts), room)) == expected


def test_the_frames_of_a_large_body_have_views_of_it_and_can_be_moved() -> None:
    item = bytes(frames.PARTS_FROM)
    packed = frames.in_parts(b"", 1, BodyParts((b"head", item)), 40_000)
    assert isinstance(packed, frames.FrameParts)
    whole = bytes(packed)
    assert len(packed) == len(whole) == len(item) + 4 + 2 * frames.FRAME_OVERHEAD
    assert [view.obj is item for view in packed.parts if type(view) is memoryview] == [
        False,
        True,
        True,
    ]
    assert frames.on_channel(packed, 2) == bytes(
        frames.in_parts(b"", 2, BodyParts((b"head", item)), 40_000)
    )
    assert isinstance(frames.in_parts(b"", 1, BodyParts((b"head",)), 40_000), bytes)
