"""Tests of what a server sends and reads of calls that stream."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import structs

from leveret.errors import MaybeExecuted
from leveret.streaming import Credit
from leveret.wire import control
from leveret.wire.dialect import StreamPacker
from leveret.wire.failures import decode_failure
from leveret.wire.message import Incoming, StreamRequest, UploadMessage
from leveret.wire.native.reply import ReplyPacker
from leveret.wire.native.request import read_request
from leveret.wire.native.stream import read_upload
from leveret.wire.native.stream_replies import read_stream
from leveret.wire.stream_messages import Items
from tests.unit.wire.messages import FRAME_MAX, MINE, NOW, SHOUT, delivered, delivery


def request(**headers: Any) -> Incoming:
    return read_request(
        delivery(correlation_id="c1", reply_to=MINE.key, headers=headers), NOW, timeout=5.0
    )


def packer(**properties: Any) -> StreamPacker:
    incoming = structs.replace(request(credit=64), **properties)
    return ReplyPacker(3, FRAME_MAX, SHOUT).stream(incoming, "words.a1")


def test_a_request_says_what_it_takes_and_gives() -> None:
    assert request(deadline=1).stream is None
    assert request(credit="64").stream is None
    assert request(credit=64, **{"credit-bytes": 1000}).stream == StreamRequest(items=64, size=1000)
    assert request(credit=1, packed=9).stream == StreamRequest(items=1, packed=9)
    found = request(uploads=True, total=1_750_000_001_500, cursor="at 5").stream
    assert found == StreamRequest(uploads=True, total=1_750_000_001.5, cursor="at 5")
    assert request(credit=-1, uploads=1).stream is None


@pytest.mark.parametrize("body", [b"", b"x", b"x" * 5_000, b"x" * (2 * FRAME_MAX)])
def test_items_arrive_with_their_numbers(body: bytes) -> None:
    packed = packer()
    for number in (1, 2, 1 << 40):
        for cursor in ("", "at é"):
            message = delivered(packed.item(number, body, cursor))
            properties = message.properties
            assert message.body == body
            assert (properties.type, properties.correlation_id) == ("item", "c1")
            assert (properties.reply_to, properties.content_type) == (
                "words.a1",
                "application/json",
            )
            wanted = {"n": number, "cursor": cursor} if cursor else {"n": number}
            assert properties.headers == wanted


def test_several_items_arrive_in_one_message() -> None:
    message = delivered(bytes(packer().items(7, [b"a", b"", b"bcd"])))
    assert (message.properties.type, message.properties.headers) == ("items", {"n": 7})
    read = read_stream(message)
    assert isinstance(read, Items)
    assert (read.server, read.n, read.sizes) == ("words.a1", 7, (1, 0, 3))
    items = read.after(0)
    assert [(item.n, item.body, item.body_size) for item in items] == [
        (7, b"a", 1),
        (8, b"", 0),
        (9, b"bcd", 3),
    ]
    assert all(item.content_type == "application/json" for item in items)
    assert read.after(2) == items[2:]


def test_several_large_items_arrive_in_one_message_of_several_frames() -> None:
    bodies = [b"a" * FRAME_MAX, b"b" * 3, b"c" * 2 * FRAME_MAX]
    read = read_stream(delivered(bytes(packer().items(1, bodies))))
    assert isinstance(read, Items)
    assert [item.body for item in read.after(0)] == bodies


def test_all_of_it_is_published_mandatory_to_the_callers_queue() -> None:
    packed = packer()
    for frames in (packed.item(1, b"x"), packed.progress(1), packed.end(1)):
        message = delivered(frames)
        assert (message.exchange, message.routing_key) == ("", MINE.key)
        exchange_end = 14 + frames[13]
        assert frames[exchange_end + 1 + frames[exchange_end]] == 1  # the bit `mandatory`


def test_ends_errors_and_signs_of_life_say_how_many_items_there_were() -> None:
    packed = packer(content_type="text/plain")
    end = delivered(packed.end(3, {"mood": "fine"})).properties
    assert (end.type, end.headers) == ("end", {"n": 3, "metadata": {"mood": "fine"}})
    moved = delivered(packed.end(3, moved=True)).properties
    assert moved.headers == {"n": 3, "moved": True}
    error = delivered(packed.error(2, MaybeExecuted("gone")))
    assert (error.properties.type, error.properties.headers) == ("error", {"n": 2})
    assert isinstance(decode_failure(error.body or b"", {}, ""), MaybeExecuted)
    progress = delivered(packed.progress(7)).properties
    assert (progress.type, progress.headers) == ("progress", {"n": 7})
    credit = Credit(got=1, upto=65, size=2000)
    first = delivered(packed.credit(credit)).properties
    assert (first.type, first.headers) == ("credit", {"got": 1, "upto": 65, "bytes": 2000})
    again = delivered(packed.credit(structs.replace(credit, again=True))).properties
    assert (again.headers or {})["again"] is True


def test_what_cannot_be_sent_is_refused() -> None:
    with pytest.raises(ValueError, match="a cursor has at most 255 bytes"):
        packer().item(1, b"x", "é" * 128)
    with pytest.raises(TypeError, match="metadata must map text to text"):
        packer().end(1, {"n": 1})  # type: ignore[dict-item]
    with pytest.raises(ValueError, match="metadata must fit into one frame"):
        packer().end(1, {"n": "x" * FRAME_MAX})
    with pytest.raises(ValueError, match="needs a reply address and a call id"):
        packer(reply_to=None)


def test_a_credit_is_read_as_far_as_it_can_be() -> None:
    given: dict[str, Any] = {"type": "credit", "correlation_id": "c1", "reply_to": MINE.key}
    counts = {"got": 1, "upto": 65, "bytes": 2000}
    read = control.read(delivery(b"", **given, headers={**counts, "again": True}))
    assert read == control.GivesCredit(
        key=(MINE, "c1"), credit=Credit(got=1, upto=65, size=2000, again=True)
    )
    for wrong in ({}, {**counts, "got": -1}, {**counts, "upto": "65"}, {**counts, "bytes": None}):
        assert control.read(delivery(b"", **given, headers=wrong)) is None
    assert control.read(delivery(b"", type="credit", headers=counts)) is None


def test_uploads_are_read_and_what_is_none_is_left() -> None:
    given: dict[str, Any] = {"type": "item", "correlation_id": "c1", "reply_to": MINE.key}
    item = read_upload(delivery(b"3", **given, content_type="text/plain", headers={"n": 2}))
    assert item == UploadMessage(
        key=(MINE, "c1"),
        number=2,
        is_end=False,
        is_sign=False,
        user="",
        content_type="text/plain",
        body=b"3",
        body_size=1,
    )
    end = read_upload(delivery(b"", **{**given, "type": "end"}, headers={"n": 2}))
    assert end is not None
    assert end.is_end
    sign = read_upload(delivery(b"", **{**given, "type": "progress"}, headers={"n": 2}))
    assert sign is not None
    assert sign.is_sign
    packed = read_upload(delivery(b"", **given, content_encoding="gzip", headers={"n": 2}))
    assert packed is not None
    assert "gzip" in packed.problem
    for wrong in ({"headers": None}, {"type": "call"}, {"correlation_id": ""}, {"reply_to": None}):
        assert read_upload(delivery(b"", **{**given, "headers": {"n": 2}, **wrong})) is None
