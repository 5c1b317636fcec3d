"""Lines that do not break but fall silent, falter, or falsify."""

from __future__ import annotations

import asyncio
from typing import Final

import pytest

from leveret.testing import Corrupt, Stall, before_frame, inside_frame
from leveret.testing.faults.actions import Directions, Gone
from leveret.testing.faults.moments import Direction
from tests.behaviour.patience import until
from tests.faults.diary import Diary
from tests.faults.oracle import Oracle
from tests.faults.scene import Link, Load, scene
from tests.faults.work import Work

_NOTICED: Final = 9.0
"""Seconds for calls over a line that fell silent: that is noticed after 5 s of silence."""


class Other(Work):
    """The same by another name, for a second scene at the same time."""


class Third(Work):
    """And for a third."""


_SERVICES: Final[tuple[type[Work], ...]] = (Work, Other, Third)
_GONE: Final[tuple[Gone, ...]] = ("broker", "client", "network")
_WAYS: Final[tuple[Directions, ...]] = ("to_broker", "to_client", "both")


@pytest.mark.parametrize("broken", ["client", "server"])
async def test_a_connection_one_side_of_which_vanished_without_a_word(
    broken: Link, broker_url: str, oracle: Oracle, diary: Diary
) -> None:
    async def play(service: type[Work], gone: Gone) -> None:
        async with (
            scene(broker_url, diary, broken=broken, service=service, heartbeat=2) as there,
            Load(oracle, there.client, timeout=_NOTICED, service=service, callers=4) as load,
        ):
            await load.some_more()
            there.proxy.half_open(gone)
            oracle.faults += 1
            await until(lambda: there.proxy.accepted > 1, "the loss is noticed")
            await there.whole()
            await load.some_more()

    async with asyncio.TaskGroup() as group:
        for service, gone in zip(_SERVICES, _GONE, strict=True):
            group.create_task(play(service, gone))
    await oracle.fair()


@pytest.mark.parametrize("broken", ["client", "server"])
async def test_a_line_that_stalls_for_a_while(
    broken: Link, broker_url: str, oracle: Oracle, diary: Diary
) -> None:
    async def play(service: type[Work], direction: Directions) -> None:
        async with (
            scene(broker_url, diary, broken=broken, service=service) as there,
            Load(oracle, there.client, service=service, callers=4) as load,
        ):
            await load.some_more()
            there.proxy.stall(direction)
            oracle.faults += 1
            await asyncio.sleep(0.8)
            there.proxy.resume()
            await load.some_more()

    async with asyncio.TaskGroup() as group:
        for service, direction in zip(_SERVICES, _WAYS, strict=True):
            group.create_task(play(service, direction))
    await oracle.fair()


async def test_a_line_that_stalls_for_good_is_given_up(
    broker_url: str, oracle: Oracle, diary: Diary
) -> None:
    async with (
        scene(broker_url, diary, broken="client") as there,
        Load(oracle, there.client, timeout=_NOTICED, callers=4) as load,
    ):
        await load.some_more()
        for connection in there.proxy.connections:
            connection.stall()
        oracle.faults += 1
        await until(lambda: there.proxy.accepted > 1, "another connection is made")
        await load.some_more()
    await oracle.fair()


async def test_a_broker_that_answers_one_probe_and_no_other_is_given_up(
    broker_url: str, oracle: Oracle, diary: Diary
) -> None:
    async with scene(broker_url, diary, broken="client") as there:
        for idempotent in (True, False):
            # Long enough for the probe beside the first call of a queue to be answered.
            await oracle.call(there.client, idempotent=idempotent, timeout=3, seconds=0.1)
        # Both calls are looked after at the same time, each in a queue of its own.
        falls_silent = there.proxy.when(
            before_frame(2, "to_client", kind="queue.declare-ok"), Stall()
        )
        answered = oracle.begin(
            there.client, idempotent=False, timeout=1.0, kept=False, seconds=2.0
        )
        unanswered = oracle.begin(there.client, idempotent=True, timeout=_NOTICED, seconds=1.0)
        await falls_silent.fired.wait()
        oracle.faults += 1
        await answered
        assert (await unanswered).error is None, await unanswered
    await oracle.fair()


async def test_calls_over_a_line_that_stalls_for_good_end_in_time(
    broker_url: str, oracle: Oracle, diary: Diary
) -> None:
    async with scene(broker_url, diary, broken="client") as there:
        async with Load(oracle, there.client, timeout=1.0, callers=4, kept=False) as load:
            await load.some_more()
            there.proxy.stall()
            oracle.faults += 1
            await load.ended(8)
        there.proxy.resume()
    await oracle.fair()


@pytest.mark.parametrize("direction", ["to_broker", "to_client"])
@pytest.mark.parametrize("broken", ["client", "server"])
async def test_a_falsified_byte_anywhere_in_a_call(
    broken: Link, direction: Direction, broker_url: str, oracle: Oracle, diary: Diary
) -> None:
    """In the head of each frame, and in what follows.

    Only text in a body can be falsified unseen: AMQP has no check sum, TLS has.
    """
    async with scene(broker_url, diary, broken=broken) as there:
        for n in range(1, 5):
            for offset in (0, 2, 6, 8, 20):
                await there.whole()
                rule = there.proxy.when(inside_frame(n, offset, direction), Corrupt())
                for idempotent in (True, False):
                    await oracle.call(there.client, idempotent=idempotent, timeout=0.8, kept=False)
                oracle.faults += rule.fired.is_set()
                rule.remove()
        # A broker that waits for the rest of a frame that was never sent is given up in the end.
        await oracle.call(there.client, idempotent=True, timeout=20.0)
    await oracle.fair()


@pytest.mark.parametrize("broken", ["client", "server"])
async def test_a_slow_line(broken: Link, broker_url: str, oracle: Oracle, diary: Diary) -> None:
    async with scene(broker_url, diary, broken=broken) as there:
        there.proxy.delay(0.05, jitter=0.15)
        oracle.faults += 1
        async with Load(oracle, there.client, callers=10) as load:
            await load.some_more(60)
        # With deadlines that are about as long as the way there and back.
        async with Load(oracle, there.client, callers=10, timeout=0.35, kept=False) as load:
            await load.ended(60)
    await oracle.fair()


@pytest.mark.parametrize("broken", ["client", "server"])
async def test_deadlines_that_pass_while_the_answer_is_on_its_way(
    broken: Link, broker_url: str, oracle: Oracle, diary: Diary
) -> None:
    async with (
        scene(broker_url, diary, broken=broken, concurrency=1) as there,
        Load(
            oracle, there.client, callers=12, timeout=0.4, seconds=0.1, kept=False, pause=0
        ) as load,
    ):
        for delay in (0.01, 0.04, 0.07, 0.1):
            there.proxy.delay(delay, jitter=0.02)
            oracle.faults += 1
            await load.ended(24)
    await oracle.fair()
