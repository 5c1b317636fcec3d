"""Both ends of each dialect, back to back: what one packs, the other reads."""

from __future__ import annotations

import time
from math import inf
from typing import Any

import msgspec
import pytest

from leveret import Busy, DeadlineExceeded, DeclaredError, RemoteError
from leveret.amqp.properties import Properties
from leveret.contract import Progress
from leveret.wire.dialect import ClientDialect, ServerDialect
from leveret.wire.message import Bounce, Copy, Incoming, Notice, NoticeKind, Reply
from leveret.wire.native.dialect import NativeClient, NativeServer
from leveret.wire.plain_queue import PlainQueue
from leveret.wire.tutorial import TutorialClient, TutorialServer
from tests.unit.wire.messages import CHANNEL, FRAME_MAX, MINE, NOW, SHOUT, delivered, delivery

NATIVE: tuple[ClientDialect, ServerDialect] = (NativeClient(), NativeServer())
TUTORIAL: tuple[ClientDialect, ServerDialect] = (
    TutorialClient(),
    TutorialServer("rpc_queue", PlainQueue(method="words.shout")),
)
BOTH = pytest.mark.parametrize("ends", [NATIVE, TUTORIAL], ids=["native", "tutorial"])


class TooLoud(DeclaredError):
    """A declared error with a field."""

    decibels: int


def request(
    ends: tuple[ClientDialect, ServerDialect],
    body: bytes = b"hello",
    headers: bytes = b"",
    **how: Any,
) -> Incoming:
    client, server = ends
    key = SHOUT.key if ends is NATIVE else "rpc_queue"
    packer = client.packer(CHANNEL, key=key, content_type="text/plain")
    frames = packer.pack(b"1f", int((NOW + 5) * 1000), 5000, body, headers)
    return server.read(delivered(frames, **how), NOW, SHOUT.timeout)


def reply_packer(ends: tuple[ClientDialect, ServerDialect]) -> Any:
    return ends[1].packer(4, FRAME_MAX, SHOUT)


def read(ends: tuple[ClientDialect, ServerDialect], frames: bytes) -> Reply | Notice | Bounce:
    return ends[0].read(delivered(frames))


@BOTH
def test_a_request_arrives_as_it_was_sent(ends: tuple[ClientDialect, ServerDialect]) -> None:
    call = request(ends)
    assert (call.call_id, call.reply_to, call.body) == ("1f", MINE, b"hello")
    assert (call.content_type, call.problem) == ("text/plain", "")
    assert (call.deadline, call.timeout, call.only_if_free) == (NOW + 5, 5.0, False)
    assert (call.user, call.redelivered, call.attempts) == ("ann", False, 0)


@BOTH
def test_a_redelivered_request_says_so(ends: tuple[ClientDialect, ServerDialect]) -> None:
    assert request(ends, redelivered=True).redelivered


@BOTH
def test_a_request_too_large_for_the_server_has_a_size_and_no_body(
    ends: tuple[ClientDialect, ServerDialect],
) -> None:
    call = request(ends, b"x" * 100, max_body=10)
    assert (call.body, call.body_size) == (None, 100)


@BOTH
def test_a_result_arrives_as_it_was_sent(ends: tuple[ClientDialect, ServerDialect]) -> None:
    frames = reply_packer(ends).result(request(ends), b"HELLO", "text/plain")
    reply = read(ends, frames)
    assert isinstance(reply, Reply)
    assert (reply.is_error, reply.body, reply.content_type) == (False, b"HELLO", "text/plain")
    assert (reply.metadata, reply.problem) == (None, "")
    assert delivered(frames).properties.correlation_id == "1f"


@BOTH
def test_a_result_with_metadata_arrives_with_it(
    ends: tuple[ClientDialect, ServerDialect],
) -> None:
    reply = read(ends, reply_packer(ends).result(request(ends), b"", "text/plain", {"a": "b"}))
    assert isinstance(reply, Reply)
    assert reply.metadata == {"a": "b"}


@BOTH
@pytest.mark.parametrize("metadata", [{"a": 1}, {1: "a"}, {"a": "x" * FRAME_MAX}, {"a": "\ud800"}])
def test_metadata_that_cannot_be_sent_is_refused(
    ends: tuple[ClientDialect, ServerDialect], metadata: Any
) -> None:
    with pytest.raises((TypeError, ValueError)):
        reply_packer(ends).result(request(ends), b"", "text/plain", metadata)


@BOTH
def test_an_error_arrives_as_one(ends: tuple[ClientDialect, ServerDialect]) -> None:
    reply = read(ends, reply_packer(ends).error(request(ends), Busy("too much at once")))
    assert isinstance(reply, Reply)
    assert reply.is_error
    error = ends[0].error(reply, {}, SHOUT.key)
    assert isinstance(error, Busy if ends is NATIVE else RemoteError)
    assert "too much at once" in str(error)
    assert error.method == SHOUT.key


@BOTH
def test_a_recorded_reply_is_sent_as_it_was_recorded(
    ends: tuple[ClientDialect, ServerDialect],
) -> None:
    frames = reply_packer(ends).recorded(
        request(ends), b"x", "text/plain", {"a": "b"}, is_error=True
    )
    reply = read(ends, frames)
    assert isinstance(reply, Reply)
    assert (reply.is_error, reply.body, reply.metadata) == (True, b"x", {"a": "b"})


@BOTH
def test_a_request_that_wants_no_reply_gets_none(
    ends: tuple[ClientDialect, ServerDialect],
) -> None:
    call = ends[1].read(delivery(correlation_id="1f"), NOW, 7.0)
    packer = reply_packer(ends)
    assert call.reply_to is None
    assert packer.result(call, b"x", "text/plain") == b""
    assert packer.error(call, Busy("x")) == b""
    assert packer.recorded(call, b"x", "text/plain", None, is_error=False) == b""
    assert packer.notice(call, Notice(kind=NoticeKind.RUNS)) == b""


@BOTH
def test_a_request_without_a_call_id_gets_a_reply_without_one(
    ends: tuple[ClientDialect, ServerDialect],
) -> None:
    call = ends[1].read(delivery(reply_to="anywhere"), NOW, 7.0)
    frames = reply_packer(ends).result(call, b"x", SHOUT.content_type)
    assert delivered(frames).properties.correlation_id is None


@BOTH
@pytest.mark.parametrize(
    ("has_original", "attempts"), [(False, None), (True, None), (False, 3), (True, 1)]
)
def test_a_copy_of_a_request_is_the_request_again(
    ends: tuple[ClientDialect, ServerDialect], has_original: bool, attempts: int | None
) -> None:
    call = request(ends)
    frames = reply_packer(ends).copy(
        Copy(
            request=call,
            seconds=2.0,
            user="ann",
            own_user="srv",
            has_original=has_original,
            attempts=attempts,
        )
    )
    copy = delivered(frames)
    again = ends[1].read(copy, NOW, 7.0)
    assert (again.call_id, again.reply_to, again.body) == ("1f", MINE, b"hello")
    assert (again.user, again.on_behalf_of) == ("srv", "ann")
    assert (again.attempts, again.timeout) == (attempts or 0, 2.0)
    assert again.deadline == NOW + 2
    assert (copy.exchange, copy.routing_key) == (
        ("leveret", SHOUT.key) if ends is NATIVE else ("", "rpc_queue")
    )


@BOTH
def test_a_copy_of_a_copy_names_its_user_once(ends: tuple[ClientDialect, ServerDialect]) -> None:
    packer = reply_packer(ends)
    once = packer.copy(
        Copy(request=request(ends), seconds=2.0, user="ann", own_user="srv", has_original=True)
    )
    call = ends[1].read(delivered(once), NOW, 7.0)
    twice = packer.copy(Copy(request=call, seconds=1.0, user="ann", own_user="ann"))
    headers = delivered(twice).properties.headers or {}
    assert "on-behalf-of" not in headers
    assert headers["handed-back"] is False
    assert (call.is_copy, ends[1].read(delivered(twice), NOW, 7.0).is_copy) == (True, True)


def test_the_copy_of_a_one_way_request_waits_as_long_as_the_request_was_to() -> None:
    def again(expiration: str | None, headers: dict[str, Any]) -> Properties:
        sent = delivery(expiration=expiration, headers=headers, delivery_mode=2)
        request = NATIVE[1].read(sent, NOW, 7.0)
        copy = Copy(request=request, seconds=2.0, user="ann", own_user="srv", has_original=True)
        return delivered(reply_packer(NATIVE).copy(copy)).properties

    assert (again(None, {}).expiration, again(None, {}).delivery_mode) == (None, 2)
    assert again("5000", {}).expiration == "5000"
    later = int((time.time() + 1000) * 1000)
    assert 2_000 < int(again("9000000", {"deadline": later}).expiration or "") <= 1_000_000
    assert again("9000000", {"deadline": 5}).expiration == "0"


def test_the_queue_of_a_method_is_the_dialects() -> None:
    assert NATIVE[0].queue("words.shout") == NATIVE[1].queue(SHOUT) == "leveret.words.shout"
    assert TUTORIAL[0].queue("rpc_queue") == TUTORIAL[1].queue(SHOUT) == "rpc_queue"
    assert NATIVE[0].control_key("words.shout") == "words"
    assert TUTORIAL[0].control_key("rpc_queue") == ""


def test_only_native_requests_carry_headers_of_their_own() -> None:
    client = NATIVE[0]
    headers = client.headers(metadata={"a": "b"}, idempotency_key="k", resent=True)
    call = request(NATIVE, headers=headers)
    assert (call.metadata, call.idempotency_key, call.resent) == ({"a": "b"}, "k", True)
    assert not call.waits
    assert request(NATIVE, headers=client.headers(waits=True)).waits
    joined = client.headers(metadata={"a": "b"}) + client.headers(idempotency_key="k", resent=True)
    assert joined == headers
    assert client.headers() == TUTORIAL[0].headers() == b""
    with pytest.raises(ValueError, match="nothing but their text"):
        TUTORIAL[0].headers(metadata={"a": "b"})


@pytest.mark.parametrize("metadata", [{"n" * 129: "x"}, {"a": object()}, {"a": "\ud800"}])
def test_headers_that_cannot_be_sent_are_refused_before_the_call(metadata: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        NATIVE[0].headers(metadata=metadata)


@pytest.mark.parametrize(
    ("kind", "answer_to"),
    [
        (NoticeKind.WAITS, ""),
        (NoticeKind.RUNS, ""),
        (NoticeKind.PROGRESS, ""),
        (NoticeKind.CONFIRM, "words.0a1b2c3d"),
    ],
)
def test_a_native_notice_arrives_as_it_was_sent(kind: NoticeKind, answer_to: str) -> None:
    notice = Notice(kind=kind, answer_to=answer_to)
    assert read(NATIVE, reply_packer(NATIVE).notice(request(NATIVE), notice)) == notice
    assert reply_packer(TUTORIAL).notice(request(TUTORIAL), notice) == b""


def test_progress_arrives_as_it_was_reported() -> None:
    client = NATIVE[0]
    assert request(NATIVE, headers=client.headers(progress=True)).wants_progress
    assert not request(NATIVE, headers=client.headers(waits=True)).wants_progress
    with pytest.raises(ValueError, match="nothing but their text"):
        TUTORIAL[0].headers(progress=True)
    told = Notice(kind=NoticeKind.PROGRESS, progress=Progress(fraction=0.4, text="page 4"))
    assert read(NATIVE, reply_packer(NATIVE).notice(request(NATIVE), told)) == told


def test_a_notice_needs_a_call_that_has_a_name() -> None:
    call = NATIVE[1].read(delivery(reply_to="anywhere"), NOW, 7.0)
    assert reply_packer(NATIVE).notice(call, Notice(kind=NoticeKind.RUNS)) == b""


def test_a_declared_error_comes_with_its_fields() -> None:
    frames = reply_packer(NATIVE).error(request(NATIVE), TooLoud(decibels=120))
    reply = read(NATIVE, frames)
    assert isinstance(reply, Reply)
    error = NATIVE[0].error(reply, {TooLoud.code: TooLoud}, SHOUT.key)
    assert isinstance(error, TooLoud)
    assert error.decibels == 120


def test_an_error_tells_where_its_call_was() -> None:
    frames = reply_packer(NATIVE).error(request(NATIVE), DeadlineExceeded("late", where="queue"))
    reply = read(NATIVE, frames)
    assert isinstance(reply, Reply)
    error = NATIVE[0].error(reply, {}, SHOUT.key)
    assert isinstance(error, DeadlineExceeded)
    assert error.where == "queue"


@pytest.mark.parametrize(
    ("headers", "bounce"),
    [
        ({"x-death": [{"reason": "expired"}]}, Bounce(reason="expired")),
        (
            {"x-death": [{"reason": "maxlen"}, {"reason": "expired"}], "attempt": 2},
            Bounce(reason="maxlen", attempts=2),
        ),
        (
            {"x-death": [{"reason": "maxlen"}], "handed-back": True},
            Bounce(reason="maxlen", is_copy=True, has_original=True),
        ),
        (
            {"x-death": [{"reason": "expired"}], "handed-back": False},
            Bounce(reason="expired", is_copy=True),
        ),
        ({"x-death": []}, Bounce(reason="")),
        ({"x-death": [b"?"]}, Bounce(reason="")),
        ({"x-death": [{"reason": 7}], "attempt": "many"}, Bounce(reason="7")),
        ({"x-death": "expired", "attempt": -3}, Bounce(reason="")),
        (None, Bounce(reason="")),
    ],
)
def test_a_request_that_the_broker_sent_back_is_a_bounce(
    headers: dict[str, Any] | None, bounce: Bounce
) -> None:
    assert NATIVE[0].read(delivery(type="call", headers=headers)) == bounce


def test_the_tutorials_client_takes_a_reply_of_any_type() -> None:
    for kind in (None, "call", "result", "accepted", "what"):
        reply = TUTORIAL[0].read(delivery(b"42", type=kind))
        assert isinstance(reply, Reply)
        assert (reply.is_error, reply.body) == (False, b"42")


def test_an_error_of_the_tutorials_protocol_says_something_also_if_its_server_did_not() -> None:
    for body, said in ((b"no such n", "no such n"), (b"", "says nothing of it"), (None, "its log")):
        reply = TUTORIAL[0].read(delivery(body, type="error"))
        assert isinstance(reply, Reply)
        assert said in str(TUTORIAL[0].error(reply, {}, "queue q"))


@BOTH
@pytest.mark.parametrize("kind", ["result", "error"])
def test_a_compressed_reply_is_a_problem_and_not_read(
    ends: tuple[ClientDialect, ServerDialect], kind: str
) -> None:
    reply = ends[0].read(delivery(b"\x1f\x8b", type=kind, content_encoding="gzip"))
    assert isinstance(reply, Reply)
    assert reply.problem == "the reply has the content_encoding 'gzip'; bodies are never compressed"


@BOTH
@pytest.mark.parametrize("encoding", ["", "identity", "UTF-8", "us-ascii", "binary", None])
def test_an_encoding_that_means_nothing_is_no_problem(
    ends: tuple[ClientDialect, ServerDialect], encoding: str | None
) -> None:
    reply = ends[0].read(delivery(type="result", content_encoding=encoding))
    assert isinstance(reply, Reply)
    assert reply.problem == ""
    assert ends[1].read(delivery(content_encoding=encoding), NOW, 7.0).problem == ""


@pytest.mark.parametrize("kind", [None, "", "Result", "\udcff"])
def test_a_native_reply_of_an_unknown_type_is_a_problem(kind: str | None) -> None:
    reply = NATIVE[0].read(delivery(type=kind))
    assert isinstance(reply, Reply)
    assert "unknown type" in reply.problem


HOSTILE: list[dict[str, Any]] = [
    {},
    {"headers": {}},
    {"headers": {"deadline": "soon"}},
    {"headers": {"deadline": True, "CC": 1}},
    {"headers": {"deadline": 2**62, "CC": []}},
    {"headers": {"deadline": -(2**62), "CC": []}},
    {"expiration": "soon"},
    {"expiration": "-5"},
    {"expiration": "9" * 255},
    {"expiration": "٣"},
    {"reply_to": "", "correlation_id": ""},
    {"reply_to": "\udcff", "correlation_id": "\udcfe"},
    {"content_encoding": "gzip"},
    {"content_type": "\udcff"},
    {
        "headers": {
            "metadata": [1],
            "idempotency-key": 7,
            "resent": "yes",
            "waits": 3,
            "attempt": True,
            "x-delivery-count": "many",
            "on-behalf-of": b"\xff",
        }
    },
    {"headers": {"metadata": {"a": 1, "b": "c", "d": None}, "deadline": 0}},
]


@BOTH
@pytest.mark.parametrize("properties", HOSTILE)
def test_a_request_of_any_shape_is_read(
    ends: tuple[ClientDialect, ServerDialect], properties: dict[str, Any]
) -> None:
    for body in (None, b"", b"\xff"):
        call = ends[1].read(delivery(body, **properties), NOW, 7.0)
        assert call.timeout > 0
        assert type(call.deadline) is float
        assert call.attempts == 0
        assert (call.idempotency_key, call.on_behalf_of, call.delivery_count) == 3 * (None,)
        assert call.metadata is None or call.metadata["b"] == "c"
        packer = reply_packer(ends)
        for frames in (packer.result(call, b"1", "text/plain"), packer.error(call, Busy("x"))):
            assert bool(frames) == bool(call.reply_to)


@BOTH
@pytest.mark.parametrize("properties", [*HOSTILE, {"type": "accepted"}, {"type": "claim"}])
def test_a_reply_of_any_shape_is_read(
    ends: tuple[ClientDialect, ServerDialect], properties: dict[str, Any]
) -> None:
    for kind in ("result", "error", "call", "accepted", "claim", "x", None):
        for body in (None, b"", b"\xff"):
            found = ends[0].read(delivery(body, **{"type": kind, **properties}))
            if isinstance(found, Reply):
                assert isinstance(ends[0].error(found, {}, "words.shout"), Exception)


@pytest.mark.parametrize(
    ("deadline", "expiration", "left", "timeout"),
    [
        (20, "5000", 5, 5),
        (5, "20000", 5, 20),
        (5, "0", 5, 7),
        (20, "0", 20, 7),
        (5, None, 5, 7),
        (20, None, 7, 7),
        (5, "soon", 5, 7),
        (None, "5000", 5, 5),
        (None, "0", 7, 7),
        (None, None, 7, 7),
    ],
)
def test_a_deadline_is_trusted_as_far_as_the_time_to_live(
    deadline: float | None, expiration: str | None, left: float, timeout: float
) -> None:
    headers = None if deadline is None else {"CC": [], "deadline": int((NOW + deadline) * 1000)}
    message = delivery(headers=headers, expiration=expiration, reply_to="leveret.reply.test")
    call = NATIVE[1].read(message, NOW, 7.0)
    assert call.deadline == pytest.approx(NOW + left)
    assert call.timeout == timeout
    assert call.only_if_free == (expiration == "0")


@pytest.mark.parametrize(
    ("deadline", "expiration", "left", "expires"),
    [(None, None, 7, inf), (60, "60000", 7, 60), (5, "5000", 5, 5), (None, "5000", 5, inf)],
)
def test_who_waits_for_no_reply_gives_the_handler_the_time_of_its_method(
    deadline: float | None, expiration: str | None, left: float, expires: float
) -> None:
    headers = {} if deadline is None else {"deadline": int((NOW + deadline) * 1000)}
    call = NATIVE[1].read(delivery(headers=headers, expiration=expiration), NOW, 7.0)
    assert call.deadline == pytest.approx(NOW + left)
    assert call.timeout == left
    assert call.expires == pytest.approx(NOW + expires)


def test_records_of_the_wire_are_frozen() -> None:
    with pytest.raises(AttributeError):
        request(NATIVE).call_id = "2"  # type: ignore[misc]
    assert issubclass(Incoming, msgspec.Struct)
