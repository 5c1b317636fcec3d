"""The pause before a dead worker's next start."""

from __future__ import annotations

from leveret.cli.serving.crew import Backoff


def test_the_pause_doubles_with_each_early_death_up_to_the_longest() -> None:
    backoff = Backoff()
    most = [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30.0, 30.0]
    for longest in most:
        assert longest / 2 <= backoff.after(served=0.0) <= longest


def test_it_stays_at_the_longest_for_ever() -> None:
    backoff = Backoff()
    pauses = [backoff.after(served=1.0) for _ in range(2_000)]
    assert max(pauses) <= Backoff.LONGEST
    assert min(pauses[10:]) >= Backoff.LONGEST / 2


def test_a_worker_that_served_well_begins_anew() -> None:
    backoff = Backoff()
    for _ in range(8):
        backoff.after(served=0.0)
    assert backoff.after(served=Backoff.HEALTHY) <= Backoff.FIRST
    assert backoff.after(served=0.0) <= 2 * Backoff.FIRST


def test_workers_that_died_together_come_back_one_by_one() -> None:
    assert len({Backoff().after(served=0.0) for _ in range(20)}) > 1
