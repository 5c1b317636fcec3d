"""One-way requests as they stand on the wire."""

from __future__ import annotations

import time

import pytest

from leveret.amqp.frames import published
from leveret.wire.dialect import ClientChannel
from leveret.wire.message import ReplyAddress
from leveret.wire.native.one_way import OneWayClient


def channel(frame_max: int = 131072, user: str = "guest", name: str = "") -> ClientChannel:
    reply_to = ReplyAddress(exchange="", key="leveret.reply.test")
    return ClientChannel(number=3, frame_max=frame_max, reply_to=reply_to, user=user, name=name)


def test_a_request_is_persistent_and_names_no_reply_queue_and_no_time() -> None:
    packer = OneWayClient(None).packer(
        channel(name="shop"), key="audit.record", content_type="application/json", priority=2
    )
    headers = OneWayClient(None).headers({"by": "me"}, "key-1")
    properties, body = published(packer.pack(b"id-1", 5, 5, b'{"event":"a"}', headers))
    assert body == b'{"event":"a"}'
    assert properties.delivery_mode == 2
    assert properties.correlation_id == "id-1"
    assert properties.type == "call"
    assert properties.priority == 2
    assert (properties.user_id, properties.app_id) == ("guest", "shop")
    assert (properties.reply_to, properties.expiration) == (None, None)
    assert properties.headers == {"metadata": {"by": "me"}, "idempotency-key": "key-1"}


def test_a_request_that_expires_says_so_to_the_broker_and_to_servers() -> None:
    packer = OneWayClient(60).packer(
        channel(user=""), key="audit.record", content_type="text/plain"
    )
    before = time.time()
    properties, body = published(packer.pack(b"id-1", 5, 5, b""))
    assert (properties.expiration, properties.user_id, body) == ("60000", None, b"")
    assert properties.headers is not None
    assert list(properties.headers) == ["deadline"]
    assert properties.headers["deadline"] / 1000 >= int(before) + 60


def test_what_does_not_fit_into_a_frame_is_refused() -> None:
    client = OneWayClient(None)
    packer = client.packer(channel(4096), key="a.b", content_type="application/json")
    assert 1000 < packer.headers_room < 4096
    packer.pack(b"id", 0, 0, b"", b"x" * 0)
    with pytest.raises(ValueError, match="does not fit into a frame"):
        client.packer(channel(1024), key="a.b", content_type="application/json")
