from __future__ import annotations

from leveret.amqp.properties import Properties, PropertiesParser, encode_properties
from leveret.broker.model.messages import Entry, with_headers
from tests.unit.broker.world import message


def read(packed: bytes) -> Properties:
    return PropertiesParser().parse(packed, 0, len(packed))


def test_headers_are_added_to_those_that_came_in_the_order_of_their_names() -> None:
    came = encode_properties(Properties(correlation_id="1", headers={"z": 1, "a": 2}))
    properties = read(with_headers(came, {"m": "x"}))
    assert list((properties.headers or {}).items()) == [("a", 2), ("m", "x"), ("z", 1)]
    assert properties.correlation_id == "1"


def test_a_message_without_headers_gets_some() -> None:
    assert read(with_headers(b"\0\0", {"h": True})).headers == {"h": True}


def test_an_entry_that_was_requeued_tells_how_often() -> None:
    entry = Entry(message("x"), 0, None)
    entry.delivery_count = 2
    assert read(entry.counted()).headers == {"x-delivery-count": 2}


def test_a_message_weighs_more_than_its_bytes_and_says_where_it_goes() -> None:
    one = message("x" * 100, key="key", exchange="exchange")
    assert one.size > 100
    assert (one.routing_key, one.route) == ("key", b"\x08exchange\x03key")
