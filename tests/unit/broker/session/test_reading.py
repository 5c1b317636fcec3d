from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leveret.amqp import frames, methods
from leveret.amqp.codes import ReplyCode
from leveret.amqp.properties import Properties
from leveret.broker.session.reading import BrokerParser
from leveret.broker.session.received import Published
from tests.unit.amqp.strategies import FAST


def parser() -> BrokerParser:
    return BrokerParser(frame_max=4096, max_body=20_000)


def publish(body: bytes, channel: int = 1) -> bytes:
    return frames.publish(
        channel, "x", "key", Properties(headers={"a": 1}, reply_to="r"), body, frame_max=4096
    )


STREAM = (
    publish(b"small")
    + frames.ack(1, 5, multiple=True)
    + publish(b"")
    + publish(b"z" * 10_000, 2)
    + frames.nack(1, 6, requeue=False)
    + frames.method_frame(3, methods.Queue.Declare(queue="q", arguments={"x-expires": 5}))
    + frames.HEARTBEAT
)


@FAST
@given(st.lists(st.integers(1, 400)))
def test_a_stream_is_the_same_however_it_is_cut(cuts: list[int]) -> None:
    whole = parser().receive(STREAM)
    pieces = parser()
    events: list[object] = []
    rest = STREAM
    for cut in cuts:
        events += pieces.receive(rest[:cut])
        rest = rest[cut:]
    events += pieces.receive(rest)
    assert events == whole
    assert len(whole) == 7


def test_a_publish_brings_its_properties_parsed_and_packed() -> None:
    (event,) = parser().receive(publish(b"body"))
    assert isinstance(event, Published)
    assert (event.exchange, event.routing_key, event.body) == ("x", "key", b"body")
    assert event.properties.headers == {"a": 1}
    assert event.packed.endswith(b"\x01r")


def test_a_body_beyond_the_limit_is_read_past_and_not_kept() -> None:
    reader = parser()
    (event,) = reader.receive(publish(b"z" * 30_000))
    assert isinstance(event, Published)
    assert (event.body, event.body_size, reader.held) == (None, 30_000, 0)


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"\x01\0\1\0\0\0\4\0\x3c\0\x28\xcd", "invalid_frame_end_marker"),
        (b"\x07\0\1\0\0\0\0\xce", "unknown_frame"),
        (b"\x01\0\1\0\x10\0\0", "frame_too_large"),
        (b"\x03\0\1\0\0\0\1a\xce", "expected method frame"),
        (frames.publish_prefix(1, "", "a") + frames.ack(1, 1), "expected content header"),
        (b"\x01\0\1\0\0\0\4\0\x3c\0\x63\xce", "unknown method"),
    ],
)
def test_what_is_no_amqp_is_refused_with_a_reason(data: bytes, complaint: str) -> None:
    reader = parser()
    whole = reader.receive(publish(b"before") + data + publish(b"after"))
    assert [event.body for event in whole if isinstance(event, Published)] == [b"before"]
    assert complaint in str(reader.broken)


@pytest.mark.parametrize(
    "data",
    [
        b"\x01\0\x22\0\0\0\1b\xce",
        b"\x01\0\0\0\0\0\0\xce",
        b"\x02\0\1\0\0\0\x0b\0\x3c\0\0\0\0\0\0\0\0\0\xce",
        b"\x02\0\0\0\0\0\0\xce",
    ],
    ids=["method", "method on channel 0", "header", "header on channel 0"],
)
def test_a_frame_too_short_for_its_first_fields_is_none(data: bytes) -> None:
    assert verdict(data) == verdict(data + publish(b"after"))
    code, text = verdict(data)
    assert (code, ": unknown_frame" in text) == (ReplyCode.FRAME_ERROR, True)


def verdict(data: bytes) -> tuple[int, str]:
    """What is wrong with the bytes."""
    reader = parser()
    reader.receive(data)
    return (reader.broken.reply_code, str(reader.broken)) if reader.broken else (0, "")


KNOWN = sorted(methods.METHODS)


@FAST
@given(
    st.lists(
        st.tuples(
            st.sampled_from([1, 1, 1, 2, 3, 8]),
            st.integers(0, 2),
            st.sampled_from([b"", *(index.to_bytes(4, "big") for index in KNOWN)]),
            st.binary(max_size=40),
        ),
        min_size=1,
        max_size=3,
    )
)
def test_what_comes_after_a_frame_changes_nothing_of_its_verdict(
    made: list[tuple[int, int, bytes, bytes]],
) -> None:
    data = b""
    for kind, channel, start, rest in made:
        payload = start + rest
        data += struct.pack(">BHI", kind, channel, len(payload)) + payload + b"\xce"
    if (alone := verdict(data)) != (0, ""):
        assert verdict(data + publish(b"after")) == alone
        assert verdict(data + bytes(300)) == alone
