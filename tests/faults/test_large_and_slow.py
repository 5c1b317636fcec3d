"""Large bodies, slow networks, and clients that stop to read."""

from __future__ import annotations

import asyncio
from typing import Final

import pytest

from leveret import Rabbit
from leveret.testing import Cut, after_bytes
from leveret.testing.faults.moments import Direction
from tests.faults.diary import Diary
from tests.faults.oracle import Oracle
from tests.faults.scene import Link, Load, scene

_MB: Final = 1_000_000


def _pause_reading(rabbit: Rabbit) -> asyncio.Transport:
    """As a client whose program is stopped, or too busy: what comes stays in the socket."""
    transport = rabbit.calls.link.connection._transport
    assert transport is not None
    transport.pause_reading()
    return transport


async def test_bodies_of_16_mb_travel_both_ways(
    broker_url: str, oracle: Oracle, diary: Diary
) -> None:
    async with scene(broker_url, diary, broken="client") as there:
        for idempotent in (True, False):
            call = await oracle.call(
                there.client, idempotent=idempotent, timeout=20, padding=16 * _MB, reply=16 * _MB
            )
            assert call.error is None, call
    await oracle.fair()


@pytest.mark.parametrize("direction", ["to_broker", "to_client"])
@pytest.mark.parametrize("broken", ["client", "server"])
async def test_a_cut_in_the_middle_of_a_large_body(
    broken: Link, direction: Direction, broker_url: str, oracle: Oracle, diary: Diary
) -> None:
    async with scene(broker_url, diary, broken=broken) as there:
        for idempotent in (True, False):
            await there.whole()
            rule = there.proxy.when(after_bytes(3 * _MB, direction), Cut())
            await oracle.call(
                there.client,
                idempotent=idempotent,
                timeout=6 if idempotent else 2,
                padding=4 * _MB,
                reply=4 * _MB,
            )
            assert rule.fired.is_set()
            oracle.faults += 1
    await oracle.fair()


@pytest.mark.parametrize("broken", ["client", "server"])
async def test_large_and_small_calls_over_a_narrow_line(
    broken: Link, broker_url: str, oracle: Oracle, diary: Diary
) -> None:
    async with scene(broker_url, diary, broken=broken) as there:
        there.proxy.throttle(4 * _MB)
        oracle.faults += 1
        large = [
            oracle.begin(there.client, idempotent=n % 2 == 0, timeout=10, padding=size, reply=size)
            for n, size in enumerate((1 * _MB, 2 * _MB, 4 * _MB))
        ]
        # Small ones wait behind the large ones; some of them for too long.
        async with Load(oracle, there.client, callers=4, timeout=0.5, kept=False):
            for call in large:
                assert (await call).error is None, await call
    await oracle.fair()


async def test_a_client_that_does_not_read_for_a_while(
    broker_url: str, oracle: Oracle, diary: Diary
) -> None:
    async with scene(broker_url, diary, broken="client") as there:
        await oracle.call(there.client, idempotent=True, timeout=3)
        calls = [
            oracle.begin(there.client, idempotent=n % 2 == 0, timeout=6, seconds=0.1, reply=30_000)
            for n in range(300)
        ]
        await oracle.handlers_began()
        transport = _pause_reading(there.client)
        oracle.faults += 1
        await oracle.handlers_ended()
        transport.resume_reading()
        for call in calls:
            assert (await call).error is None, await call
    await oracle.fair()


async def test_calls_end_in_time_in_a_client_that_reads_no_more(
    broker_url: str, oracle: Oracle, diary: Diary
) -> None:
    async with scene(broker_url, diary, broken="client") as there:
        await oracle.call(there.client, idempotent=True, timeout=3)
        for n in range(300):
            oracle.begin(
                there.client,
                idempotent=n % 2 == 0,
                timeout=1.0,
                kept=False,
                seconds=0.1,
                reply=30_000,
            )
        await oracle.handlers_began()
        _pause_reading(there.client)
        oracle.faults += 1
        await oracle.ended()
        # It notices the silence, and makes another connection.
        call = await oracle.call(there.client, idempotent=True, timeout=9)
        assert call.error is None
    await oracle.fair()
