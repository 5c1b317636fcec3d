"""What is told of the end of a call."""

from __future__ import annotations

import logging

import pytest

from leveret import Busy, CallEnd, CurrentCall
from leveret.server.calls.endings import Endings
from leveret.server.calls.life import Answer, Holding, ServerCall
from tests.unit.server.calls.making import call

REPLY = call().source.answers.packer.error(call().incoming, Busy("no"))


def ended(one: ServerCall, reply: bytes = b"", *, back: bool = False) -> CallEnd:
    return Endings((), lambda: 10.0).of(one, reply, back=back)


def test_times_are_told_by_where_the_call_was() -> None:
    one = call()  # its caller gave it 5 s
    one.queued, one.arrived, one.started = 1.0, 7.0, 8.0
    end = ended(one)
    assert (end.queued, end.waited, end.ran) == (1.0, 1.0, 2.0)
    one.started = 0.0
    end = ended(one)
    assert (end.waited, end.ran) == (3.0, 0.0)


@pytest.mark.parametrize(
    ("holding", "answer", "back", "outcome"),
    [
        (Holding.HELD, Answer.OWED, False, "failed"),
        (Holding.HELD, Answer.OWED, True, "handed back"),
        (Holding.HELD, Answer.GIVEN, True, "failed"),
        (Holding.DETACHED, Answer.OWED, False, "failed"),
        (Holding.DETACHED, Answer.OWED, True, "handed back"),
        (Holding.DETACHED, Answer.GIVEN, False, "failed"),
    ],
)
def test_the_outcome_is_what_becomes_of_the_request(
    holding: Holding, answer: Answer, back: bool, outcome: str
) -> None:
    one = call()
    one.holding, one.answer, one.failure = holding, answer, Busy("no", executed="maybe")
    one.answer_size = 7
    end = ended(one, REPLY, back=back)
    assert end.outcome == outcome
    if outcome == "failed":
        assert (end.error, end.executed) == (one.failure, "maybe")
        assert (end.reply_size == 7) == (answer is Answer.GIVEN)
        assert end.reply_size > 0
    else:
        assert (end.error, end.executed, end.reply_size) == (None, "no", 0)


def test_what_is_dead_lettered_has_no_reply() -> None:
    one = call()
    one.dead_letter, one.failure = True, Busy("no")
    end = ended(one, REPLY)
    assert (end.outcome, end.reply_size) == ("failed", 0)


def test_one_that_fails_keeps_no_other_from_being_told(caplog: pytest.LogCaptureFixture) -> None:
    told: list[str] = []

    def fail(_call: CurrentCall, _end: CallEnd) -> None:
        raise KeyError("gauge")

    def note(ended: CurrentCall, _end: CallEnd) -> None:
        told.append(ended.id)

    Endings((fail, note), lambda: 1.0).handed_back(call("7"))
    assert told == ["7"]
    (record,) = caplog.records
    assert (record.levelno, record.getMessage()) == (
        logging.ERROR,
        "desk.work (call 7): call_ended failed",
    )
