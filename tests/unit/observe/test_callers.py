"""Who calls a method, as far as names are told apart."""

from __future__ import annotations

from leveret.observe import OTHERS, Callers
from leveret.observe.callers import MOST


def called(callers: Callers, name: str, at: float) -> None:
    counts = callers.by_name.get(name) or callers.new(name)
    counts.handled += 1
    counts.failed += 1
    counts.last = at


def test_each_caller_has_counts_of_its_own() -> None:
    callers = Callers()
    for at, name in enumerate(("web", "desk", "web")):
        called(callers, name, float(at))
    assert {name: counts.handled for name, counts in callers.by_name.items()} == {
        "web": 2,
        "desk": 1,
    }


def test_those_who_have_not_called_for_longest_are_counted_together() -> None:
    callers = Callers()
    called(callers, "web", 0.0)
    for number in range(1000):
        called(callers, f"host:{number}", float(number))
        called(callers, "web", number + 0.5)
    assert len(callers.by_name) <= MOST + 1
    assert callers.by_name["web"].handled == 1001
    assert OTHERS in callers.by_name
    assert sum(counts.handled for counts in callers.by_name.values()) == 2001
    assert sum(counts.failed for counts in callers.by_name.values()) == 2001
