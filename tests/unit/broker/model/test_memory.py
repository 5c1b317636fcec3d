from __future__ import annotations

import pytest

from leveret.broker.model.memory import Memory
from leveret.broker.refusals import Refused
from tests.unit.broker.world import message


class Alarms:
    def __init__(self, limit: int) -> None:
        self.heard: list[bool] = []
        self.memory = Memory(limit, self.heard.append)


def test_a_message_counts_once_and_each_of_its_places_a_little() -> None:
    memory = Alarms(2**30).memory
    one = message("x" * 1000)
    memory.keep(one)
    first = memory.used
    memory.keep(one)
    assert 1000 < first < 2000
    assert 0 < memory.used - first < 1000
    memory.free(one)
    memory.free(one)
    assert memory.used == 0


def test_the_alarm_is_raised_and_cleared_when_memory_is_checked() -> None:
    alarms = Alarms(1000)
    alarms.memory.used = 1001
    assert alarms.memory.short
    assert alarms.heard == []
    alarms.memory.check()
    alarms.memory.check()
    alarms.memory.used = 1000
    alarms.memory.check()
    assert alarms.heard == [True, False]
    assert not alarms.memory.alarmed


def test_who_is_let_go_on_may_use_it_up_again_at_once() -> None:
    heard: list[bool] = []

    def on_alarm(alarmed: bool) -> None:
        heard.append(alarmed)
        if heard == [True, False]:
            memory.used = 1001

    memory = Memory(1000, on_alarm)
    memory.used = 1001
    memory.check()
    memory.used = 0
    memory.check()
    assert heard == [True, False, True]


def test_a_forced_alarm_stays_whatever_is_used() -> None:
    alarms = Alarms(1000)
    alarms.memory.force(True)
    alarms.memory.check()
    assert alarms.memory.alarmed
    alarms.memory.force(False)
    assert alarms.heard == [True, False]


def test_arguments_count_until_they_are_gone_and_have_a_bound_of_their_own() -> None:
    memory = Alarms(1000).memory
    memory.keep_arguments({"a": "x" * 500})
    assert memory.used > 500
    with pytest.raises(Refused, match="RESOURCE_ERROR"):
        memory.keep_arguments({"b": ["x" * 500]})
    memory.keep_arguments({})
    memory.free_arguments({"a": "x" * 500})
    assert memory.used == 0
