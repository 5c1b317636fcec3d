"""Questions about started calls and their answers, and the headers of such calls."""

from __future__ import annotations

import msgspec
import pytest

from leveret.amqp.frames import published
from leveret.wire import control
from leveret.wire.control import AboutStarted
from leveret.wire.native.headers import seconds_kept
from leveret.wire.native.request import read_request
from leveret.wire.native.started import StartedClient
from leveret.wire.started import (
    STARTED,
    Standing,
    StartedQuestion,
    read_question,
    read_standing,
)
from tests.unit.wire.messages import CHANNEL, MINE, NOW, delivery

QUESTION = StartedQuestion(ask="expect", method="a.b", key="k", start="s", keep=60)


def test_a_question_and_an_answer_come_through() -> None:
    assert read_question(msgspec.json.encode(QUESTION)) == QUESTION
    standing = Standing(instance="i", state="done", kind="result", body=b"\0\xff")
    assert read_standing(msgspec.msgpack.encode(standing)) == standing


@pytest.mark.parametrize("body", [b"", b"[]", b'{"ask":"dance","method":"a.b","key":"k"}'])
def test_what_is_no_question_cannot_be_read(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_question(body)


@pytest.mark.parametrize("value", [None, 0, -1, "60000", True, 1.5])
def test_only_a_number_of_milliseconds_makes_a_started_call(value: object) -> None:
    assert seconds_kept({"idempotency-key": "k", "started": value}) is None


def test_only_a_call_with_a_key_is_started() -> None:
    assert seconds_kept(None) is None
    assert seconds_kept({"started": 1500}) is None
    assert seconds_kept({"idempotency-key": "k", "started": 1500}) == 1.5


def test_a_control_message_with_a_question_says_whose_it_is() -> None:
    body = msgspec.json.encode(QUESTION)
    properties = control.properties(STARTED, reply_to=MINE, call_id="q", seconds=1, user="ann")
    fields = msgspec.structs.asdict(properties)
    assert control.read(delivery(body, **fields)) == AboutStarted(
        question=QUESTION, user="ann", reply_to=MINE, correlation_id="q"
    )
    assert control.read(delivery(body, **{**fields, "reply_to": None})) is None
    with pytest.raises(ValueError, match=r"."):
        control.read(delivery(b"?", **fields))


def test_the_request_of_a_started_call_is_one_way_and_read_as_started() -> None:
    client = StartedClient(60.0)
    packer = client.packer(CHANNEL, key="a.b", content_type="application/json")
    headers = client.headers(None, "k", resent=True)
    properties, _ = published(packer.pack(b"id", 5, 5, b"{}", headers))
    assert (properties.delivery_mode, properties.reply_to) == (2, None)
    assert properties.expiration == "60000"
    read = read_request(delivery(b"{}", **msgspec.structs.asdict(properties)), NOW, 5.0)
    assert (read.started, read.resent) == (60.0, True)
    assert read.reply_to is not None  # nobody's, so that its reply can be packed and recorded
