"""What comes back of a pipe, and what is made of a server that knows none."""

from __future__ import annotations

from leveret.client.calls.stages import StageReader, judged
from leveret.wire.message import StageReply
from leveret.wire.native.dialect import NativeClient
from tests.unit.wire.messages import delivery


def a_reply(stage: int, *, is_error: bool = False, problem: str = "") -> StageReply:
    return StageReply(
        is_error=is_error,
        content_type=None,
        body=b"",
        body_size=0,
        problem=problem,
        stage=stage,
    )


def judge(reply: StageReply) -> str:
    return judged(reply, stage=2, last=3, method="ink.do").problem


def test_every_reply_to_a_pipe_is_of_a_stage() -> None:
    read = StageReader(NativeClient()).read
    plain = read(delivery(type="result"))
    assert isinstance(plain, StageReply)
    assert plain.stage == 0
    staged = read(delivery(type="error", headers={"stage": 2}))
    assert isinstance(staged, StageReply)
    assert staged.stage == 2
    assert not isinstance(read(delivery(type="accepted")), StageReply)


def test_the_end_of_a_pipe_is_the_result_of_its_last_stage_or_any_error() -> None:
    assert judge(a_reply(3)) == ""
    assert judge(a_reply(2, is_error=True)) == ""
    assert judge(a_reply(2)) == "stage 2 of the pipe did not pass its result"
    assert judge(a_reply(3, problem="no body")) == "no body"


def test_a_server_that_knows_no_pipes_is_named() -> None:
    assert judge(a_reply(0)).startswith("the servers of ink.do, stage 2 of the pipe, know no pipes")
    assert "too old" in judge(a_reply(0, is_error=True))
