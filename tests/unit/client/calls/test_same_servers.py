"""Servers say for how long they have consumed a queue; only the word of all of them counts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from math import inf

import msgspec

from leveret.client.calls.inquiries import Inquiries, Inquiry
from leveret.client.calls.route import Route
from leveret.client.calls.same_servers import SameServers
from leveret.errors import ConnectionLost
from tests.unit.client.calls.making import found


def answer(seconds: float) -> bytes:
    return msgspec.json.encode({"instance": "b47af560", "seconds": seconds})


class Scene:
    """Servers of one queue, which answer as the test says."""

    def __init__(self, *answers: bytes, consumers: int = 1) -> None:
        self.answers = answers
        self.asked: list[tuple[str, str, bytes]] = []
        self.unbound = False
        self.time: Callable[[], float] = asyncio.get_running_loop().time
        self.inquiries = Inquiries(ask=self._ask, ready=self._ready)
        self.servers = SameServers(self.inquiries.open, self.time)
        self.route = Route("desk.write", "leveret.desk.write", "desk")
        self.route.probed(found(consumers, 3, at=self.time()))

    def _ask(self, word: str, key: str, name: str, _seconds: float, body: bytes) -> None:
        self.asked.append((word, key, body))
        if self.unbound:
            self.inquiries.unbound(name)
        for answered in self.answers:
            self.inquiries.answered(name, answered)

    async def _ready(self, inquiry: Inquiry, timeout: float) -> float:
        assert not inquiry.wait_for_connection
        return timeout


async def test_the_server_that_came_last_tells_since_when_they_are_the_same() -> None:
    scene = Scene(answer(7.0), answer(0.5), answer(2.0), consumers=3)
    before = scene.time()
    await scene.servers.ask(scene.route)
    after = scene.time()
    assert scene.asked == [("since", "desk", b"leveret.desk.write")]
    assert before - 0.5 <= scene.route.same_since <= after - 0.5
    assert before <= scene.route.same_as_of <= after


async def test_a_server_that_says_nothing_may_be_another() -> None:
    for scene in (Scene(answer(7.0), consumers=2), Scene(), Scene(b"?"), Scene(b'{"seconds":1}')):
        await scene.servers.ask(scene.route)
        assert (scene.route.same_since, scene.route.same_as_of) == (inf, -inf)


async def test_nobody_is_waited_for_where_nobody_listens() -> None:
    scene = Scene()
    scene.unbound = True
    await scene.servers.ask(scene.route)
    assert scene.route.same_since == inf


async def test_a_question_that_cannot_be_sent_tells_nothing() -> None:
    scene = Scene(answer(7.0))

    async def ready(_inquiry: Inquiry, _timeout: float) -> float:
        raise ConnectionLost("not sent", executed="no")

    servers = SameServers(Inquiries(ask=scene._ask, ready=ready).open, scene.time)
    await servers.ask(scene.route)
    assert scene.route.same_since == inf


async def test_servers_that_do_not_answer_are_left_alone_for_a_while() -> None:
    scene = Scene()
    await scene.servers.ask(scene.route)
    scene.answers = (answer(7.0),)
    await scene.servers.ask(scene.route)
    assert len(scene.asked) == 1
    scene.route.not_said(scene.time() - 5.0)
    await scene.servers.ask(scene.route)
    assert scene.route.same_since < inf


async def test_servers_that_go_while_they_are_asked_are_not_the_same() -> None:
    scene = Scene()
    scene.unbound = True

    async def ready(_inquiry: Inquiry, timeout: float) -> float:
        scene.route.probed(found(0, 3, at=scene.time()))
        return timeout

    scene.inquiries = Inquiries(ask=scene._ask, ready=ready)
    await SameServers(scene.inquiries.open, scene.time).ask(scene.route)
    assert scene.route.same_since == inf


async def test_questions_about_a_queue_are_a_moment_apart() -> None:
    scene = Scene(answer(7.0))
    await scene.servers.ask(scene.route)
    first = scene.route.same_as_of
    await scene.servers.ask(scene.route)
    assert scene.route.same_as_of >= first + 0.02
