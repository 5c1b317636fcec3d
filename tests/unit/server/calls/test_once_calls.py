"""What a request's key is called in the store, and what a start does whose key is taken."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from leveret.once import MemoryOnce, OnceUnavailable, Outcome, Recorded, SqliteOnce
from leveret.server.calls.once_calls import SAME, Claim, OnceCalls, mark_of, name_in_store
from tests.unit.server.calls.making import SPECS, call, request


def keys(name: str = "pay") -> OnceCalls:
    return OnceCalls(MemoryOnce(), SPECS[name], "server", lambda: 0.0)


def test_a_method_with_keys_of_its_own_has_one_for_each_stage_of_a_pipe() -> None:
    assert keys().key(request("1"), "ann") == "desk.pay ann replies/1"
    stage = structs.replace(request("1"), stage=2)
    assert keys().key(stage, "ann") == "desk.pay ann replies/1/2"
    assert keys("work").key(stage, "ann") is None
    one_way = structs.replace(request("1"), reply_to=None)
    assert keys().key(one_way, "ann") == "desk.pay ann /1"
    assert keys().key(structs.replace(one_way, call_id=""), "ann") is None


def test_users_whom_nobody_can_verify_do_not_share_keys() -> None:
    found = set()
    for published_by, behalf in (("red", "ann"), ("red", "bob"), ("blue", "ann"), ("", "ann")):
        stage = structs.replace(
            request("1"), stage=2, user=published_by, on_behalf_of=behalf, idempotency_key="k/2"
        )
        found.add(keys().key(stage, ""))
    assert len(found) == 4
    assert keys().key(structs.replace(request("1"), idempotency_key="k/2"), "red") not in found


async def begun_while_another_has_the_key(path: Path, expected: str) -> Claim | Recorded:
    """What a second start with a key finds whose first one is claimed by a server that died.

    :param expected: which start counts; the second one does if the first was cancelled before it.
    """
    spec = SPECS["again"]
    second = call("second")
    second.incoming = structs.replace(second.incoming, started=60.0, idempotency_key="k")
    async with SqliteOnce(path) as store:
        once = OnceCalls(store, spec, "here", lambda: 0.0)
        key = once.key(second.incoming, "") or ""
        dead = f"dead.0.{mark_of('first')}.{'0' * 64}"
        await store.begin(key, owner=dead, lease=0.1, keep=60.0)
        name = name_in_store(spec.key, "", "k", "started")
        await store.begin(name, owner=expected, lease=60.0, keep=60.0)
        return await once.begin(second, key)


async def test_a_second_start_does_not_wait_for_the_first(tmp_path: Path) -> None:
    found = await begun_while_another_has_the_key(tmp_path / "keys", "first")
    assert isinstance(found, Recorded)
    assert found.kind == SAME


async def test_a_start_after_a_cancelled_one_runs_when_the_claim_of_that_ends(
    tmp_path: Path,
) -> None:
    """The request of the cancelled one is gone, so no server will run it."""
    found = await begun_while_another_has_the_key(tmp_path / "keys", "second")
    assert isinstance(found, Claim)


async def test_a_copy_is_noted_though_another_server_began_to_note_it_and_died(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    second = call("second")
    second.incoming = structs.replace(second.incoming, started=60.0, idempotency_key="k")
    async with SqliteOnce(tmp_path / "keys") as store:
        finish = store.finish

        async def die(*_: object, **__: object) -> bool:
            raise asyncio.CancelledError

        monkeypatch.setattr(store, "finish", die)
        with pytest.raises(asyncio.CancelledError):
            await OnceCalls(store, SPECS["again"], "dying", lambda: 0.0).refuse(second, b"")
        monkeypatch.setattr(store, "finish", finish)
        assert await OnceCalls(store, SPECS["again"], "here", lambda: 0.0).refuse(second, b"")
        noted = await store.look(name_in_store("desk.again", "", "k", "refused", "second"))
        assert isinstance(noted, Recorded)
        assert noted.kind == SAME


@pytest.mark.parametrize(
    ("error", "noted", "told"),
    [
        (OnceUnavailable("it is away"), False, "it is away"),
        (TimeoutError(), False, "the store does not answer"),
        (ZeroDivisionError(), False, "the store failed"),
        (ValueError("too long"), True, "too long"),
    ],
)
async def test_what_cannot_be_noted_goes_back(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
    noted: bool,
    told: str,
) -> None:
    """But not where the store could never note it: the request would come for ever."""

    class Failing(MemoryOnce):
        async def begin(self, key: str, **options: Any) -> Outcome:
            raise error

    monkeypatch.setattr("leveret.server.calls.once_calls._STORE_AWAY", 0.01)
    once = OnceCalls(Failing(), SPECS["work"], "here", lambda: 0.0)
    with caplog.at_level(logging.ERROR):
        assert await once.refuse(call(), b"") is noted
    assert told in caplog.text
