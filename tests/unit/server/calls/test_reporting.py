"""Reports are told to a caller one at a time, the newest first, and none after its answer."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from leveret.contract import Progress
from leveret.server.calls.life import Answer, ServerCall, State
from leveret.server.calls.reporting import Reporter
from leveret.wire.timing import REPORTED_EVERY
from tests.unit.server.calls.making import Answers, call, request


class Clock(asyncio.SelectorEventLoop):
    """An event loop whose time stands still, and whose timers are run by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 100.0
        self.timers: list[asyncio.TimerHandle] = []

    def time(self) -> float:
        return self.now


def told(answers: Answers) -> list[str]:
    """The bodies of the notices so far, each of one letter."""
    return [frames[-4:-3].decode() for kind, frames in answers.sent if kind == "notice"]


def report(text: str) -> Progress:
    return Progress(text=text)


class Scene:
    """A reporter on a loop whose clock is set by hand."""

    def __init__(self) -> None:
        self.loop = Clock()
        self.answers = Answers()
        self.call: ServerCall = call(answers=self.answers)
        self.call.state = State.RUNNING
        self.reporter = Reporter(self.loop, self.call)

    def on_the_loop(self, *texts: str) -> None:
        async def report_all() -> None:
            for text in texts:
                self.reporter(report(text))

        self.loop.run_until_complete(report_all())

    def in_a_thread(self, *texts: str) -> None:
        def report_all() -> None:
            for text in texts:
                self.reporter(report(text))

        thread = threading.Thread(target=report_all)
        thread.start()
        thread.join()
        self.later(0)

    def later(self, seconds: float) -> None:
        self.loop.now += seconds
        self.loop.run_until_complete(asyncio.sleep(0))


@pytest.fixture
def scene() -> Iterator[Scene]:
    scene = Scene()
    yield scene
    scene.loop.close()


def test_the_first_report_is_told_at_once_and_then_the_newest(scene: Scene) -> None:
    scene.on_the_loop("a", "b", "c")
    assert told(scene.answers) == ["a"]
    scene.later(REPORTED_EVERY / 2)
    scene.on_the_loop("d")
    assert told(scene.answers) == ["a"]
    scene.later(REPORTED_EVERY)
    assert told(scene.answers) == ["a", "d"]
    scene.later(REPORTED_EVERY)
    assert told(scene.answers) == ["a", "d"]  # nothing is told twice
    scene.on_the_loop("e")
    assert told(scene.answers) == ["a", "d", "e"]


def test_a_thread_reports_by_way_of_the_loop(scene: Scene) -> None:
    scene.in_a_thread("a", "b", "c")
    assert told(scene.answers) == ["c"]
    scene.in_a_thread("d", "e")
    scene.later(REPORTED_EVERY)
    assert told(scene.answers) == ["c", "e"]


def test_what_the_socket_does_not_take_is_told_later(scene: Scene) -> None:
    scene.answers.full = True
    scene.on_the_loop("a")
    scene.on_the_loop("b")
    scene.answers.full = False
    scene.later(REPORTED_EVERY)
    assert told(scene.answers) == ["a", "b"]  # the first of which did not leave


@pytest.mark.parametrize("ended", [True, False])
def test_nothing_is_told_once_the_caller_is_answered(scene: Scene, ended: bool) -> None:
    scene.on_the_loop("a", "b")
    if ended:
        scene.call.state = State.ENDED
    else:
        scene.call.answer = Answer.GIVEN
    scene.later(REPORTED_EVERY)
    scene.on_the_loop("c")
    scene.later(REPORTED_EVERY)
    assert told(scene.answers) == ["a"]


def test_nobody_is_told_of_a_request_that_wants_no_reply() -> None:
    scene = Scene()
    scene.call.incoming = request("")
    scene.on_the_loop("a")
    scene.later(REPORTED_EVERY)
    scene.on_the_loop("b")
    assert scene.answers.sent == []
    scene.loop.close()


def test_a_report_after_the_end_of_the_loop_does_no_harm() -> None:
    scene = Scene()
    scene.loop.close()
    scene.reporter(report("a"))
    assert told(scene.answers) == []
