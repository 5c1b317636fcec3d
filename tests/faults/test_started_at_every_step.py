"""Started calls whose server or client is gone at any step: one end, one effect, a true "maybe"."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Final

import pytest

import leveret
from leveret import CallError, MaybeExecuted, Rabbit, Service, method
from leveret.client.verbs import started_servers
from leveret.once import OnceUnavailable, Outcome, Recorded, SqliteOnce
from leveret.testing import Cut, FaultProxy, after_frame, before_frame
from leveret.testing.faults.moments import Direction
from tests.behaviour.crashing import crash

_ROOT: Final = Path(__file__).parents[2]
_STEPS: Final = ("has claimed it", "begins", "has had its effect", "has recorded it", "claims it")
"""Of a server with a started call. The last one leaves nothing that the next server waits for."""

Reach = Callable[[str, int], bool]
"""Told of each step that a server comes to, and with which call; whether the server is dead."""


def _lives(_step: str, _number: int) -> bool:
    """This server lives on."""
    return False


class Errand(Service):
    """Counts its effects, which outlive every server."""

    def __init__(self, ran: Counter[int] | None = None, reach: Reach = _lives) -> None:
        self._ran = Counter() if ran is None else ran
        self._reach = reach

    @method(timeout=30)
    async def once(self, number: int) -> int:
        return await self._run(number)

    @method(timeout=30, idempotent=True)
    async def again(self, number: int) -> int:
        return await self._run(number)

    async def _run(self, number: int) -> int:
        await self._at("begins", number)
        self._ran[number] += 1
        await self._at("has had its effect", number)
        return number

    async def _at(self, step: str, number: int) -> None:
        if self._reach(step, number):
            await asyncio.Event().wait()


class Mortal(SqliteOnce):
    """The store of a server that dies at a step: nothing of that server comes to it any more."""

    def __init__(self, path: Path, reach: Reach, dead: asyncio.Event) -> None:
        super().__init__(path)
        self._reach = reach
        self._dead = dead

    async def begin(
        self, key: str, *, owner: str, lease: float, keep: float, takeover: bool = False
    ) -> Outcome:
        await self._at("claims it", key)
        found = await super().begin(key, owner=owner, lease=lease, keep=keep, takeover=takeover)
        await self._at("has claimed it", key)
        return found

    async def finish(self, key: str, *, owner: str, recorded: Recorded, keep: float) -> bool:
        await self._at("", key)
        done = await super().finish(key, owner=owner, recorded=recorded, keep=keep)
        await self._at("has recorded it", key)
        return done

    async def release(self, key: str, *, owner: str) -> None:
        await self._at("", key)
        await super().release(key, owner=owner)

    async def _at(self, step: str, key: str) -> None:
        if key.startswith("errand."):  # or else what is expected or refused
            self._reach(step, int(key[-1]))
        if self._dead.is_set():
            raise OnceUnavailable("its server is dead")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The file of the store."""
    return tmp_path / "once.db"


@pytest.fixture
async def client(broker_url: str) -> AsyncIterator[Rabbit]:
    """One that nothing happens to."""
    async with leveret.connect(broker_url) as rabbit:
        yield rabbit


@pytest.mark.parametrize("name", ["once", "again"])
async def test_started_calls_whose_server_dies_at_any_step(
    broker_url: str, client: Rabbit, path: Path, name: str
) -> None:
    ran: Counter[int] = Counter()
    remote = getattr(client.remote(Errand), name)
    for number, step in enumerate(_STEPS):
        await _start_at_a_server_that_dies(broker_url, path, ran, client, name, number, step)
    _minute_later(path)
    async with (
        leveret.connect(broker_url) as host,
        host.serving(Errand(ran), once=SqliteOnce(path)),
    ):
        outcomes: list[object] = []
        for number in range(len(_STEPS)):
            try:
                outcomes.append(await client.attach(remote, f"k{number}"))
            except MaybeExecuted as error:
                outcomes.append(error.executed)
    if name == "again":
        assert outcomes == [0, 1, 2, 3, 4]
        assert ran == {0: 1, 1: 1, 2: 2, 3: 1, 4: 1}
    else:
        # Between its claim and its record a server takes with it what it did.
        assert outcomes == ["maybe", "maybe", "maybe", 3, 4]
        assert ran == {2: 1, 3: 1, 4: 1}


async def _start_at_a_server_that_dies(
    url: str, path: Path, ran: Counter[int], client: Rabbit, name: str, number: int, step: str
) -> None:
    """Start a call; its server, the only one, does nothing more from that step on."""
    dead = asyncio.Event()

    def reach(reached: str, its_number: int) -> bool:
        if (reached, its_number) == (step, number):
            crash(mortal)
            dead.set()
        return dead.is_set()

    async with (
        leveret.connect(url, reconnect=False) as mortal,
        mortal.serving(Errand(ran, reach), once=Mortal(path, reach, dead), grace=0),
    ):
        await client.start(getattr(client.remote(Errand), name), key=f"k{number}")(number)
        await dead.wait()


def _minute_later(path: Path) -> None:
    """Have the store see the time of a minute later: what a dead server claimed is abandoned."""
    with sqlite3.connect(path) as file:
        file.execute(
            "UPDATE leveret_once SET lease_until = lease_until - 60, forget_at = forget_at - 60"
        )
    file.close()


@pytest.mark.parametrize("direction", ["to_broker", "to_client"])
async def test_started_calls_whose_client_is_gone_at_any_frame(
    broker_url: str,
    client: Rabbit,
    path: Path,
    direction: Direction,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Another client starts them once more, with the same key: each runs once."""
    ran: Counter[int] = Counter()
    remote = client.remote(Errand)
    async with (
        leveret.connect(broker_url) as host,
        host.serving(Errand(ran), once=SqliteOnce(path)),
        FaultProxy(broker_url) as proxy,
    ):
        number = missed = told = 0
        while missed < 2:  # then the positions lie past the start's end
            number += 1
            where = before_frame if number % 2 else after_frame
            async with leveret.connect(proxy.url, reconnect=False) as mortal:
                rule = proxy.when(where(number, direction), Cut())
                with monkeypatch.context() as patched:
                    for patience in ("_SILENT", "_ASKED_EVERY"):  # it need not wait for answers
                        patched.setattr(started_servers, patience, 0.2)
                    try:
                        await mortal.start(mortal.remote(Errand).once, key=f"k{number}")(number)
                        told += 1
                    except CallError:
                        pass
                missed = 0 if rule.fired.is_set() else missed + 1
                rule.remove()
            again = await client.start(remote.once, key=f"k{number}")(number)
            assert await again == number
            assert await client.attach(remote.once, f"k{number}") == number
    assert number - missed >= 3, f"a start has more frames {direction} than {number - missed}"
    assert told >= missed
    assert ran == dict.fromkeys(range(1, number + 1), 1)


_FETCH: Final = """
import sys
import leveret
from tests.faults.test_started_at_every_step import Errand

async def main():
    async with leveret.connect(sys.argv[1]) as rabbit:
        print(await rabbit.attach(rabbit.remote(Errand).once, "k"))

leveret.run(main())
"""


async def test_a_result_is_fetched_by_another_process_a_minute_later(
    broker_url: str, path: Path
) -> None:
    """Neither the client that started the call nor the server that ran it is there any more."""
    ran: Counter[int] = Counter()
    async with (
        leveret.connect(broker_url) as host,
        host.serving(Errand(ran), once=SqliteOnce(path)),
        leveret.connect(broker_url) as starter,
    ):
        await (await starter.start(starter.remote(Errand).once, key="k")(7))
    _minute_later(path)
    async with (
        leveret.connect(broker_url) as host,
        host.serving(Errand(ran), once=SqliteOnce(path)),
    ):
        fetching = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", _FETCH, broker_url), stdout=asyncio.subprocess.PIPE, cwd=_ROOT
        )
        told, _ = await fetching.communicate()
    assert (told, fetching.returncode) == (b"7\n", 0)
    assert ran == {7: 1}
