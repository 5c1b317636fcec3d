"""Places for handlers: who gets one, who waits, and which prefetch is wanted."""

from __future__ import annotations

from leveret.server.load.slots import MOST, PAUSE, Slots


def slots(limit: int = 2, *, ahead: int = 0, adapts: bool = False) -> Slots[str]:
    return Slots(limit, lambda _now: ahead, adapts=adapts)


def test_there_are_as_many_places_as_the_limit_says() -> None:
    places = slots(2)
    assert [places.acquire() for _ in range(3)] == [True, True, False]
    places.release()
    assert places.acquire()
    assert places.taken == 2


def test_who_waits_gets_a_place_in_order() -> None:
    places = slots(1)
    places.acquire()
    for name in ("a", "b", "c"):
        places.wait(name)
    places.discard("b")
    places.discard("nobody")
    assert places.next() is None
    places.release()
    assert not places.acquire(), "those that wait come first"
    assert places.next() == "a"
    assert places.next() is None
    places.release()
    assert places.next() == "c"
    places.release()
    assert places.next() is None
    assert places.taken == 0


def test_a_lower_limit_takes_nobodys_place() -> None:
    places = slots(2)
    places.acquire()
    places.acquire()
    places.resize(1)
    places.wait("a")
    places.release()
    assert places.next() is None
    places.release()
    assert places.next() == "a"


def test_the_prefetch_is_the_limit() -> None:
    places = slots(10)
    assert places.prefetch(0.0) == 10
    assert places.changed_prefetch(100.0) is None


def test_a_limit_that_follows_the_load_has_room_to_rise() -> None:
    assert slots(20, adapts=True).prefetch(0.0) == 25
    assert slots(1, adapts=True).prefetch(0.0) == 2
    assert slots(MOST, adapts=True).prefetch(0.0) == MOST


def test_more_is_taken_ahead_under_overload() -> None:
    ahead = 0
    places: Slots[str] = Slots(10, lambda _now: ahead, adapts=False)
    assert places.prefetch(0.0) == 10
    ahead = 32
    assert places.changed_prefetch(1.0) == 42
    assert places.changed_prefetch(2.0) is None
    ahead = 0
    assert places.changed_prefetch(3.0) == 10


def test_the_prefetch_changes_only_when_it_is_too_low_or_far_too_high() -> None:
    places = slots(20, adapts=True)
    places.prefetch(0.0)  # 25
    places.resize(25)
    assert places.changed_prefetch(1.0) is None
    places.resize(26)
    assert places.changed_prefetch(2.0) == 32
    places.resize(20)
    assert places.changed_prefetch(3.0) is None
    places.resize(10)
    assert places.changed_prefetch(4.0) == 12


def test_the_prefetch_does_not_change_all_the_time() -> None:
    places = slots(1)
    places.prefetch(0.0)
    places.resize(2)
    assert places.changed_prefetch(0.0) == 2
    places.resize(3)
    assert places.changed_prefetch(PAUSE / 2) is None
    assert places.changed_prefetch(PAUSE) == 3
