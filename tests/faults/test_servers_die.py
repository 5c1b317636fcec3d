"""Servers that are killed, drained, restarted; requests that kill them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

import leveret
from leveret import MaybeExecuted, Rabbit
from tests.faults.diary import Diary
from tests.faults.oracle import Oracle
from tests.faults.poison import Poison
from tests.faults.programs import Programs
from tests.faults.scene import SOON, Load

_TIMEOUT = 30.0
"""Seconds; two servers start in the meantime, on a busy machine."""


@pytest.fixture
async def programs(broker_url: str, diary: Diary) -> AsyncIterator[Programs]:
    """Server processes of this test."""
    async with Programs(broker_url, diary.path) as programs:
        yield programs


@pytest.fixture
async def client(broker_url: str) -> AsyncIterator[Rabbit]:
    """Who calls them."""
    async with leveret.connect(broker_url, reconnect=SOON) as rabbit:
        yield rabbit


async def test_one_of_two_servers_is_killed_again_and_again(
    programs: Programs, client: Rabbit, oracle: Oracle
) -> None:
    await programs.start(2)
    async with Load(oracle, client, callers=20, seconds=0.03, timeout=_TIMEOUT) as load:
        for _ in range(3):
            await load.some_more(50)
            await programs.kill(programs.running[0])
            oracle.faults += 1
            await programs.start()
    await oracle.fair()


async def test_all_servers_are_killed_and_come_back(
    programs: Programs, client: Rabbit, oracle: Oracle
) -> None:
    await programs.start(2)
    async with Load(oracle, client, callers=20, seconds=0.03, timeout=_TIMEOUT) as load:
        for _ in range(2):
            await load.some_more(50)
            await asyncio.gather(*map(programs.kill, tuple(programs.running)))
            oracle.faults += 1
            await programs.start(2)
    await oracle.fair()


async def test_calls_end_truly_when_all_servers_are_killed_for_good(
    programs: Programs, client: Rabbit, oracle: Oracle
) -> None:
    await programs.start(2)
    async with Load(
        oracle, client, callers=20, seconds=0.03, timeout=1.5, kept=False, pause=0.05
    ) as load:
        await load.some_more(50)
        await asyncio.gather(*map(programs.kill, tuple(programs.running)))
        oracle.faults += 1
        await load.ended(60)
    await oracle.fair()


async def test_a_rolling_restart_of_all_servers_under_load_loses_and_doubles_nothing(
    programs: Programs, client: Rabbit, oracle: Oracle
) -> None:
    await programs.start(2)
    async with Load(oracle, client, callers=20, seconds=0.03, timeout=_TIMEOUT) as load:
        await load.some_more(50)
        for _ in range(2):
            await programs.restart_each()
            oracle.faults += 2
        await load.some_more(50)
    verdict = await oracle.fair()
    # All were told in good order to end: so no call may notice, idempotent or not.
    assert verdict.results == verdict.calls, verdict
    assert all(len(entry.began) == 1 for entry in oracle.diary.read().values())


@pytest.mark.parametrize("method", ["again", "once"])
async def test_a_request_that_kills_its_servers_is_not_looped_but_answered(
    programs: Programs, client: Rabbit, oracle: Oracle, diary: Diary, method: str
) -> None:
    await programs.start(1)
    # Seven servers start meanwhile, which takes long on a busy machine.
    remote = client.remote(Poison).with_options(wait_for_server=True, timeout=60)
    call = asyncio.ensure_future(getattr(remote, method)("poison"))
    kills = 0
    while not call.done():
        [program] = programs.running
        gone = asyncio.create_task(program.wait())
        await asyncio.wait((gone, call), return_when=asyncio.FIRST_COMPLETED)
        if gone.done():
            kills += 1
            await programs.kill(program)
            await programs.start(may_die=True)
        gone.cancel()
    with pytest.raises(MaybeExecuted) as caught:
        await call
    assert caught.value.executed == "maybe"
    began = len(diary.read()["poison"].began)
    if method == "once":
        assert (began, kills) == (1, 1)
    else:
        # A request that seems lost, as its server is about to die, is sent again; each copy is
        # given up after as many deaths. The call may end before the last death is seen here.
        assert 6 <= began <= 2 * 6
        assert kills in (began, began - 1)
    # The others are served as ever.
    await oracle.call(client, idempotent=False, timeout=5)
    assert (await oracle.fair()).results == 1
