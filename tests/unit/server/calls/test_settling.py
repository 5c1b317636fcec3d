"""What leaves at the end of a call, for its caller and for the broker."""

from __future__ import annotations

from typing import Any

import pytest

from leveret.contract import MethodSpec
from leveret.server.calls.kept_replies import KeptReplies
from leveret.server.calls.life import Answer, Holding, Life, ServerCall, State, Stop
from leveret.server.calls.settling import Settling
from tests.unit.server.calls.making import SPEC, SPECS, Answers, call, name


class Scene:
    """The end of calls of one method, whose request is told by its user "ann"."""

    def __init__(self, spec: MethodSpec = SPEC) -> None:
        self.now = 10.0
        self.removed: list[ServerCall] = []
        self.discarded: list[tuple[int, ServerCall]] = []
        self.elsewhere: list[bytes] = []
        self.failed: list[ServerCall] = []
        self.answers = Answers()
        self.kept = KeptReplies(lambda: self.now)
        self.settling = Settling(
            spec,
            Life(lambda: self.now),
            self.kept,
            remove=self.removed.append,
            discard=lambda tick, call: self.discarded.append((tick, call)),
            user_of=lambda _request, _own_user: "ann",
            reply_elsewhere=self.elsewhere.append,
            keep_failed=self.failed.append,
        )

    def call(self, holding: Holding = Holding.HELD, **properties: Any) -> ServerCall:
        """A call that has just ended."""
        made = call(answers=self.answers, **properties)
        made.state, made.holding, made.tick, made.ends = State.ENDED, holding, 3, self.now + 5
        return made


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_a_call_is_answered_acknowledged_and_forgotten(scene: Scene) -> None:
    ended = scene.call()
    assert scene.settling.finish(ended, b"reply")
    assert scene.answers.sent == [("finish", b"reply")]
    assert (scene.removed, scene.discarded) == ([ended], [(3, ended)])
    assert (ended.holding, ended.answer) == (Holding.SETTLED, Answer.GIVEN)
    assert ended.source.finished == 1
    assert scene.kept.find(name("1")) == (ended.source.queue, b"reply")


def test_a_reply_that_waits_for_the_socket_keeps_its_place(scene: Scene) -> None:
    scene.answers.full = True
    assert not scene.settling.finish(scene.call(), b"reply")


def test_a_call_that_was_answered_is_only_acknowledged(scene: Scene) -> None:
    running = scene.call()
    scene.settling.answer(running, b"too late")
    assert scene.answers.sent == [("reply", b"too late")]
    assert scene.settling.finish(running, b"reply")
    assert scene.answers.sent[1:] == [("finish", b"")]
    assert scene.kept.find(name("1")) == (running.source.queue, b"too late")


def test_a_reply_to_nobody_is_not_kept(scene: Scene) -> None:
    scene.answers.remembers = False
    scene.settling.finish(scene.call(), b"reply")
    assert scene.kept.find(name("1")) is None


def test_what_another_server_is_to_run_is_handed_back_or_requeued(scene: Scene) -> None:
    scene.settling.finish(scene.call(), b"", back=True)
    assert scene.answers.sent == [("hand back", None)]
    entered = scene.call()
    entered.entered = True
    scene.settling.finish(entered, b"", back=True)
    assert scene.answers.sent[1:] == [("requeue", 1)]
    assert entered.holding is Holding.SETTLED
    answered = scene.call()
    answered.answer = Answer.GIVEN
    scene.settling.finish(answered, b"reply", back=True)
    assert scene.answers.sent[2:] == [("finish", b"")]


def test_a_request_that_cannot_be_copied_goes_back_as_redelivered(scene: Scene) -> None:
    late = scene.call()
    scene.settling.hand_back(late.incoming, late.source, -1.0)
    assert scene.answers.sent == [("requeue", 1)]


def test_the_copy_of_a_request_that_came_again_says_so() -> None:
    scene = Scene(SPECS["again"])
    again = scene.call(redelivered=True, headers={"attempt": 2})
    scene.settling.hand_back(again.incoming, again.source, 5.0)
    counted = Scene(SPECS["counted"])
    again = counted.call(redelivered=True, headers={"x-delivery-count": 4})
    counted.settling.hand_back(again.incoming, again.source, 5.0)
    assert [*scene.answers.sent, *counted.answers.sent] == [("hand back", 3), ("hand back", 4)]


@pytest.mark.parametrize(
    ("method", "properties", "sent"),
    [
        ("again", {}, ("requeue", 1)),
        # Its copy goes by a channel of its own, with confirms.
        ("again", {"reply_to": None}, ("hand back", None)),
        # It would not be run again once it counts as redelivered.
        ("work", {}, ("hand back", None)),
    ],
)
def test_a_request_that_may_run_twice_is_not_copied_where_nothing_is_confirmed(
    method: str, properties: dict[str, Any], sent: tuple[str, object]
) -> None:
    scene = Scene(SPECS[method])
    scene.answers.confirms = False
    waiting = scene.call(**properties)
    scene.settling.hand_back(waiting.incoming, waiting.source, 5.0)
    assert scene.answers.sent == [sent]


@pytest.mark.parametrize("is_open", [True, False])
def test_a_reply_whose_channel_ended_is_kept_and_sent_as_well(scene: Scene, is_open: bool) -> None:
    scene.answers.is_open = is_open
    ended = scene.call(Holding.DETACHED)
    assert scene.settling.finish(ended, b"reply")
    assert scene.answers.sent == ([("reply", b"reply")] if is_open else [])
    assert scene.elsewhere == ([] if is_open else [b"reply"])
    assert ended.source.finished == 1
    scene.settling.attached(ended.source)
    assert scene.answers.sent[-1] == ("repeat", b"reply")


def test_in_a_drain_nothing_is_sent_of_a_call_whose_channel_ended(scene: Scene) -> None:
    ended = scene.call(Holding.DETACHED)
    ended.stop = Stop.DRAIN
    assert scene.settling.finish(ended, b"reply")
    assert (scene.answers.sent, scene.elsewhere) == ([], [])


def test_a_reply_is_repeated_on_its_own_queue(scene: Scene) -> None:
    source = scene.call().source
    assert not scene.settling.repeat(source.queue, name("1"), b"reply")
    scene.settling.attached(source)
    assert scene.settling.repeat(source.queue, name("1"), b"reply")
    assert not scene.settling.repeat("another", name("1"), b"reply")
    assert scene.answers.sent == [("repeat", b"reply")]


def test_a_reply_that_nobody_can_ask_for_is_not_kept(scene: Scene) -> None:
    nameless = scene.call(call_id="")
    scene.settling.keep(nameless, b"reply")
    assert scene.kept.unacked(nameless.source.queue) == []


def test_a_forgotten_call_is_not_answered(scene: Scene) -> None:
    gone = scene.call()
    scene.settling.forget(gone)
    assert (scene.removed, scene.discarded) == ([gone], [(3, gone)])
    assert not scene.answers.sent


@pytest.mark.parametrize("holding", [Holding.HELD, Holding.DETACHED])
def test_what_was_passed_on_is_acknowledged_and_the_notice_of_it_kept(
    scene: Scene, holding: Holding
) -> None:
    passed = scene.call(holding)
    scene.settling.passed(passed, b"passed")
    assert scene.settling.finish(passed, b"passed")
    assert scene.answers.sent == ([("finish", b"")] if holding is Holding.HELD else [])
    assert scene.kept.find(name("1")) == (passed.source.queue, b"passed")
    unacked = scene.kept.unacked(passed.source.queue)
    assert unacked == ([] if holding is Holding.HELD else [(name("1"), b"passed")])


def test_a_one_way_call_that_failed_is_kept_where_its_queue_keeps_them(scene: Scene) -> None:
    ended = scene.call()
    ended.one_way = ended.dead_letter = True
    assert scene.settling.finish(ended, b"")
    assert (scene.failed, scene.answers.sent) == ([], [("reject", ended.tag)])
    kept = scene.call()
    kept.one_way = kept.dead_letter = kept.source.keeps_failed = True
    assert scene.settling.finish(kept, b"")
    assert scene.failed == [kept]
    assert len(scene.answers.sent) == 1
    assert kept.holding is Holding.SETTLED
    away = scene.call(Holding.DETACHED)
    away.one_way = away.dead_letter = away.source.keeps_failed = True
    assert scene.settling.finish(away, b"")
    assert scene.failed == [kept]  # whoever gets it next sees to it


def test_a_one_way_call_that_could_not_be_acknowledged_is_known_when_it_comes_again(
    scene: Scene,
) -> None:
    for holding in (Holding.HELD, Holding.DETACHED):
        ended = scene.call(holding)
        ended.one_way, ended.name = True, f"one-way {holding.value}"
        assert scene.settling.finish(ended, b"")
        assert scene.kept.find(ended.name) == (ended.source.queue, b"")
    assert scene.elsewhere in ([], [b""])
