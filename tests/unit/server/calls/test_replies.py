"""What a server makes of a body, and of a result, an error or a record."""

from __future__ import annotations

import time
from typing import Annotated, Any

import msgspec
import pytest

from leveret import Meta, Service, method
from leveret.contract import spec_of
from leveret.errors import Busy, InvalidArgument, RemoteError
from leveret.once import LARGE, Recorded
from leveret.server.calls.life import ServerCall
from leveret.server.calls.replies import Replies
from leveret.wire.context import CurrentCall
from leveret.wire.message import Reply
from leveret.wire.native.reply import ReplyPacker, read_reply
from tests.unit.server.calls.making import Answers, call, request
from tests.unit.wire.messages import delivered

JSON = "application/json"
MSGPACK = "application/msgpack"


class Sums(Service):
    @method
    async def add(self, a: int, b: Annotated[int, Meta(ge=0)] = 1) -> int:
        return a + b


SPEC = spec_of(Sums).methods["add"]


@pytest.fixture
def replies() -> Replies:
    return Replies(SPEC, max_message_size=40)


def a_call(**properties: Any) -> ServerCall:
    return call(answers=Answers(ReplyPacker(1, 0, SPEC)), **properties)


def context(of: ServerCall) -> CurrentCall:
    return CurrentCall(of.incoming, method=SPEC.key, deadline=time.time() + 5)


def read(frames: bytes) -> Reply:
    """The reply as a client reads it."""
    reply = read_reply(delivered(frames))
    assert isinstance(reply, Reply)
    return reply


def failure(frames: bytes) -> dict[str, Any]:
    reply = read(frames)
    assert reply.is_error
    return msgspec.json.decode(reply.body or b"", type=dict[str, Any])


def test_arguments_are_decoded_and_checked(replies: Replies) -> None:
    assert msgspec.to_builtins(replies.arguments(request(body=b'{"a":2}'))) == {"a": 2, "b": 1}
    with pytest.raises(InvalidArgument, match=r">= 0"):
        replies.arguments(request(body=b'{"a":2,"b":-1}'))
    with pytest.raises(InvalidArgument):
        replies.arguments(request(body=b"{"))


def test_a_body_that_was_dropped_or_cannot_be_read_is_refused(replies: Replies) -> None:
    with pytest.raises(Busy, match="max_message_size") as refused:
        replies.arguments(request(body=None))
    assert refused.value.retry_after == -1
    with pytest.raises(InvalidArgument, match="the body has"):
        replies.arguments(request(body=b'{"a":1}', content_encoding="gzip"))


def test_a_caller_may_choose_its_content_type_and_is_answered_in_it(replies: Replies) -> None:
    body = msgspec.msgpack.encode({"a": 2})
    made = a_call(body=body, content_type=MSGPACK)
    assert msgspec.to_builtins(replies.arguments(made.incoming)) == {"a": 2, "b": 1}
    reply = read(replies.result(made, context(made), 3, from_handler=True))
    assert (reply.content_type, reply.body) == (MSGPACK, msgspec.msgpack.encode(3))
    assert replies.codec(None) is replies.codec(JSON)
    assert replies.codec(MSGPACK) is replies.codec(MSGPACK)
    with pytest.raises(InvalidArgument, match="image/png"):
        replies.codec("image/png")


def test_a_result_may_have_metadata_beside_it(replies: Replies) -> None:
    made = a_call()
    seen = context(made)
    seen.reply_metadata["took"] = "3 ms"
    reply = read(replies.result(made, seen, 3, from_handler=True))
    assert (reply.body, reply.metadata) == (b"3", {"took": "3 ms"})


@pytest.mark.parametrize(
    ("result", "from_handler", "why"),
    [
        ("three", True, "the handler's result does not fit"),
        ("three", False, "a middleware's result does not fit"),
        (None, False, "did it forget to `return await call_next"),
        (10**40, True, "max_message_size"),
    ],
)
def test_a_result_that_cannot_be_sent_is_an_error_of_a_call_that_ran(
    replies: Replies, result: object, from_handler: bool, why: str
) -> None:
    made = a_call()
    made.entered = True
    told = failure(replies.result(made, context(made), result, from_handler=from_handler))
    assert why in told["message"]
    assert told["executed"] == "yes"


def test_metadata_that_cannot_be_sent_costs_the_result_but_not_an_error(replies: Replies) -> None:
    made = a_call()
    seen = context(made)
    seen.reply_metadata["took"] = 3  # type: ignore[assignment]
    assert failure(replies.error(made, RemoteError("boom"), seen))["message"] == "boom"
    told = failure(replies.result(made, seen, 3, from_handler=True))
    assert "reply_metadata" in told["message"]
    assert not seen.reply_metadata


def test_an_error_takes_the_metadata_along(replies: Replies) -> None:
    made = a_call()
    seen = context(made)
    seen.reply_metadata["took"] = "3 ms"
    assert read(replies.error(made, RemoteError("boom"), seen)).metadata == {"took": "3 ms"}


def test_what_did_not_run_here_may_have_run_where_its_request_was_before(replies: Replies) -> None:
    assert failure(replies.error(a_call(), Busy("no place")))["executed"] == "no"
    again = a_call(redelivered=True)
    assert failure(replies.error(again, Busy("no place"))).get("executed", "maybe") == "maybe"
    assert failure(replies.error(again, RemoteError("boom")))["executed"] == "yes"


def test_a_recorded_reply_is_sent_as_it_was(replies: Replies) -> None:
    made = a_call()
    kept = Recorded(kind="result", body=b"3", content_type=JSON, metadata={"a": "b"})
    reply = read(replies.recorded(made, kept))
    assert (reply.is_error, reply.body, reply.metadata) == (False, b"3", {"a": "b"})
    large = Recorded(kind=LARGE, body=b"70000", content_type="", metadata=None)
    assert "70000 bytes" in failure(replies.recorded(made, large))["message"]
