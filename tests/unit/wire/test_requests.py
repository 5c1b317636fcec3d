"""Requests are what pamqp, another encoder of AMQP, makes of them, byte for byte."""

from __future__ import annotations

from typing import Any

import pamqp.commands
import pamqp.encode
import pamqp.frame
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pamqp.body import ContentBody
from pamqp.header import ContentHeader

from leveret.wire.dialect import ClientChannel
from leveret.wire.message import ReplyAddress
from leveret.wire.native.dialect import NativeClient
from leveret.wire.native.reply import ResultPacker
from leveret.wire.native.request import RequestPacker
from leveret.wire.tutorial import TutorialClient
from tests.unit.wire.messages import CHANNEL, MINE, split

FAIR = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # on a busy machine

SHORT = st.text(max_size=40).filter(lambda text: len(text.encode()) <= 128)
METADATA = st.dictionaries(SHORT.filter(bool), SHORT, max_size=4).map(
    lambda metadata: dict(sorted(metadata.items()))  # as pamqp writes tables
)


def by_pamqp(
    channel: int,
    frame_max: int,
    publish: pamqp.commands.Basic.Publish,
    properties: dict[str, Any],
    body: bytes,
) -> bytes:
    """A message as pamqp packs it."""
    header = ContentHeader(0, len(body), pamqp.commands.Basic.Properties(**properties))
    parts = [
        pamqp.frame.marshal(publish, channel),
        pamqp.frame.marshal(header, channel),
    ]
    room = frame_max - 8 if frame_max else len(body) or 1
    chunks = (body[start : start + room] for start in range(0, len(body), room))
    parts += [pamqp.frame.marshal(ContentBody(chunk), channel) for chunk in chunks]
    return b"".join(parts)


@FAIR
@given(
    number=st.integers(1, 2047),
    frame_max=st.sampled_from([0, 4096, 131_072]),
    user=SHORT,
    name=SHORT,
    priority=st.none() | st.integers(0, 255),
    calls=st.lists(
        st.tuples(
            st.text("0123456789abcdef", min_size=1, max_size=20),
            st.integers(2**32, 2**62),  # pamqp packs smaller ones in fewer bytes
            st.integers(0, 2**32 - 1),
            st.binary(max_size=9000),
            METADATA,
            st.none() | SHORT,
            st.booleans(),
        ),
        min_size=1,
        max_size=4,
    ),
)
def test_requests_are_what_pamqp_makes_of_them(
    number: int, frame_max: int, user: str, name: str, priority: int | None, calls: list[Any]
) -> None:
    channel = ClientChannel(number=number, frame_max=frame_max, reply_to=MINE, user=user, name=name)
    client = NativeClient()
    packer = client.packer(
        channel, key="words.shout", content_type="application/json", priority=priority
    )
    for call_id, deadline, expiration, body, metadata, key, resent in calls:
        headers = client.headers(metadata=metadata, idempotency_key=key, resent=resent)
        if len(headers) > packer.headers_room:
            continue
        table: dict[str, Any] = {"CC": [MINE.key]}
        if metadata:
            table["metadata"] = metadata
        if key is not None:
            table["idempotency-key"] = key
        if resent:
            table["resent"] = True
        table["deadline"] = deadline
        packed = packer.pack(call_id.encode(), deadline, expiration, body, headers)
        expected = by_pamqp(
            number,
            frame_max,
            pamqp.commands.Basic.Publish(
                exchange="leveret", routing_key="words.shout", mandatory=True
            ),
            {
                "content_type": "application/json",
                "headers": table,
                "priority": priority,
                "correlation_id": call_id,
                "reply_to": MINE.key,
                "expiration": str(expiration),
                "message_type": "call",
                "user_id": user or None,
                "app_id": name or None,
            },
            body,
        )
        assert (
            packed
            == expected.replace(
                pamqp.encode.field_table(table),  # sorted, and a deadline comes last
                pamqp.encode.field_table(table)[:4]
                + b"".join(pamqp.encode.field_table({k: v})[4:] for k, v in table.items()),
            )
        )


@FAIR
@given(
    frame_max=st.sampled_from([0, 4096]),
    calls=st.lists(
        st.tuples(st.text("0123456789abcdef", min_size=1, max_size=20), st.binary(max_size=9000)),
        min_size=1,
        max_size=4,
    ),
)
def test_results_are_what_pamqp_makes_of_them(
    frame_max: int, calls: list[tuple[str, bytes]]
) -> None:
    to = ReplyAddress(exchange="answers", key="mine")
    packer = ResultPacker(
        channel=5, frame_max=frame_max, reply_to=to, content_type="application/json"
    )
    for call_id, body in calls:
        assert packer.pack(call_id.encode(), body) == by_pamqp(
            5,
            frame_max,
            pamqp.commands.Basic.Publish(exchange="answers", routing_key="mine"),
            {
                "content_type": "application/json",
                "correlation_id": call_id,
                "message_type": "result",
            },
            body,
        )


@FAIR
@given(body=st.binary(max_size=9000), expiration=st.integers(1, 2**32 - 1))
def test_the_tutorials_requests_are_what_pamqp_makes_of_them(body: bytes, expiration: int) -> None:
    packer = TutorialClient().packer(CHANNEL, key="rpc_queue", content_type="text/plain")
    assert packer.pack(b"1f", 0, expiration, body) == by_pamqp(
        CHANNEL.number,
        CHANNEL.frame_max,
        pamqp.commands.Basic.Publish(exchange="", routing_key="rpc_queue", mandatory=True),
        {
            "content_type": "text/plain",
            "correlation_id": "1f",
            "reply_to": MINE.key,
            "expiration": str(expiration),
            "user_id": "ann",
        },
        body,
    )


def test_a_request_that_cannot_fit_into_a_frame_is_refused() -> None:
    channel = ClientChannel(number=1, frame_max=4096, reply_to=MINE, user="u", name="n" * 255)
    packer = RequestPacker(channel, key="a.b", content_type="application/json")
    room = packer.headers_room
    assert 0 < room < 3000
    frames = packer.pack(b"1" * 16, 1, 10_000, b"", b"x" * room)
    assert all(len(frame) <= 4096 - 1024 for frame in split(frames))
    tight = ClientChannel(number=1, frame_max=1500, reply_to=MINE, user="u", name="n" * 255)
    with pytest.raises(ValueError, match="does not fit into a frame of 1500 bytes"):
        RequestPacker(tight, key="a.b" + "c" * 200, content_type="application/json")
