"""`Deadlines`, by a clock of the test's own: in order, never early, and with little to keep."""

from __future__ import annotations

import asyncio
import random
import sys
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leveret.transport.deadlines import TICK, Deadlines
from tests.unit.transport.clock import Clock

FAST = settings(max_examples=200, deadline=None, derandomize=True)


class Entry:
    """Notes when it expires, and does what the test wants then."""

    def __init__(self, clock: Clock, then: Callable[[], object] | None = None) -> None:
        self.clock = clock
        self.then = then
        self.expired_at: list[float] = []


def expire(entry: Entry) -> None:
    entry.expired_at.append(entry.clock.time())
    if entry.then is not None:
        entry.then()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def deadlines(clock: Clock) -> Deadlines[Entry]:
    return Deadlines(clock.loop, expire)


@FAST
@given(st.lists(st.floats(0, 1e5), min_size=1, max_size=50))
def test_each_expires_once_in_order_never_early_and_at_most_a_tick_late(
    times: list[float],
) -> None:
    clock = Clock()
    deadlines = Deadlines(clock.loop, expire)
    order: list[float] = []
    entries = {when: Entry(clock, lambda when=when: order.append(when)) for when in times}  # type: ignore[misc]
    for when, entry in entries.items():
        deadlines.add(when, entry)
    clock.advance(2e5)
    assert len(deadlines) == 0
    for when, entry in entries.items():
        (at,) = entry.expired_at
        assert when <= at <= when + TICK * 1.000001
    ticks = [int(when / TICK) for when in order]
    assert ticks == sorted(ticks)


@FAST
@given(
    st.lists(
        st.tuples(st.floats(0, 0.1), st.booleans(), st.floats(0, 0.02)), min_size=1, max_size=60
    )
)
def test_exactly_those_expire_that_nobody_discarded(
    steps: list[tuple[float, bool, float]],
) -> None:
    clock = Clock()
    deadlines = Deadlines(clock.loop, expire)
    kept, discarded = [], []
    for delay, keep, pause in steps:
        entry = Entry(clock)
        tick = deadlines.add(clock.time() + delay, entry)
        if keep:
            kept.append(entry)
        else:
            deadlines.discard(tick, entry)
            discarded.append(entry)
        clock.advance(pause)
    clock.advance(1)
    assert [len(entry.expired_at) for entry in kept] == [1] * len(kept)
    assert [entry.expired_at for entry in discarded] == [[]] * len(discarded)
    assert (len(deadlines), clock.timers) == (0, 0)


def test_deadlines_of_one_tick_share_one_timer(clock: Clock, deadlines: Deadlines[Entry]) -> None:
    for _ in range(1000):
        deadlines.add(1.0001, Entry(clock))
    deadlines.add(2, Entry(clock))
    assert (len(deadlines), clock.timers) == (1001, 1)
    clock.advance(3)
    assert clock.wake_ups == 2


def test_an_earlier_deadline_moves_the_timer_forward(
    clock: Clock, deadlines: Deadlines[Entry]
) -> None:
    late, early = Entry(clock), Entry(clock)
    deadlines.add(10, late)
    deadlines.add(1, early)
    clock.advance(2)
    assert (len(early.expired_at), len(late.expired_at), clock.timers) == (1, 0, 1)


def test_one_that_is_past_already_expires_at_the_next_chance(
    clock: Clock, deadlines: Deadlines[Entry]
) -> None:
    clock.advance(100)
    entry = Entry(clock)
    deadlines.add(50, entry)
    assert entry.expired_at == []  # not within add(): its caller is not ready
    clock.advance(0)
    assert len(entry.expired_at) == 1


def test_discarding_what_expired_or_was_never_there_is_no_error(
    clock: Clock, deadlines: Deadlines[Entry]
) -> None:
    entry = Entry(clock)
    tick = deadlines.add(1, entry)
    deadlines.discard(tick, Entry(clock))
    deadlines.discard(99, entry)
    assert len(deadlines) == 1
    clock.advance(2)
    deadlines.discard(tick, entry)
    assert len(entry.expired_at) == 1


def test_a_bucket_that_was_emptied_can_fill_again(
    clock: Clock, deadlines: Deadlines[Entry]
) -> None:
    first, second = Entry(clock), Entry(clock)
    deadlines.discard(deadlines.add(1, first), first)
    deadlines.add(1, second)
    clock.advance(2)
    assert (first.expired_at, len(second.expired_at)) == ([], 1)


# -- while they fire -------------------------------------------------------------------------------


def test_an_entry_may_add_others_as_it_expires(clock: Clock, deadlines: Deadlines[Entry]) -> None:
    past, same, soon, later = (Entry(clock) for _ in range(4))

    def add_all() -> None:
        deadlines.add(0, past)
        deadlines.add(clock.time(), same)
        deadlines.add(clock.time() + TICK / 2, soon)
        deadlines.add(clock.time() + 5, later)

    deadlines.add(1, Entry(clock, add_all))
    deadlines.add(9, Entry(clock))
    clock.advance(2)
    assert [len(entry.expired_at) for entry in (past, same, soon, later)] == [1, 1, 1, 0]
    clock.advance(5)
    assert len(later.expired_at) == 1
    assert (len(deadlines), clock.timers) == (1, 1)


def test_an_entry_that_adds_itself_again_and_again_goes_on_in_time(
    clock: Clock, deadlines: Deadlines[Entry]
) -> None:
    entry = Entry(clock)
    entry.then = lambda: deadlines.add(clock.time() + 1, entry)
    deadlines.add(1, entry)
    clock.advance(10.5)
    assert len(entry.expired_at) == 10


def test_one_that_expires_may_discard_another_of_its_tick(
    clock: Clock, deadlines: Deadlines[Entry]
) -> None:
    entries: list[Entry] = []
    ticks: list[int] = []

    def discard_all() -> None:
        for tick, entry in zip(ticks, entries, strict=True):
            deadlines.discard(tick, entry)

    entries += [Entry(clock, discard_all) for _ in range(10)]
    ticks += [deadlines.add(1, entry) for entry in entries]
    clock.advance(2)
    assert sum(len(entry.expired_at) for entry in entries) == 1


def test_one_that_fails_does_not_keep_the_others_for_ever(
    clock: Clock, deadlines: Deadlines[Entry]
) -> None:
    def fail() -> None:
        raise ZeroDivisionError

    bad, good, later = Entry(clock, fail), Entry(clock), Entry(clock)
    deadlines.add(1, bad)
    deadlines.add(1 + TICK, good)
    deadlines.add(2, later)
    with pytest.raises(ZeroDivisionError):  # as asyncio would catch and report it
        clock.advance(3)
    clock.advance(3)
    assert [len(entry.expired_at) for entry in (bad, good, later)] == [1, 1, 1]


def test_close_drops_all_also_as_one_expires(clock: Clock, deadlines: Deadlines[Entry]) -> None:
    others = [Entry(clock) for _ in range(10)]
    closer = Entry(clock, deadlines.close)
    deadlines.add(0.5, closer)
    for index, entry in enumerate(others):
        deadlines.add(0.5 + index, entry)
    clock.advance(20)
    assert len(closer.expired_at) == 1
    assert (len(deadlines), clock.timers) == (0, 0)
    assert sum(len(entry.expired_at) for entry in others) <= 1  # one may share its tick

    fresh = Entry(clock)
    deadlines.add(clock.time() + 1, fresh)
    clock.advance(2)
    assert len(fresh.expired_at) == 1


def test_close_stops_the_timer(clock: Clock, deadlines: Deadlines[Entry]) -> None:
    deadlines.add(1, Entry(clock))
    deadlines.close()
    deadlines.close()
    assert (len(deadlines), clock.timers) == (0, 0)


# -- what is kept ----------------------------------------------------------------------------------


def test_a_hundred_thousand_expire_and_leave_nothing(
    clock: Clock, deadlines: Deadlines[Entry]
) -> None:
    chance = random.Random(1)
    entries = [Entry(clock) for _ in range(100_000)]
    for entry in entries:
        deadlines.add(chance.uniform(0, 30), entry)
    assert len(deadlines) == 100_000
    assert clock.timers == 1
    clock.advance(31)
    assert all(len(entry.expired_at) == 1 for entry in entries)
    assert deadlines._buckets == {}
    assert deadlines._order == []
    assert clock.timers == 0


def test_discarded_entries_are_let_go_at_once(clock: Clock, deadlines: Deadlines[Entry]) -> None:
    entry = Entry(clock)
    held = sys.getrefcount(entry)
    deadlines.discard(deadlines.add(3600, entry), entry)
    assert sys.getrefcount(entry) == held
    assert set(deadlines._buckets.values()) == {None}  # and its set with it


def test_short_calls_with_long_deadlines_leave_few_buckets(
    clock: Clock, deadlines: Deadlines[Entry]
) -> None:
    patient = Entry(clock)
    deadlines.add(10_000, patient)
    for _ in range(100_000):  # one call in each tick, an hour of time for each
        entry = Entry(clock)
        tick = deadlines.add(clock.time() + 3600, entry)
        clock.advance(TICK)
        deadlines.discard(tick, entry)
    assert len(deadlines._buckets) == len(deadlines._order) < 10_000
    clock.advance(10_000)
    assert len(patient.expired_at) == 1


def test_live_buckets_are_all_kept_however_many(clock: Clock, deadlines: Deadlines[Entry]) -> None:
    entries = [Entry(clock) for _ in range(20_000)]
    for index, entry in enumerate(entries):
        deadlines.add(index * 2 * TICK, entry)
    clock.advance(1000)
    assert all(len(entry.expired_at) == 1 for entry in entries)


def test_emptied_ticks_wake_nobody(clock: Clock, deadlines: Deadlines[Entry]) -> None:
    for index in range(100):
        entry = Entry(clock)
        tick = deadlines.add(1 + index, entry)
        deadlines.discard(tick, entry)
    deadlines.add(1000, Entry(clock))
    clock.advance(999)
    assert clock.wake_ups <= 1


async def test_on_a_real_loop_none_is_early() -> None:
    loop = asyncio.get_running_loop()
    late: list[float] = []
    done = loop.create_future()

    def note(when: float) -> None:
        late.append(loop.time() - when)
        if len(late) == 50:
            done.set_result(None)

    deadlines = Deadlines(loop, note)
    for index in range(50):
        when = loop.time() + index * 0.0013
        deadlines.add(when, when)
    async with asyncio.timeout(10):
        await done
    assert min(late) >= 0
