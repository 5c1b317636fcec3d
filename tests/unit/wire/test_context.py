"""The call that a handler works on is made from a request alone."""

from __future__ import annotations

import pickle
import sys
import time
from contextvars import copy_context
from math import inf

import msgspec
import pytest
from msgspec import structs

from leveret.contract import Progress
from leveret.errors import DeadlineExceeded
from leveret.wire.context import (
    CurrentCall,
    current_call,
    set_current_call,
    total_within_current_call,
    within_current_call,
)
from leveret.wire.message import Incoming, StreamRequest
from leveret.wire.native.request import read_request
from tests.unit.wire.messages import NOW, SHOUT, delivery


def request() -> Incoming:
    return read_request(
        delivery(
            b"large",
            correlation_id="1f",
            reply_to="me",
            user_id="ann",
            app_id="a script",
            headers={"metadata": {"a": "b", "n": 1}, "on-behalf-of": "bob", "attempt": 1},
        ),
        NOW,
        7.0,
    )


def call(left: float = 5.0, user: str | None = None) -> CurrentCall:
    arguments = SHOUT.parameters("hi")
    deadline = time.time() + left
    return CurrentCall(
        request(), method=SHOUT.key, deadline=deadline, user=user, arguments=arguments
    )


def test_a_handler_sees_who_calls_and_with_what() -> None:
    seen = call()
    assert (seen.id, seen.method, seen.caller, seen.user) == ("1f", SHOUT.key, "a script", "ann")
    assert seen.arguments == {"text": "hi"}
    assert seen.metadata == {"a": "b"}
    assert seen.redelivered
    assert 4 < seen.remaining() <= 5
    assert repr(seen).startswith("<call 1f of words.shout, ")


def test_the_user_is_the_one_whose_request_was_handed_back() -> None:
    assert call(user="bob").user == "bob"


def test_a_handler_that_changes_metadata_changes_its_own_copy() -> None:
    seen = call()
    seen.metadata["a"] = "changed"
    assert seen.metadata == {"a": "changed"}
    assert not seen.has_reply_metadata
    seen.reply_metadata["x"] = "y"
    assert seen.has_reply_metadata


def test_a_call_for_a_worker_process_has_neither_body_nor_arguments() -> None:
    pickled = pickle.dumps(call(user="bob").portable())
    assert b"large" not in pickled
    seen = pickle.loads(pickled)
    assert (seen.id, seen.user, seen.caller) == ("1f", "bob", "a script")
    assert (seen.metadata, seen.arguments, seen.redelivered) == ({"a": "b"}, {}, True)


def test_it_keeps_neither_the_request_nor_its_body() -> None:
    body = bytes(range(256))
    made = read_request(delivery(body, correlation_id="1f"), NOW, 7.0)
    before = sys.getrefcount(made), sys.getrefcount(body)
    seen = CurrentCall(made, method=SHOUT.key, deadline=0.0)
    assert (sys.getrefcount(made), sys.getrefcount(body)) == before
    assert seen.id == "1f"


def test_what_runs_on_when_a_call_is_over_has_no_current_call_and_no_deadline() -> None:
    seen = call(left=1.0)

    def outlive() -> None:
        set_current_call(seen)
        assert within_current_call(3.0, "a.b") <= 1.0
        seen.end()
        assert seen.is_over
        with pytest.raises(RuntimeError, match=r"the call 1f of words\.shout is over"):
            current_call()
        assert within_current_call(3.0, "a.b") == 3.0
        assert (seen.arguments, seen.user, seen.metadata) == ({}, "ann", {"a": "b"})

    copy_context().run(outlive)


@pytest.mark.parametrize("late", [False, True])
def test_a_call_whose_handler_is_in_a_thread_is_over_once_both_have_ended(late: bool) -> None:
    seen = call()
    seen.enter_thread()
    ends = [seen.end, seen.leave_thread]
    if not late:
        ends.reverse()
    for end in ends:
        assert not seen.is_over
        assert seen.arguments
        end()
    assert seen.is_over
    assert not seen.arguments


def test_it_holds_no_state_of_the_server() -> None:
    assert not {"entered", "struct", "task", "enter"} & set(dir(CurrentCall))
    assert not issubclass(CurrentCall, msgspec.Struct)


async def test_a_nested_call_ends_with_its_outer_call() -> None:
    with pytest.raises(RuntimeError, match="no current call"):
        current_call()
    assert within_current_call(3.0, "a.b") == 3.0
    set_current_call(call(left=1.0))
    assert current_call().id == "1f"
    assert within_current_call(3.0, "a.b") <= 1.0
    assert within_current_call(0.5, "a.b") == 0.5
    set_current_call(call(left=-1.0))
    with pytest.raises(DeadlineExceeded, match=r"the deadline of words\.shout") as caught:
        within_current_call(3.0, "a.b")
    error = caught.value
    assert (error.where, error.method, error.attempts) == ("queue", "a.b", 0)


@pytest.mark.parametrize(("ends_in", "left"), [(None, inf), (60.0, 60.0)])
async def test_a_nested_stream_ends_with_its_outer_stream(
    ends_in: float | None, left: float
) -> None:
    total = None if ends_in is None else time.time() + ends_in
    streaming = structs.replace(request(), stream=StreamRequest(items=1, total=total))
    outer = CurrentCall(streaming, method=SHOUT.key, deadline=time.time() + 5)
    set_current_call(outer)
    assert within_current_call(300.0, "a.b") <= 5
    assert total_within_current_call(30.0) == 30.0
    assert left - 1 <= total_within_current_call(inf) <= left
    outer.end()
    assert total_within_current_call(inf) == inf


async def test_a_nested_stream_ends_with_its_outer_call() -> None:
    assert total_within_current_call(inf) == inf
    set_current_call(call(left=5.0))
    assert 4 < total_within_current_call(inf) <= 5


def test_reports_are_passed_on_while_the_call_goes_on() -> None:
    seen, heard = call(), list[Progress]()
    seen.progress(0.25)
    assert seen.last_progress == Progress(fraction=0.25)
    seen.listen(heard.append)
    seen.progress(None, "page 4")
    seen.progress(text="page 5")
    assert heard == [Progress(text="page 4"), Progress(text="page 5")]
    there = pickle.loads(pickle.dumps(seen.portable()))
    there.progress(1)
    assert (len(heard), there.last_progress) == (2, Progress(fraction=1.0))
    seen.end()
    seen.progress(1)
    assert (len(heard), seen.last_progress) == (2, Progress(text="page 5"))
