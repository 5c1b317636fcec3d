"""Bad bytes: the right reply code, never a hang, never another error, never an unbounded buffer."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leveret.amqp import frames
from leveret.amqp.codes import ReplyCode
from leveret.amqp.parser import Parser
from leveret.errors import ProtocolError
from tests.unit.amqp.deliveries import deliver_frame
from tests.unit.amqp.reading import byte_by_byte, held, outcome
from tests.unit.amqp.strategies import FAST, conversations, cuts, raw_tables

DELIVER = deliver_frame(1, "c", 1, False, "", "q")
PUBLISH = frames.publish_prefix(1, "", "q")
RETURN = frames.raw_method(1, b"\x00\x3c\x00\x32\x01\x38\x00\x00\x00")


def frame(kind: int, channel: int, payload: bytes, end: int = 0xCE) -> bytes:
    """A frame of any kind, right or wrong."""
    return struct.pack(">BHI", kind, channel, len(payload)) + payload + bytes((end,))


def header(size: int, properties: bytes = b"\x00\x00", class_id: int = 60) -> bytes:
    """A content header on channel 1."""
    return frame(2, 1, struct.pack(">HHQ", class_id, 0, size) + properties)


def body(payload: bytes) -> bytes:
    """A content body on channel 1."""
    return frame(3, 1, payload)


def method(class_id: int, method_id: int, arguments: bytes = b"") -> bytes:
    """A method frame on channel 1."""
    return frame(1, 1, struct.pack(">HH", class_id, method_id) + arguments)


FRAME_ERRORS = {
    "a frame ends in 0x00 instead of 0xce": frame(8, 0, b"", end=0),
    "a frame ends in 0xff instead of 0xce": frame(
        1, 1, b"\x00\x3c\x00\x50" + b"\x00" * 9, end=0xFF
    ),
    "a frame of 4097 bytes, more than 4096": struct.pack(">BHI", 3, 1, 4089),
    "a frame of 4294967303 bytes, more than 4096": b"\x01\x00\x01\xff\xff\xff\xff",
    "a frame of the unknown type 4": frame(4, 1, b"x"),
    "a frame of the unknown type 65": b"A\x00\x01\x00\x00\x00\x10",
    "a frame of the unknown type 0": struct.pack(">BHI", 0, 0, 4000),
    "a heartbeat on a channel or with a payload": frame(8, 0, b"x"),
    "a body longer than the 2 bytes its header promises": DELIVER + header(2) + body(b"abc"),
}
UNEXPECTED_FRAMES = {
    "a content header on channel 1 where a method was due": header(2),
    "a content body on channel 1 where a content header was due": body(b"x"),
    "a method on channel 1 where content was due": DELIVER + frames.ack(1, 1),
}
SYNTAX_ERRORS = {
    "no method index": frame(1, 1, b""),
    "half a method index": frame(1, 1, b"\x00\x3c\x00"),
    "an ack that is too short": method(60, 80, b"\x00" * 8),
    "an ack that is too long": method(60, 80, b"\x00" * 10),
    "a nack that is too short": method(60, 120, b"\x00" * 8),
    "a nack that is too long": method(60, 120, b"\x00" * 10),
    "a deliver without anything": method(60, 60),
    "a deliver whose consumer tag is truncated": method(60, 60, b"\x20abc"),
    "a deliver whose routing key is truncated": method(
        60, 60, b"\x01c" + b"\x00" * 9 + b"\x00\x20q"
    ),
    "a deliver with bytes to spare": method(60, 60, b"\x01c" + b"\x00" * 9 + b"\x00\x01qX"),
    "a publish without anything": method(60, 40),
    "a publish whose exchange is truncated": method(60, 40, b"\x00\x00\xffe"),
    "a publish whose routing key is truncated": method(60, 40, b"\x00\x00\x01e\x20k"),
    "a publish without its bits": method(60, 40, b"\x00\x00\x01e\x01k"),
    "a publish with bytes to spare": method(60, 40, b"\x00\x00\x01e\x01k\x00\x00"),
    "a return whose reply text is truncated": method(60, 50, b"\x01\x38\x20NO"),
    "a channel.close that is truncated": method(20, 40, b"\x01\x94"),
    "a queue.declare whose arguments are truncated": method(
        50, 10, b"\x00\x00\x01q\x00\x00\x00\x00\x50\x01a"
    ),
    "a queue.declare with a field of an unknown type": method(
        50, 10, b"\x00\x00\x01q\x00\x00\x00\x00\x03\x01aQ"
    ),
    "a queue.declare with bytes to spare": method(50, 10, b"\x00\x00\x01q" + b"\x00" * 6),
    "a header of another class": DELIVER + header(2, class_id=50),
    "a header without properties": DELIVER + frame(2, 1, b"\x00\x3c\x00\x00" + b"\x00" * 8),
    "a header cut short": DELIVER + frame(2, 1, b"\x00\x3c\x00"),
    "a property that is truncated": DELIVER + header(2, b"\x04\x00\x20abc"),
    "a property that runs into the next frame": DELIVER + header(2, b"\x04\x00\x04abc"),
    "a property too much": DELIVER + header(2, b"\x00\x00\x01a"),
    "a header table that is truncated": DELIVER + header(2, b"\x20\x00\x00\x00\x00\x50\x01a"),
    "a header table that does not hold together": DELIVER
    + header(2, b"\x20\x00\x00\x00\x00\x04\x01aI\x00"),
    "a header of an unknown type": DELIVER + header(2, b"\x20\x00\x00\x00\x00\x03\x01aQ"),
    "property flags that go on": DELIVER + header(2, b"\x00\x01\x00\x00"),
    "property flags that AMQP does not define": DELIVER + header(2, b"\x00\x02"),
}
UNKNOWN_METHODS = {
    "unknown method 99 of class 60": method(60, 99),
    "unknown method 10 of class 77": method(77, 10, b"whatever"),
    "unknown method 0 of class 0": method(0, 0),
    "unknown method 65535 of class 65535": method(65_535, 65_535),
}


def broken(stream: bytes, *, frame_max: int = 4096) -> ProtocolError:
    """The error that a stream meets, however it is cut and whatever follows it."""
    codes = {
        outcome(pieces, frame_max=frame_max)[1]
        for pieces in (byte_by_byte(stream), [stream + b"\x00" * 300], [stream + DELIVER * 20])
    }
    with pytest.raises(ProtocolError) as caught:
        Parser(frame_max=frame_max).receive(stream)
    assert codes == {caught.value.reply_code}
    return caught.value


@pytest.mark.parametrize("what", FRAME_ERRORS)
def test_a_frame_that_cannot_be_right_is_a_frame_error(what: str) -> None:
    error = broken(FRAME_ERRORS[what])
    assert str(error) == f"FRAME_ERROR - {what} (AMQP 501)"


@pytest.mark.parametrize("what", UNEXPECTED_FRAMES)
def test_a_frame_out_of_turn_is_an_unexpected_frame(what: str) -> None:
    error = broken(UNEXPECTED_FRAMES[what])
    assert str(error) == f"UNEXPECTED_FRAME - {what} (AMQP 505)"


@pytest.mark.parametrize("start", [DELIVER, PUBLISH, RETURN], ids=["deliver", "publish", "return"])
@pytest.mark.parametrize(
    "wrong",
    [
        body(b"x"),
        DELIVER,
        PUBLISH,
        header(5) + header(5),
        header(5) + body(b"abc") + header(5),
        header(5) + body(b"abc") + PUBLISH,
        header(0) + body(b""),
        header(2) + body(b"ab") + body(b""),
    ],
    ids=[
        "a body before the header",
        "a deliver before the header",
        "a publish before the header",
        "two headers",
        "a header inside the body",
        "a publish inside the body",
        "a body after an empty message",
        "a body after the last",
    ],
)
def test_content_out_of_order_is_an_unexpected_frame(start: bytes, wrong: bytes) -> None:
    assert broken(start + wrong).reply_code == ReplyCode.UNEXPECTED_FRAME


@pytest.mark.parametrize("what", SYNTAX_ERRORS)
def test_a_frame_whose_content_is_malformed_is_a_syntax_error(what: str) -> None:
    error = broken(SYNTAX_ERRORS[what])
    assert error.reply_code == ReplyCode.SYNTAX_ERROR
    assert error.reply_text.startswith("SYNTAX_ERROR - malformed frame: ")


@pytest.mark.parametrize("what", UNKNOWN_METHODS)
def test_a_method_that_amqp_does_not_know_is_a_command_invalid(what: str) -> None:
    error = broken(UNKNOWN_METHODS[what])
    assert str(error) == f"COMMAND_INVALID - {what} (AMQP 503)"


@pytest.mark.parametrize("stream", [b"AMQP\x00\x00\x09\x01", b"HTTP/1.1 400 Bad Request\r\n\r\n"])
def test_a_peer_that_does_not_speak_amqp_is_found_out_by_its_first_bytes(stream: bytes) -> None:
    assert broken(stream[:8]).reply_code == ReplyCode.FRAME_ERROR


def test_a_frame_is_refused_for_its_size_before_its_payload_comes() -> None:
    assert Parser(frame_max=4096).receive(struct.pack(">BHI", 3, 1, 4088)) == []
    with pytest.raises(ProtocolError):
        Parser(frame_max=4096).receive(struct.pack(">BHI", 3, 1, 4089))


# Arbitrary bytes


def survives(stream: bytes, pieces: list[bytes]) -> None:
    """Events or a `ProtocolError`, the same for each way to cut the stream, and little is kept."""
    limits = {"frame_max": 4096, "max_body": 1000}
    whole = outcome([stream], **limits)
    singly = outcome(byte_by_byte(stream), **limits)
    cut = outcome(pieces, **limits)
    assert singly[1] == cut[1] == whole[1]
    # A read that ends in an error loses its own events, never those of the reads before it.
    assert singly[0][: len(cut[0])] == cut[0]
    assert cut[0][: len(whole[0])] == whole[0]
    if whole[1] is None:
        assert singly[0] == whole[0]


@FAST
@given(st.binary(max_size=300), st.data())
def test_arbitrary_bytes_are_events_or_a_protocol_error(stream: bytes, data: st.DataObject) -> None:
    survives(stream, data.draw(cuts(stream)))


_payloads = st.one_of(
    st.binary(max_size=30),
    st.builds(
        lambda class_id, method_id, rest: struct.pack(">HH", class_id, method_id) + rest,
        st.sampled_from((10, 20, 40, 50, 60, 85, 90)),
        st.sampled_from((10, 11, 20, 21, 30, 31, 40, 41, 50, 60, 70, 71, 80, 111, 120)),
        st.binary(max_size=40),
    ),
    st.builds(
        lambda size, flags, rest: struct.pack(">HHQH", 60, 0, size, flags) + rest,
        st.integers(0, 4),
        st.sampled_from((0, 0x2000, 0x8000, 0x0400, 0xFFFC, 0x0001)),
        st.binary(max_size=12) | raw_tables.map(lambda t: struct.pack(">I", len(t)) + t),
    ),
)
_frames = st.one_of(
    st.builds(frame, st.sampled_from((1, 1, 2, 3, 3, 8)), st.sampled_from((0, 1, 1, 2)), _payloads),
    st.sampled_from((DELIVER, PUBLISH, RETURN, header(0), header(2), body(b""), body(b"ab"))),
)


@FAST
@given(st.lists(_frames, max_size=8).map(b"".join), st.data())
def test_arbitrary_frames_are_events_or_a_protocol_error(
    stream: bytes, data: st.DataObject
) -> None:
    survives(stream, data.draw(cuts(stream)))


@FAST
@given(conversations(), st.data())
def test_a_valid_stream_with_bytes_changed_is_events_or_a_protocol_error(
    stream: bytes, data: st.DataObject
) -> None:
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(stream)))
        dropped = data.draw(st.integers(0, 3))
        stream = stream[:at] + data.draw(st.binary(max_size=3)) + stream[at + dropped :]
    survives(stream, data.draw(cuts(stream)))


# What is kept


OVERHEAD = 16 * 1024
"""Bytes that an empty parser and its books take, at most."""


def test_an_unfinished_frame_holds_no_more_than_frame_max() -> None:
    parser = Parser(frame_max=4096, max_body=10_000)
    for piece in byte_by_byte(struct.pack(">BHI", 1, 1, 4088) + b"\x00" * 4088):
        parser.receive(piece)
    assert held(parser) < OVERHEAD + 4096


@pytest.mark.parametrize("chunk", [1, 7, 1000, 4000])
def test_an_unfinished_body_holds_no_more_than_max_body_and_a_frame(chunk: int) -> None:
    parser = Parser(frame_max=4096, max_body=100_000)
    parser.receive(DELIVER + header(100_000))
    for _ in range(99_999 // chunk):
        parser.receive(body(b"x" * chunk))
    assert held(parser) < OVERHEAD + 4096 + 100_000 * 1.2


def test_empty_body_frames_without_end_take_no_memory() -> None:
    parser = Parser(frame_max=4096, max_body=100_000)
    parser.receive(DELIVER + header(10))
    for _ in range(100):
        parser.receive(body(b"") * 1000)
    assert held(parser) < OVERHEAD


def test_a_body_over_max_body_is_read_past_and_not_kept() -> None:
    parser = Parser(frame_max=4096, max_body=1000)
    parser.receive(DELIVER + header(2**63))
    for _ in range(1000):
        assert parser.receive(body(b"x" * 4000)) == []
    assert held(parser) < OVERHEAD


def test_what_is_remembered_of_names_and_routes_is_bounded() -> None:
    parser = Parser(frame_max=4096)
    for number in range(20_000):
        name = f"{number:0200d}"
        parser.receive(deliver_frame(1, name, 1, False, name, name) + header(0))
    assert held(parser) < 8 * 2**20
