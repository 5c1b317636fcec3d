"""Whether a broker that says nothing is dead. What probes find is tested on brokers."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Coroutine
from typing import Any, TypeVar, cast

from leveret.client.calls.probe import DEAD_AFTER, BrokerLiveness, QueueProbe
from leveret.client.calls.route import Route
from leveret.client.calls.tasks import Tasks
from leveret.errors import ConnectionLost
from leveret.transport.connection import Connection
from tests.behaviour.patience import until

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


class BreaksDown:
    """A connection, and a channel of it, that breaks when the test says so."""

    closed = None

    def __init__(self) -> None:
        self.broken: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def open_channel(self) -> BreaksDown:
        return self

    async def look_at_queue(self, _name: str) -> None:
        await self.broken


async def fail_and_cancel() -> None:
    """A probe whose connection breaks, and which is cancelled before it has noticed."""
    loop = asyncio.get_running_loop()
    connection, tasks = BreaksDown(), Tasks(loop)
    asking: list[asyncio.Task[Any]] = []

    def begin(work: Coroutine[Any, Any, T], /) -> asyncio.Task[T]:
        asking.append(task := tasks.begin(work))
        return task

    probe = QueueProbe(lambda: cast(Connection, connection), begin, loop.time)
    probing = asyncio.create_task(probe.probe(Route("gate.once", "leveret.gate.once", "gate")))
    await until(lambda: bool(asking), "it asks")
    await asyncio.sleep(0)
    connection.broken.set_exception(ConnectionLost("the test broke it"))
    asking[0].add_done_callback(lambda _asking: probing.cancel())
    await asyncio.wait({probing})
    assert probing.cancelled()


async def test_the_error_of_a_probe_that_is_cancelled_at_the_same_time_is_not_unseen() -> None:
    complaints: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _loop, context: complaints.append(context))
    await fail_and_cancel()
    gc.collect()
    assert complaints == []
