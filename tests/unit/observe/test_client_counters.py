"""What a client counts of its calls."""

from __future__ import annotations

import asyncio

from leveret import Busy, RemoteError
from leveret.observe import OK, ClientCounters, ClientMethods
from leveret.observe.client_counters import MOST_OUTCOMES, OTHER


def test_calls_count_by_code_and_by_what_was_executed() -> None:
    counters = ClientCounters()
    counters.started = 6
    counters.answered(0.002)
    counters.answered(0.002)
    counters.failed(Busy("no", executed="no"), 0.1)
    counters.failed(asyncio.CancelledError(), 0.1)
    counters.failed(RuntimeError("another loop"), 0.1)
    assert counters.by_outcome() == {
        (OK, "yes"): 2,
        ("RESOURCE_EXHAUSTED", "no"): 1,
        ("CANCELLED", "maybe"): 1,
        ("INTERNAL", "no"): 1,
    }
    assert counters.in_flight == 1
    assert counters.seconds.count == 5


def test_codes_that_servers_make_up_are_told_apart_up_to_a_number() -> None:
    counters = ClientCounters()
    for number in range(MOST_OUTCOMES + 10):
        error = RemoteError("no", executed="yes", type_name="Odd")
        error.code = f"CODE_{number}"
        counters.failed(error, 0.1)
    assert counters.handled[OTHER, "yes"] == 10


def test_each_method_has_counters_of_its_own_up_to_a_number() -> None:
    methods = ClientMethods()
    assert methods.of("desk.work") is methods.of("desk.work")
    for number in range(10_000):
        methods.of(f"desk.m{number}")
    assert methods.of("desk.late") is methods.of(OTHER)
    assert methods.of("desk.work") is not methods.of(OTHER)
