"""Finds the shortest schedule that still fails: leaves out faults while it does."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from tests.simulation.plan import Plan, PlannedFault

Fails = Callable[[Plan], bool]
"""Runs a plan; whether it fails as the first one did."""

PATIENCE: Final = 120.0
"""Seconds after which the shortest schedule so far will do."""


def shrunk(plan: Plan, fails: Fails, *, clock: Callable[[], float] = time.perf_counter) -> Plan:
    """The plan without what its failure does not need.

    It leaves out ever smaller parts of the faults ("delta debugging", Zeller and Hildebrandt 2002).
    """
    end = clock() + PATIENCE
    faults = plan.faults
    parts = 2
    while faults and clock() < end:
        size = max(1, len(faults) // parts)
        for start in range(0, len(faults), size):
            fewer = faults[:start] + faults[start + size :]
            if clock() > end:
                break
            if fails(_with(plan, fewer)):
                faults = fewer
                parts = max(2, parts - 1)
                break
        else:
            if size == 1:
                break
            parts = min(len(faults), parts * 2)
    return _with(plan, faults)


def _with(plan: Plan, faults: tuple[PlannedFault, ...]) -> Plan:
    return replace(plan, faults=faults)
