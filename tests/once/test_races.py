"""Many that want the same key at once: tasks, stores and processes. One gets it."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from leveret.once import Begun, OnceStore, Outcome, Recorded, Taken
from tests.once.conftest import SHARED, Another
from tests.once.outcomes import LONG, REPLY, SHORT, abandon, begin, finish
from tests.once.servers import StoreServer

pytestmark = [
    pytest.mark.xdist_group("once"),
    pytest.mark.timeout(60, func_only=True),
]

ROUNDS = 20
TASKS = 20
CLAIMANT = Path(__file__).with_name("claimant.py")


async def rush(stores: list[OnceStore], key: str, *, takeover: bool = False) -> list[Outcome]:
    """What so many tasks find, each an owner of its own, that begin the key at once."""
    return await asyncio.gather(
        *(
            begin(stores[n % len(stores)], f"owner-{n}", key=key, takeover=takeover)
            for n in range(TASKS)
        )
    )


def kinds(outcomes: list[Outcome]) -> Counter[type]:
    return Counter(type(outcome) for outcome in outcomes)


async def test_of_many_that_begin_a_key_at_once_one_gets_it(another: Another) -> None:
    stores = [await another(), await another()]
    for number in range(ROUNDS):
        outcomes = await rush(stores, f"k{number}")
        assert kinds(outcomes) == {Begun: 1, Taken: TASKS - 1}


async def test_of_many_that_take_over_at_once_one_gets_it(another: Another) -> None:
    stores = [await another(), await another()]
    for number in range(5):
        await abandon(stores[0], key=f"k{number}")
        outcomes = await rush(stores, f"k{number}", takeover=True)
        assert kinds(outcomes) == {Begun: 1, Taken: TASKS - 1}


async def test_of_many_that_begin_a_key_whose_record_is_past_one_gets_it(another: Another) -> None:
    stores = [await another(), await another()]
    for number in range(5):
        key = f"k{number}"
        await begin(stores[0], key=key)
        await stores[0].finish(key, owner="a", recorded=REPLY, keep=SHORT)
        while isinstance(outcomes := await rush(stores, key), list):
            if kinds(outcomes) != {Recorded: TASKS}:
                break
        assert kinds(outcomes)[Begun] == 1


async def test_a_request_that_many_repeat_runs_once_and_all_get_its_reply(
    another: Another,
) -> None:
    stores = [await another(), await another()]
    ran: list[str] = []

    async def serve(store: OnceStore, owner: str) -> Recorded | None:
        match await begin(store, owner):
            case Begun():
                ran.append(owner)
                reply = Recorded(kind="result", content_type="", body=owner.encode())
                assert await finish(store, owner, reply=reply)
                return reply
            case Recorded() as reply:
                return reply
            case Taken():
                return await store.wait("k", LONG)
            case found:
                pytest.fail(f"found {found}")

    replies = await asyncio.gather(*(serve(stores[n % 2], f"owner-{n}") for n in range(TASKS)))
    assert len(ran) == 1
    assert {reply.body for reply in replies if reply} == {ran[0].encode()}
    assert None not in replies


@pytest.mark.parametrize("kind", SHARED)
def test_of_processes_that_begin_the_same_keys_at_once_each_key_has_one(
    kind: str, scope: str, request: pytest.FixtureRequest
) -> None:
    server: StoreServer = request.getfixturevalue(f"{kind}_server")
    count = 200
    processes = [
        subprocess.Popen(
            [sys.executable, CLAIMANT, kind, server.url, scope, f"process-{n}", str(count)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for n in range(2)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    claimed = [key for process in processes for key in json.loads(process.communicate()[0])]
    assert sorted(claimed) == list(range(count))
