"""The pause before a dead worker's next start."""

from __future__ import annotations

from leveret.cli.serving.crew import RestartPauses


def test_the_pause_doubles_with_each_early_death_up_to_the_longest() -> None:
    pauses = RestartPauses()
    for longest in (0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30.0, 30.0):
        assert longest / 2 <= pauses.after(served=0.0) <= longest


def test_it_stays_short_where_no_broker_can_be_reached() -> None:
    pauses = RestartPauses()
    taken = [pauses.after(served=0.0, unreachable=True) for _ in range(50)]
    assert taken[0] <= 0.2
    assert 1.5 <= max(taken) <= 3.0


def test_it_stays_at_the_longest_for_ever() -> None:
    pauses = RestartPauses()
    taken = [pauses.after(served=1.0) for _ in range(2_000)]
    assert max(taken) <= 30
    assert min(taken[10:]) >= 15


def test_after_a_worker_that_served_well_the_pauses_begin_anew() -> None:
    pauses = RestartPauses()
    for _ in range(8):
        pauses.after(served=0.0)
    assert pauses.after(served=10.0) <= 0.2
    assert pauses.after(served=0.0) <= 0.4


def test_workers_that_died_together_come_back_one_by_one() -> None:
    assert len({RestartPauses().after(served=0.0) for _ in range(20)}) > 1
