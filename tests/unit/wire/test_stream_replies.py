"""What a client reads of streams, and what its requests and credits carry."""

from __future__ import annotations

from typing import Any

import pytest

from leveret.amqp.events import Delivery
from leveret.amqp.properties import Properties
from leveret.amqp.tables import decode_table
from leveret.streaming import Credit
from leveret.wire.message import Notice, Reply, ReplyAddress
from leveret.wire.native.stream_replies import credit_properties, read_stream, stream_headers
from leveret.wire.stream_messages import Closing, Credited, End, Item, Sign


def message(kind: str, body: bytes = b"", **headers: Any) -> Delivery:
    properties = Properties(
        content_type="application/json",
        correlation_id="c",
        type=kind,
        reply_to="feed.s1",
        headers=headers or None,
    )
    return Delivery(1, "t", 1, False, "", "q", properties, body, len(body))


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        (message("item", b"7", n=3), Item("feed.s1", 3, b"7", 1, "application/json")),
        (
            message("item", b"7", n=3, cursor="x"),
            Item("feed.s1", 3, b"7", 1, "application/json", "x"),
        ),
        (message("item", n="x", cursor=1), Item("feed.s1", 0, b"", 0, "application/json")),
        (message("item"), Item("feed.s1", 0, b"", 0, "application/json")),
        (message("end", n=3), End(server="feed.s1", n=3, moved=False)),
        (
            message("end", n=3, moved=True, metadata={"a": "b"}),
            End(server="feed.s1", n=3, moved=True, metadata={"a": "b"}),
        ),
        (message("progress", n=3), Sign(server="feed.s1", n=3)),
        (
            message("credit", got=1, upto=2, bytes=3, again=True),
            Credited(server="feed.s1", credit=Credit(got=1, upto=2, size=3, again=True)),
        ),
    ],
)
def test_each_message_of_a_stream_is_read(sent: Delivery, read: object) -> None:
    assert read_stream(sent) == read


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\0\0\0\0",
        b"\0\0\0\1",
        b"\0\0\0\1\0\0\0\1",
        b"\0\0\0\1\0\0\0\1ab",
        b"\xff\xff\xff\xff\0\0\0\1a",
    ],
)
def test_several_items_whose_sizes_are_not_those_of_the_body_are_one_that_cannot_be_read(
    body: bytes,
) -> None:
    item = read_stream(message("items", body, n=5))
    assert isinstance(item, Item)
    assert (item.n, item.problem) == (5, "several items, and not their sizes")


def test_what_ends_any_call_is_read_with_its_server_and_the_number_of_items() -> None:
    error = read_stream(message("error", b"{}", n=4))
    assert isinstance(error, Closing)
    assert (error.server, error.n, error.reply.is_error) == ("feed.s1", 4, True)
    result = read_stream(message("result", b"7"))
    assert isinstance(result, Closing)
    assert (result.n, result.reply.is_error, result.reply.body) == (0, False, b"7")


def test_all_else_is_read_as_for_any_call() -> None:
    assert isinstance(read_stream(message("accepted")), Notice)
    unknown = read_stream(message("sonnet"))
    assert isinstance(unknown, Reply)
    assert "unknown type" in unknown.problem


def test_the_headers_of_a_request() -> None:
    def of(**given: Any) -> dict[str, Any]:
        usual = {"credit": 64, "credit_bytes": 9, "packed": 7, "uploads": False}
        packed = stream_headers(**{**usual, "total": None, "cursor": None, **given})
        return decode_table(packed, 0, len(packed))

    result = {"credit": 64, "credit-bytes": 9, "packed": 7}
    assert of() == result
    assert of(credit=None, uploads=True) == {"uploads": True}
    assert of(total=5, cursor="x") == {**result, "total": 5, "cursor": "x"}


def test_the_properties_of_a_credit() -> None:
    address = ReplyAddress(exchange="", key="replies")
    credit = Credit(got=1, upto=2, size=3)
    sent = credit_properties(credit, "c", reply_to=address, seconds=10)
    assert (sent.type, sent.correlation_id, sent.reply_to) == ("credit", "c", "replies")
    assert (sent.headers, sent.expiration) == ({"got": 1, "upto": 2, "bytes": 3}, "10000")
    again = credit_properties(
        Credit(got=1, upto=2, size=3, again=True), "c", reply_to=address, seconds=10
    )
    assert (again.headers or {})["again"] is True
