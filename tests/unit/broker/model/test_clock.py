"""The clock: what is due when, and what it forgets."""

from __future__ import annotations

from leveret.broker.model.clock import Clock


def test_what_is_due_is_done_in_its_order() -> None:
    clock, done = Clock(), list[str]()
    for when, what in ((3.0, "late"), (1.0, "early"), (2.0, "between")):
        clock.at(when, lambda what=what: done.append(what))  # type: ignore[misc]
    clock.tick(2.5)
    assert done == ["early", "between"]
    assert clock.next_deadline() == 3.0


def test_what_was_cancelled_is_not_done() -> None:
    clock, done = Clock(), list[str]()
    clock.at(1.0, lambda: done.append("cancelled")).cancel()
    assert clock.next_deadline() is None
    clock.tick(2.0)
    assert done == []


def test_cancelled_timers_do_not_pile_up_behind_one_that_is_due_before_them() -> None:
    clock, done = Clock(), list[str]()
    clock.at(1.0, lambda: done.append("first"))
    for number in range(10_000):
        clock.at(2.0 + number, lambda: done.append("never")).cancel()
    clock.at(3.0, lambda: done.append("second"))
    assert clock.timers < 100
    clock.tick(20_000.0)
    assert done == ["first", "second"]


def test_a_timer_set_by_another_is_done_when_it_is_due() -> None:
    clock, done = Clock(), list[str]()

    def many() -> None:
        for number in range(200):
            clock.at(2.0, lambda number=number: done.append(str(number)))  # type: ignore[misc]

    clock.at(1.0, many)
    clock.tick(2.0)
    assert len(done) == 200
