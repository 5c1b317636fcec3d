"""When callers of calls that take long are told."""

from __future__ import annotations

from leveret.server.announcer import Announcer
from leveret.wire.timing import ANNOUNCE_AFTER
from tests.unit.transport.clock import Clock


class Scene:
    def __init__(self) -> None:
        self.clock = Clock()
        self.here = True
        self.told: list[float] = []
        self.watched = 0
        self.announcer = Announcer(self.clock.loop, self._announce, self.clock.time, self._watch)

    def _announce(self, before: float) -> bool:
        if self.here:
            self.told.append(before)
        return self.here

    def _watch(self) -> None:
        self.watched += 1


def test_calls_are_told_of_after_a_while_and_again_as_long_as_one_is_here() -> None:
    scene = Scene()
    scene.announcer.watch()
    scene.announcer.watch()
    assert scene.announcer.watching
    scene.clock.advance(ANNOUNCE_AFTER * 0.9)
    assert scene.told == []
    scene.clock.advance(ANNOUNCE_AFTER * 1.2)
    assert [round(before, 2) for before in scene.told] == [0.0, ANNOUNCE_AFTER]
    assert scene.watched == 3


def test_while_no_call_is_here_no_timer_runs() -> None:
    scene = Scene()
    scene.announcer.watch()
    scene.here = False
    scene.clock.advance(10)
    assert not scene.announcer.watching
    assert scene.clock.timers == 0


def test_a_server_that_has_stopped_tells_nobody() -> None:
    scene = Scene()
    scene.announcer.close()
    scene.announcer.watch()
    scene.announcer.close()
    scene.clock.advance(10)
    assert scene.told == []
