"""The bounds of the store in memory: what goes first, and what never goes."""

from __future__ import annotations

import pytest

from leveret.errors import Busy
from leveret.once import LARGE, Abandoned, Begun, MemoryOnce, Recorded, Taken


class Clock:
    """Time that passes when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def reply(size: int = 1) -> Recorded:
    return Recorded(kind="result", content_type="bytes", body=bytes(size))


async def run(store: MemoryOnce, key: str, *, keep: float = 100, size: int = 1) -> None:
    assert await store.begin(key, owner="a", lease=10, keep=keep) == Begun()
    assert await store.finish(key, owner="a", recorded=reply(size), keep=keep)


async def known(store: MemoryOnce, *keys: str) -> list[str]:
    """Which of the keys are recorded; the others stay free."""
    found = []
    for key in keys:
        match await store.begin(key, owner="looker", lease=1, keep=1):
            case Recorded():
                found.append(key)
            case Begun():
                await store.release(key, owner="looker")
    return found


async def test_what_finished_first_is_dropped_first_when_there_are_too_many() -> None:
    store = MemoryOnce(max_entries=3)
    await store.begin("slow", owner="a", lease=10, keep=100)
    for key in ("one", "two"):
        await run(store, key)
    await store.finish("slow", owner="a", recorded=reply(), keep=100)
    await run(store, "three")
    assert store.dropped == 1
    assert await known(store, "two", "slow", "three") == ["two", "slow", "three"]
    await run(store, "four")
    assert await known(store, "slow", "three", "four") == ["slow", "three", "four"]


async def test_replies_are_dropped_when_they_take_too_many_bytes() -> None:
    store = MemoryOnce(max_bytes=1000)
    for key in ("a", "b", "c"):
        await run(store, key, size=300)
    assert store.dropped == 0
    await run(store, "d", size=600)
    assert store.dropped == 2
    assert await known(store, "c", "d") == ["c", "d"]


async def test_metadata_and_keys_count_as_bytes_too() -> None:
    store = MemoryOnce(max_bytes=1000)
    heavy = Recorded(kind="result", content_type="", body=b"", metadata={"m" * 100: "v" * 300})
    for key in ("a" * 100, "b" * 100, "c" * 100):
        await store.begin(key, owner="a", lease=10, keep=100)
        await store.finish(key, owner="a", recorded=heavy, keep=100)
    assert store.dropped == 1


async def test_of_a_reply_larger_than_the_whole_store_only_its_size_is_kept() -> None:
    store = MemoryOnce(max_bytes=1000)
    await run(store, "k", size=1001)
    assert await store.begin("k", owner="b", lease=1, keep=1) == Recorded(
        kind=LARGE, content_type="text/plain", body=b"1001"
    )


async def test_claims_are_never_dropped_and_too_many_are_refused() -> None:
    store = MemoryOnce(max_entries=2)
    for key in ("one", "two"):
        await store.begin(key, owner="a", lease=10, keep=100)
    with pytest.raises(Busy, match="give it a larger max_entries") as refused:
        await store.begin("three", owner="a", lease=10, keep=100)
    assert refused.value.executed == "no"
    assert isinstance(await store.begin("one", owner="b", lease=1, keep=1), Taken)
    await store.release("two", owner="a")
    assert await store.begin("three", owner="a", lease=10, keep=100) == Begun()


async def test_a_claim_makes_room_when_it_is_forgotten_and_not_when_it_is_abandoned(
    clock: Clock,
) -> None:
    store = MemoryOnce(max_entries=1, clock=clock)
    await store.begin("one", owner="a", lease=10, keep=100)
    clock.now += 109
    assert await store.begin("one", owner="b", lease=1, keep=1) == Abandoned(owner="a")
    with pytest.raises(Busy):
        await store.begin("two", owner="a", lease=10, keep=100)
    clock.now += 1
    assert await store.begin("two", owner="a", lease=10, keep=100) == Begun()
    clock.now += 110
    assert await store.begin("three", owner="a", lease=10, keep=100) == Begun()


async def test_a_claim_that_is_renewed_makes_no_room(clock: Clock) -> None:
    store = MemoryOnce(max_entries=1, clock=clock)
    await store.begin("one", owner="a", lease=10, keep=10)
    clock.now += 15
    await store.begin("one", owner="a", lease=10, keep=10)
    clock.now += 15
    with pytest.raises(Busy):
        await store.begin("two", owner="a", lease=10, keep=10)
    assert await store.finish("one", owner="a", recorded=reply(), keep=10)


async def test_records_whose_time_is_over_go_before_any_other(clock: Clock) -> None:
    store = MemoryOnce(max_entries=2, clock=clock)
    await run(store, "short", keep=10)
    await run(store, "long", keep=1000)
    clock.now += 10
    await run(store, "new")
    assert store.dropped == 0
    assert await known(store, "long", "new") == ["long", "new"]


async def test_a_full_store_says_so_once_and_what_to_do(caplog: pytest.LogCaptureFixture) -> None:
    store = MemoryOnce(max_entries=1)
    for key in ("one", "two", "three"):
        await run(store, key)
    assert store.dropped == 2
    assert caplog.text.count("MemoryOnce is full (max_entries=1") == 1
    assert "use RedisOnce or PostgresOnce" in caplog.text


async def test_many_short_lives_leave_nothing(clock: Clock) -> None:
    store = MemoryOnce(clock=clock)
    for number in range(1000):
        await run(store, f"k{number}", keep=5)
        await store.begin(f"r{number}", owner="a", lease=1, keep=1)
        await store.release(f"r{number}", owner="a")
        clock.now += 1
    assert len(store._done) <= 6
    assert not store._claims
    assert store._bytes == sum(done.size for done in store._done.values())


async def test_closing_forgets_everything() -> None:
    async with MemoryOnce() as store:
        await run(store, "k")
    assert await known(store, "k") == []
