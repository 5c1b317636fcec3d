"""The messages of an upload, byte for byte as any other reader reads them."""

from __future__ import annotations

import pytest
from msgspec import structs

from leveret.amqp.frames import on_channel, published
from leveret.amqp.properties import Properties
from leveret.wire.native.upload_packer import UploadPacker
from tests.unit.client.calls.making import CHANNEL


@pytest.mark.parametrize("user", ["guest", ""])
@pytest.mark.parametrize("size", [0, 5, 300_000])
def test_a_message_of_an_upload(user: str, size: int) -> None:
    packer = UploadPacker(
        structs.replace(CHANNEL, user=user),
        key="feed.watch",
        server="feed.s1",
        call_id="c1",
        content_type="application/json",
    )
    frames = on_channel(packer.pack("item", 2**40, b"x" * size), 7)
    assert b"feed.watch@s1" in frames
    properties, body = published(frames)
    assert body == b"x" * size
    assert properties == Properties(
        content_type="application/json",
        headers={"n": 2**40},
        correlation_id="c1",
        reply_to="leveret.reply.test",
        type="item",
        user_id=user or None,
    )
