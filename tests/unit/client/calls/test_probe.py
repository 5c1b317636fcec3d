"""Whether a broker that says nothing is dead. What probes find is tested on brokers."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Coroutine
from typing import Any, TypeVar, cast

import pytest

from leveret.amqp import methods
from leveret.client.calls import probe as probe_module
from leveret.client.calls.probe import DEAD_AFTER, MOST_AT_ONCE, BrokerLiveness, QueueProbe
from leveret.client.calls.route import Route
from leveret.client.calls.tasks import Tasks
from leveret.errors import ConnectionLost, LeveretError
from leveret.transport.connection import Connection
from tests.behaviour.patience import PATIENCE, until

T = TypeVar("T")


def test_a_broker_that_owes_no_answer_may_be_silent_for_ever() -> None:
    liveness = BrokerLiveness()
    assert not liveness.is_dead(1, 0.0, blocked=False)
    assert not liveness.is_dead(1, 1_000.0, blocked=False)


def test_a_broker_that_owes_an_answer_and_says_nothing_is_dead_in_the_end() -> None:
    liveness = BrokerLiveness()
    liveness.is_dead(1, 0.0, blocked=False)
    liveness.expect_answer(10.0)
    liveness.expect_answer(14.0)  # the oldest question counts
    assert not liveness.is_dead(1, 10.0 + DEAD_AFTER, blocked=False)
    assert liveness.is_dead(1, 10.1 + DEAD_AFTER, blocked=False)


def test_whatever_it_says_shows_that_it_lives() -> None:
    liveness = BrokerLiveness()
    liveness.expect_answer(0.0)
    assert not liveness.is_dead(1, 4.0, blocked=False)
    assert not liveness.is_dead(2, 8.0, blocked=False)
    assert not liveness.is_dead(2, 8.0 + DEAD_AFTER, blocked=False)
    assert liveness.is_dead(2, 8.1 + DEAD_AFTER, blocked=False)


def test_an_answer_is_owed_no_more_when_it_has_come() -> None:
    liveness = BrokerLiveness()
    liveness.is_dead(1, 0.0, blocked=False)
    question = liveness.expect_answer(0.0)
    liveness.expect_no_answer(question)
    assert not liveness.is_dead(1, 100.0, blocked=False)
    liveness.expect_no_answer(question)  # nor is it owed twice


def test_an_answer_to_one_question_is_no_answer_to_another() -> None:
    liveness = BrokerLiveness()
    liveness.is_dead(1, 0.0, blocked=False)
    first = liveness.expect_answer(0.0)
    second = liveness.expect_answer(1.0)
    liveness.expect_no_answer(first)
    assert not liveness.is_dead(1, 1.0 + DEAD_AFTER, blocked=False)
    assert liveness.is_dead(1, 1.1 + DEAD_AFTER, blocked=False)
    liveness.expect_no_answer(second)
    assert not liveness.is_dead(1, 100.0, blocked=False)


def test_a_broker_owes_no_answer_on_another_connection() -> None:
    liveness = BrokerLiveness()
    liveness.is_dead(1, 0.0, blocked=False)
    asked_before = liveness.expect_answer(0.0)
    liveness.connection_changed()
    assert not liveness.is_dead(1, 100.0, blocked=False)
    liveness.expect_answer(100.0)
    liveness.expect_no_answer(asked_before)  # its probe ends late
    assert liveness.is_dead(1, 100.1 + DEAD_AFTER, blocked=False)


def test_a_broker_that_blocks_publishers_may_read_nothing_for_long() -> None:
    liveness = BrokerLiveness()
    liveness.is_dead(1, 0.0, blocked=False)
    liveness.expect_answer(0.0)
    assert not liveness.is_dead(1, 100.0, blocked=True)
    assert liveness.is_dead(1, 100.0, blocked=False)


class Line:
    """A channel of a connection: questions are answered, or fail, when the test says so."""

    def __init__(self, connection: Lines) -> None:
        self.connection = connection
        self.closed: LeveretError | None = None
        self.asked: list[asyncio.Future[methods.Queue.DeclareOk]] = []
        self.abandoned = False

    def ask_for_queue(self, _name: str) -> Coroutine[Any, Any, methods.Queue.DeclareOk]:
        self.asked.append(asyncio.get_running_loop().create_future())
        return self._answer(self.asked[-1])

    async def _answer(
        self, answer: asyncio.Future[methods.Queue.DeclareOk]
    ) -> methods.Queue.DeclareOk:
        return await answer

    def abandon(self) -> None:
        self.abandoned = True
        self.closed = ConnectionLost("abandoned")


class Lines:
    """A connection."""

    def __init__(self) -> None:
        self.lines: list[Line] = []
        self.failure: LeveretError | None = None

    def begin_channel(self) -> tuple[Line, Coroutine[Any, Any, None]]:
        if self.failure is not None:
            raise self.failure
        self.lines.append(Line(self))
        return self.lines[-1], asyncio.sleep(0)

    def answer(self, number: int, consumers: int = 0) -> None:
        self.lines[number].asked[-1].set_result(
            methods.Queue.DeclareOk(queue="", message_count=0, consumer_count=consumers)
        )


class Scene:
    """A probe on that connection."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.connection = Lines()
        self.tasks = Tasks(loop)
        self.asking: list[asyncio.Task[Any]] = []
        self.probe = QueueProbe(
            lambda: cast(Connection, self.connection), self._begin, loop.time
        ).probe

    def _begin(self, work: Coroutine[Any, Any, T], /) -> asyncio.Task[T]:
        self.asking.append(task := self.tasks.begin(work))
        return task


def a_route() -> Route:
    return Route("gate.once", "leveret.gate.once", "gate")


@pytest.fixture
def no_probe_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine a quarter second may pass before the answer is looked at."""
    monkeypatch.setattr(probe_module, "_HANGS_AFTER", PATIENCE)


@pytest.mark.usefixtures("no_probe_hangs")
async def test_a_probe_is_sent_before_anything_is_awaited_and_each_has_a_channel() -> None:
    scene, routes = Scene(), [a_route() for _ in range(4)]
    probing = [scene.probe(route) for route in routes]
    assert [len(line.asked) for line in scene.connection.lines] == [1, 1, 1, 1]
    for number in range(4):
        scene.connection.answer(number, consumers=number)
    assert await asyncio.gather(*probing) == [True] * 4
    assert [route.finding.consumers for route in routes] == [0, 1, 2, 3]
    assert [line.abandoned for line in scene.connection.lines] == [False, False, True, True]
    again = scene.probe(routes[0])
    await until(
        lambda: len(scene.connection.lines[1].asked) == 2, "it takes a channel that is idle"
    )
    scene.connection.answer(1, consumers=7)
    assert await again
    assert routes[0].finding.consumers == 7


@pytest.mark.usefixtures("no_probe_hangs")
async def test_more_probes_than_that_wait_for_their_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("leveret.client.calls.probe._HANGS_AFTER", 60.0)  # on a busy machine, too
    scene = Scene()
    routes = [a_route() for _ in range(MOST_AT_ONCE + 1)]
    probing = [scene.probe(route) for route in routes]
    assert len(scene.connection.lines) == MOST_AT_ONCE
    scene.connection.answer(3, consumers=1)
    assert await probing[3]
    lines = scene.connection.lines  # it takes the one that is idle, or a new one just before

    def asked() -> int:
        return sum(len(line.asked) for line in lines)

    await until(lambda: asked() == MOST_AT_ONCE + 1, "the last one is asked")
    for number, line in enumerate(lines):
        if not line.asked[-1].done():
            scene.connection.answer(number)
    assert all(await asyncio.gather(*probing))


async def test_a_probe_on_a_connection_that_has_ended_finds_nothing_out() -> None:
    scene, route = Scene(), a_route()
    scene.connection.failure = ConnectionLost("the test broke it")
    assert not await scene.probe(route)
    assert route.unwatched_until > 0
    assert not route.is_probed


async def fail_and_cancel() -> None:
    """A probe whose connection breaks, and which is cancelled before it has noticed."""
    scene = Scene()
    probing = scene.probe(a_route())
    await until(lambda: bool(scene.asking), "it asks")
    await asyncio.sleep(0)
    asked = scene.connection.lines[0].asked[0]
    asked.set_exception(ConnectionLost("the test broke it"))
    scene.asking[1].add_done_callback(lambda _asking: probing.cancel())
    await asyncio.wait({probing})
    assert probing.cancelled()


async def test_the_error_of_a_probe_that_is_cancelled_at_the_same_time_is_not_unseen() -> None:
    complaints: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _loop, context: complaints.append(context))
    await fail_and_cancel()
    gc.collect()
    assert complaints == []
