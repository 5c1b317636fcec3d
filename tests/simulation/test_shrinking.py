"""The shortest schedule is found: what the failure does not need is left out."""

from __future__ import annotations

from tests.simulation.plan import Plan, plan
from tests.simulation.shrinking import shrunk


def test_only_the_faults_that_are_needed_are_left() -> None:
    whole = plan(7, 500)
    needed = {whole.faults[3].number, whole.faults[40].number}
    runs: list[Plan] = []

    def fails(tried: Plan) -> bool:
        runs.append(tried)
        return needed <= {fault.number for fault in tried.faults}

    assert {fault.number for fault in shrunk(whole, fails).faults} == needed
    assert len(runs) < 60


def test_a_failure_that_needs_no_fault_is_left_with_none() -> None:
    assert not shrunk(plan(7, 200), lambda _: True).faults


def test_what_takes_too_long_ends_with_the_shortest_so_far() -> None:
    clock = iter(range(0, 1_000_000, 50))
    whole = plan(7, 500)
    short = shrunk(whole, lambda tried: len(tried.faults) > 5, clock=lambda: float(next(clock)))
    assert 5 < len(short.faults) <= len(whole.faults)


def test_a_plan_is_drawn_from_its_seed() -> None:
    assert plan(3, 100) == plan(3, 100)
    assert plan(3, 100) != plan(4, 100)
