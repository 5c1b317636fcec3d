"""What every store promises: the same sentences in memory, SQLite, Redis and PostgreSQL."""

from __future__ import annotations

import asyncio
import math

import pytest

from leveret.once import LARGE, MAX_KEY, Abandoned, Begun, LastingStore, OnceStore, Recorded, Taken
from tests.behaviour.patience import at_once, until_found
from tests.once.conftest import Another, Make
from tests.once.outcomes import LONG, REPLY, SHORT, abandon, begin, finish

pytestmark = [
    pytest.mark.xdist_group("once"),  # one Redis and one PostgreSQL for all
    pytest.mark.timeout(60, func_only=True),  # fixtures may have to install them
]

HOSTILE_KEYS = (
    "plain",
    "Plain",
    "plain ",
    "plain\n",
    "plain\0",
    "\0",
    "\0\0",
    "*",
    "plain*",
    "..",
    "{plain}",
    "a:b",
    "a::b",
    "'); DROP TABLE leveret_once; --",
    '"',
    "\\",
    "\\x00",
    "$1",
    "%s",
    "%",
    "é",
    "e\N{COMBINING ACUTE ACCENT}",
    "\udcff",
    "\ud800",
    "\U0001f407",
    "k" * MAX_KEY,
    "k" * (MAX_KEY - 1),
)


async def test_every_store_keeps_the_protocol(store: OnceStore, kind: str) -> None:
    assert isinstance(store, OnceStore)
    assert store.shared is (kind != "memory")


# -- begin -------------------------------------------------------------------------------------


async def test_a_new_key_is_begun(store: OnceStore) -> None:
    assert await begin(store) == Begun()


async def test_a_key_that_another_runs_is_taken_and_by_whom(store: OnceStore) -> None:
    await begin(store, "a")
    match await begin(store, "b"):
        case Taken(owner="a", remaining=remaining):
            assert 0 < remaining <= LONG
        case found:
            pytest.fail(f"found {found}")


async def test_the_same_owner_begins_again_and_renews_its_lease(store: OnceStore) -> None:
    await store.begin("k", owner="a", lease=SHORT, keep=LONG)
    assert await begin(store, "a") == Begun()
    match await begin(store, "b"):
        case Taken(remaining=remaining):
            assert remaining > SHORT
        case found:
            pytest.fail(f"found {found}")


async def test_a_claim_whose_lease_is_over_is_abandoned_and_stays_so(store: OnceStore) -> None:
    await abandon(store, "a")
    for _ in range(2):
        assert await begin(store, "b") == Abandoned(owner="a")


async def test_an_abandoned_key_is_taken_over_where_asked_and_its_owner_is_out(
    store: OnceStore,
) -> None:
    await abandon(store, "a")
    assert await begin(store, "b", takeover=True) == Begun()
    assert not await finish(store, "a")
    await store.release("k", owner="a")
    assert isinstance(await begin(store, "c"), Taken)
    assert await finish(store, "b")
    assert await begin(store, "a") == REPLY


async def test_neither_a_running_nor_a_recorded_request_is_taken_over(store: OnceStore) -> None:
    await begin(store, "a")
    assert isinstance(await begin(store, "b", takeover=True), Taken)
    await finish(store, "a")
    assert await begin(store, "b", takeover=True) == REPLY


async def test_a_claim_is_forgotten_when_its_lease_and_its_keeping_are_over(
    store: OnceStore,
) -> None:
    await store.begin("k", owner="a", lease=SHORT, keep=SHORT)
    await until_found(lambda: begin(store, "b"), Begun(), "the claim is forgotten")
    assert not await finish(store, "a")


# -- finish ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "reply",
    [
        REPLY,
        Recorded(kind="error", content_type="application/json", body=b'{"code": "BUSY"}'),
        Recorded(kind="result", content_type="", body=b""),
        Recorded(kind="result", content_type="bytes", body=bytes(range(256)), metadata={}),
        Recorded(
            kind="result",
            content_type="text/plain",
            body=b"\0",
            metadata={"trace": "1", "": "", "\0é": "\udcff\n"},
        ),
    ],
    ids=["result", "error", "nothing", "bytes", "metadata"],
)
async def test_a_repeated_request_is_answered_as_the_first_was(
    store: OnceStore, reply: Recorded
) -> None:
    await begin(store, "a")
    assert await finish(store, "a", reply=reply)
    for owner in ("a", "b"):
        assert await begin(store, owner) == reply


async def test_a_look_tells_what_is_known_and_leaves_it_so(store: OnceStore, kind: str) -> None:
    assert isinstance(store, LastingStore) is (kind != "memory")
    if not isinstance(store, LastingStore):
        return
    assert await store.look("k") is None
    await begin(store, "a")
    taken = await store.look("k")
    assert isinstance(taken, Taken)
    assert taken.owner == "a"
    await finish(store, "a")
    assert await store.look("k") == REPLY
    await abandon(store, "b", key="left")
    assert await store.look("left") == Abandoned(owner="b")


async def test_a_record_tells_who_ran_the_request(store: OnceStore) -> None:
    await begin(store, "a.1")
    await finish(store, "a.1")
    found = await begin(store, "b.1")
    waited = await store.wait("k", 0)
    assert isinstance(found, Recorded)
    assert waited is not None
    assert (found.owner, waited.owner) == ("a.1", "a.1")


async def test_nobody_but_the_owner_of_a_claim_can_finish_it(store: OnceStore) -> None:
    assert not await finish(store, "a")
    await begin(store, "a")
    assert not await finish(store, "b")
    assert isinstance(await begin(store, "c"), Taken)


async def test_who_finishes_twice_is_told_yes_and_the_first_reply_stays(store: OnceStore) -> None:
    await begin(store, "a")
    assert await finish(store, "a")
    assert await finish(store, "a", reply=REPLY)
    assert await begin(store, "b") == REPLY


async def test_an_owner_that_is_late_can_finish_if_nobody_took_over(store: OnceStore) -> None:
    await abandon(store, "a")
    assert await finish(store, "a")
    assert await begin(store, "b") == REPLY


async def test_a_record_is_forgotten_when_its_keeping_is_over(store: OnceStore) -> None:
    await begin(store, "a")
    await store.finish("k", owner="a", recorded=REPLY, keep=SHORT)
    await until_found(lambda: begin(store, "b"), Begun(), "the record is forgotten")
    assert not await finish(store, "a")


async def test_a_body_of_16_mb_is_recorded(store: OnceStore) -> None:
    reply = Recorded(kind="result", content_type="bytes", body=bytes(range(256)) * 65_536)
    await begin(store, "a")
    assert await finish(store, "a", reply=reply)
    assert await begin(store, "b") == reply


async def test_of_a_body_that_is_too_large_only_its_size_is_recorded(another: Another) -> None:
    store = await another(max_body=100)
    for key, size in (("fits", 100), ("large", 101)):
        await begin(store, key=key)
        reply = Recorded(kind="result", content_type="bytes", body=bytes(size))
        assert await finish(store, key=key, reply=reply)
    assert await begin(store, key="fits") == Recorded(
        kind="result", content_type="bytes", body=bytes(100)
    )
    assert await begin(store, key="large") == Recorded(
        kind=LARGE, content_type="text/plain", body=b"101"
    )


# -- release -----------------------------------------------------------------------------------


async def test_a_released_key_is_free(store: OnceStore) -> None:
    await begin(store, "a")
    await store.release("k", owner="a")
    assert await begin(store, "b") == Begun()


async def test_nobody_but_its_owner_releases_a_claim(store: OnceStore) -> None:
    await store.release("k", owner="b")
    await begin(store, "a")
    await store.release("k", owner="b")
    assert isinstance(await begin(store, "b"), Taken)


async def test_a_record_cannot_be_released(store: OnceStore) -> None:
    await begin(store, "a")
    await finish(store, "a")
    await store.release("k", owner="a")
    assert await begin(store, "b") == REPLY


# -- wait --------------------------------------------------------------------------------------


async def test_all_who_wait_get_the_record_when_it_is_there(store: OnceStore) -> None:
    await begin(store, "a")
    async with at_once(), asyncio.TaskGroup() as group:
        waiting = [group.create_task(store.wait("k", LONG)) for _ in range(10)]
        await until_found(lambda: store.wait("k", 0), None, "it is still waited for")
        await finish(store, "a")
    assert [task.result() for task in waiting] == [REPLY] * 10


async def test_who_waits_is_told_when_the_claim_is_released(store: OnceStore) -> None:
    await begin(store, "a")
    async with at_once(), asyncio.TaskGroup() as group:
        waiting = group.create_task(store.wait("k", LONG))
        await store.wait("other", 0)
        await store.release("k", owner="a")
    assert waiting.result() is None


async def test_who_waits_is_told_when_the_lease_is_over(store: OnceStore) -> None:
    await store.begin("k", owner="a", lease=SHORT, keep=LONG)
    async with at_once():
        assert await store.wait("k", LONG) is None
    assert await begin(store, "b") == Abandoned(owner="a")


async def test_nobody_waits_for_longer_than_asked(store: OnceStore) -> None:
    await begin(store, "a")
    async with at_once():
        assert await store.wait("k", SHORT) is None
        assert await store.wait("k", 0) is None
    assert isinstance(await begin(store, "b"), Taken)


async def test_nobody_waits_for_what_is_recorded_or_not_begun(store: OnceStore) -> None:
    await begin(store, "a")
    await finish(store, "a")
    async with at_once():
        assert await store.wait("k", LONG) == REPLY
        assert await store.wait("other", LONG) is None


async def test_who_waits_can_be_cancelled_and_the_store_goes_on(store: OnceStore) -> None:
    await begin(store, "a")
    waiting = [asyncio.create_task(store.wait("k", LONG)) for _ in range(10)]
    await until_found(lambda: store.wait("k", 0), None, "it is still waited for")
    for task in waiting:
        task.cancel()
    ended = await asyncio.gather(*waiting, return_exceptions=True)
    assert all(isinstance(end, asyncio.CancelledError) for end in ended)
    assert await finish(store, "a")


# -- names -------------------------------------------------------------------------------------


async def test_any_text_is_a_key_and_no_two_are_the_same(store: OnceStore) -> None:
    for number, key in enumerate(HOSTILE_KEYS):
        assert await begin(store, f"owner-{number}", key=key) == Begun(), repr(key)
    for number, key in enumerate(HOSTILE_KEYS):
        reply = Recorded(kind="result", content_type="", body=b"%d" % number)
        assert await finish(store, f"owner-{number}", key=key, reply=reply), repr(key)
    for number, key in enumerate(HOSTILE_KEYS):
        found = await begin(store, "other", key=key)
        assert isinstance(found, Recorded)
        assert found.body == b"%d" % number, repr(key)


@pytest.mark.parametrize("key", ["", "k" * (MAX_KEY + 1), "é" * (MAX_KEY // 2 + 1)])
async def test_a_key_that_is_empty_or_too_long_is_refused(store: OnceStore, key: str) -> None:
    with pytest.raises(ValueError, match=f"a key takes 1 to {MAX_KEY} bytes"):
        await begin(store, key=key)
    with pytest.raises(ValueError, match="a key takes"):
        await finish(store, key=key)
    with pytest.raises(ValueError, match="a key takes"):
        await store.release(key, owner="a")
    with pytest.raises(ValueError, match="a key takes"):
        await store.wait(key, 1)


@pytest.mark.parametrize("owner", ["", "a\0", "ä", "a\n", "a" * 256])
async def test_an_owner_that_is_no_name_is_refused(store: OnceStore, owner: str) -> None:
    with pytest.raises(ValueError, match="owner is 1 to 255 printable"):
        await begin(store, owner)
    with pytest.raises(ValueError, match="owner is 1 to 255 printable"):
        await finish(store, owner)
    with pytest.raises(ValueError, match="owner is 1 to 255 printable"):
        await store.release("k", owner=owner)


@pytest.mark.parametrize("seconds", [0, -1, math.nan, math.inf, 1e12])
async def test_a_time_that_is_none_is_refused(store: OnceStore, seconds: float) -> None:
    with pytest.raises(ValueError, match="lease is a number of seconds above 0"):
        await store.begin("k", owner="a", lease=seconds, keep=1)
    with pytest.raises(ValueError, match="keep is a number of seconds above 0"):
        await store.begin("k", owner="a", lease=1, keep=seconds)
    with pytest.raises(ValueError, match="keep is a number of seconds above 0"):
        await store.finish("k", owner="a", recorded=REPLY, keep=seconds)


@pytest.mark.parametrize("kind_of_reply", ["", "a\0", "ä"])
async def test_a_record_of_no_kind_is_refused(store: OnceStore, kind_of_reply: str) -> None:
    await begin(store)
    reply = Recorded(kind=kind_of_reply, content_type="", body=b"")
    with pytest.raises(ValueError, match="kind is 1 to 255 printable"):
        await finish(store, reply=reply)


# -- the end -----------------------------------------------------------------------------------


async def test_a_store_can_be_closed_twice_or_without_having_been_used(make: Make) -> None:
    store = make()
    await store.close()
    await store.close()
