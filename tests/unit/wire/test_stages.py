"""The requests of a pipe's stages: packed at the client, read and passed on at servers."""

from __future__ import annotations

import time
from typing import Any

import pytest
from msgspec import structs

from leveret.amqp.events import Delivery
from leveret.errors import InvalidArgument
from leveret.wire.message import (
    MAX_STAGES,
    Bounce,
    Incoming,
    Next,
    Notice,
    NoticeKind,
    Reply,
    Stage,
    StageReply,
)
from leveret.wire.native.dialect import NativeClient
from leveret.wire.native.reply import ReplyPacker, read_reply
from leveret.wire.native.request import RequestPacker, read_request
from leveret.wire.native.stages import OF_A_STAGE, pack_next
from leveret.wire.native.started import StartedClient
from tests.unit.wire.messages import CHANNEL, FRAME_MAX, NOW, SHOUT, delivered, delivery

NATIVE = NativeClient()
STAMP = Stage(method="ink.stamp", argument="pic", content_type="text/plain", repeatable=True)
PRESS = Stage(method="press.it", argument="sheet", content_type="application/json")


def sent(*then: Stage, headers: bytes = b"", user: str = "ann") -> Delivery:
    """The first request of a pipe, as its server gets it."""
    channel = structs.replace(CHANNEL, user=user)
    packer = RequestPacker(channel, key="words.shout", content_type=OF_A_STAGE)
    stages = NATIVE.stages(then, "application/json")
    deadline = int(NOW * 1000) + 5000
    return delivered(packer.pack(b"1f", deadline, 5000, b'{"text":"a"}', stages + headers))


def read(request: Delivery) -> Incoming:
    return read_request(request, NOW, 7.0)


def passed(
    request: Incoming, *, user: str = "ann", own_user: str = "srv", resent: bool = False
) -> Delivery:
    """The request of the next stage, as its server gets it."""
    following = Next(
        request=request, body=b"A", seconds=3.25, user=user, own_user=own_user, resent=resent
    )
    return delivered(pack_next(following, channel=3, frame_max=FRAME_MAX))


def test_the_first_request_names_the_stages_after_it() -> None:
    request = read(sent(STAMP, PRESS))
    assert (request.stage, request.then) == (1, (STAMP, PRESS))
    assert (request.content_type, request.problem) == ("application/json", "")


def test_a_server_passes_on_what_is_the_callers_and_says_whose_it_is() -> None:
    headers = NATIVE.headers({"trace": "7"}, "key/1")
    first = read(sent(STAMP, PRESS, headers=headers))
    request = passed(first)
    assert (request.exchange, request.routing_key) == ("leveret", "ink.stamp")
    second = read(request)
    assert (second.stage, second.then) == (2, (PRESS,))
    assert (second.content_type, second.body) == ("text/plain", b"A")
    assert (second.call_id, second.reply_to) == (first.call_id, first.reply_to)
    assert (second.metadata, second.idempotency_key) == ({"trace": "7"}, "key/2")
    assert (second.user, second.on_behalf_of) == ("srv", "ann")
    assert (second.timeout, second.deadline, second.resent) == (3.25, NOW + 3.25, False)
    assert (request.properties.headers or {})["CC"] == [CHANNEL.reply_to.key]
    third = read(passed(second, user="srv", resent=True))
    assert (third.stage, third.then, third.idempotency_key) == (3, (), "key/3")
    assert (third.user, third.on_behalf_of, third.resent) == ("srv", None, True)


def test_headers_that_nobody_knows_go_along_and_those_of_one_request_do_not() -> None:
    properties = sent(STAMP).properties
    headers = {
        **(properties.headers or {}),
        "traceparent": "00-1",
        "x-delivery-count": 1,
        "attempt": 2,
        "handed-back": True,
        "resent": True,
    }
    first = read(delivery(b"{}", **structs.asdict(structs.replace(properties, headers=headers))))
    second = passed(first).properties.headers or {}
    assert second["traceparent"] == "00-1"
    assert not {"x-delivery-count", "attempt", "handed-back", "resent", "then"} & set(second)


def test_where_a_user_is_unknown_the_next_request_names_none() -> None:
    unknown = read(passed(read(sent(STAMP, user="")), user=""))
    assert (unknown.user, unknown.on_behalf_of) == ("", None)


@pytest.mark.parametrize(
    "headers",
    [
        {"stage": 0},
        {"stage": 17},
        {"stage": 16},
        {"stage": "1"},
        {"content-type": 5},
        {"then": "words.shout"},
        {"then": ["words.shout"]},
        {"then": [{"method": "words", "argument": "a", "content-type": "text/plain"}]},
        {"then": [{"method": "words.shout", "argument": "a b", "content-type": "text/plain"}]},
        {"then": [{"method": "words.shout", "argument": "__a", "content-type": "text/plain"}]},
        {"then": [{"method": "words.shout", "argument": "a"}]},
    ],
)
def test_a_pipe_that_cannot_be_read_is_a_problem_of_its_request(headers: dict[str, Any]) -> None:
    properties = sent(STAMP).properties
    changed = structs.replace(properties, headers={**(properties.headers or {}), **headers})
    assert "pipe" in read(delivery(b"{}", **structs.asdict(changed))).problem


def test_a_pipe_that_nobody_waits_for_is_refused() -> None:
    changed = structs.replace(sent(STAMP).properties, reply_to=None)
    assert read(delivery(b"{}", **structs.asdict(changed))).problem


def test_a_started_pipe_is_passed_on_with_what_makes_it_one() -> None:
    packer = StartedClient(60).packer(CHANNEL, key="words.shout", content_type=OF_A_STAGE)
    headers = NATIVE.stages((STAMP, PRESS), "application/json")
    headers += StartedClient(60).headers(None, "key/1")
    first = read_request(delivered(packer.pack(b"1f", 0, 0, b"{}", headers)), time.time(), 7.0)
    assert (first.started, first.stage, first.then) == (60.0, 1, (STAMP, PRESS))
    request = passed(first)
    assert request.properties.delivery_mode == 2
    assert request.properties.reply_to is None
    second = read_request(request, time.time(), 7.0)
    assert (second.started, second.stage, second.then) == (60.0, 2, (PRESS,))
    assert (second.idempotency_key, second.problem) == ("key/2", "")


def test_a_request_of_another_content_type_is_of_no_pipe() -> None:
    changed = structs.replace(sent(STAMP).properties, content_type="application/json")
    request = read(delivery(b"{}", **structs.asdict(changed)))
    assert (request.stage, request.then, request.problem) == (0, (), "")


def test_as_many_stages_as_there_may_be_fit_into_a_frame() -> None:
    long = Stage(method="s" * 100 + "." + "m" * 100, argument="a" * 60, content_type="text/plain")
    request = read(sent(*[long] * (MAX_STAGES - 1)))
    assert len(request.then) == MAX_STAGES - 1
    assert request.then[-1] == long


def test_replies_and_notices_say_of_which_stage_they_are() -> None:
    packer = ReplyPacker(3, FRAME_MAX, SHOUT)
    request = read(sent(STAMP))
    result = read_reply(delivered(packer.result(request, b"1", "application/json")))
    assert isinstance(result, StageReply)
    assert result.stage == 1
    error = read_reply(delivered(packer.error(request, InvalidArgument("no"), {"a": "b"})))
    assert isinstance(error, StageReply)
    assert (error.stage, error.metadata) == (1, {"a": "b"})
    for kind, stage in (
        (NoticeKind.RUNS, 1),
        (NoticeKind.WAITS, 1),
        (NoticeKind.CONFIRM, 1),
        (NoticeKind.PASSED, 2),
    ):
        notice = read_reply(delivered(packer.notice(request, Notice(kind=kind))))
        assert notice == Notice(kind=kind, stage=stage)


def test_a_request_that_comes_back_says_of_which_stage_it_is() -> None:
    bounce = read_reply(passed(read(sent(STAMP))))
    assert isinstance(bounce, Bounce)
    assert bounce.stage == 2


def test_a_reply_outside_of_pipes_is_of_no_stage() -> None:
    assert type(read_reply(delivery(b"1", type="result", headers={"stage": "x"}))) is Reply
