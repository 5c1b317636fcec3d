"""Servers tell each other when they begin to take requests."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from math import inf

from leveret.errors import ConnectionLost
from leveret.server.newcomers import Newcomers


class Scene:
    """The server `a` of two services, with a clock of its own."""

    def __init__(self) -> None:
        self.now = 100.0
        self.told: list[str] = []
        self.broken = False
        self.newcomers = Newcomers("a", ["desk", "shop"], self._tell, lambda: self.now)

    async def _tell(self, services: Iterable[str]) -> None:
        await asyncio.sleep(0)
        if self.broken:
            raise ConnectionLost("no")
        self.told.extend(services)


async def test_queues_that_begin_at_one_time_are_announced_once_and_later_ones_again() -> None:
    scene = Scene()
    await asyncio.gather(*(scene.newcomers.announce() for _ in range(5)))
    assert scene.told == ["desk", "shop"]
    scene.now += 0.1
    await scene.newcomers.announce()
    assert scene.told == ["desk", "shop"]
    scene.now += 0.15
    await scene.newcomers.announce()
    assert scene.told == 2 * ["desk", "shop"]


async def test_a_server_that_cannot_tell_begins_all_the_same_and_tells_next_time() -> None:
    scene = Scene()
    scene.broken = True
    await scene.newcomers.announce()
    scene.broken = False
    await scene.newcomers.announce()
    assert scene.told == ["desk", "shop"]


def test_a_newcomer_counts_for_its_service_from_the_time_at_which_it_takes_requests() -> None:
    scene = Scene()
    assert scene.newcomers.none_for("desk") == inf
    scene.newcomers.began("desk", "b")
    assert scene.newcomers.none_for("desk") == 0
    scene.now += 0.25
    assert scene.newcomers.none_for("desk") == 0
    scene.now += 3.25
    assert scene.newcomers.none_for("desk") == 3.0
    assert scene.newcomers.none_for("shop") == inf


def test_a_server_is_no_newcomer_to_itself_nor_are_those_of_other_services() -> None:
    scene = Scene()
    scene.newcomers.began("desk", "a")
    scene.newcomers.began("court", "b")
    assert scene.newcomers.none_for("desk") == scene.newcomers.none_for("court") == inf
