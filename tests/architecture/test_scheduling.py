"""How tests are shared out among the workers of pytest-xdist."""

from __future__ import annotations

from tests.scheduling import Handfuls

UNIT = "tests/unit/test_one.py::test_{}"


def test_unit_tests_of_a_file_that_follow_each_other_are_shared_out_together() -> None:
    handfuls = Handfuls()
    order = [UNIT.format(n) for n in range(45)]
    scopes = [handfuls.of(test) for test in order]
    assert scopes == [order[0]] * 20 + [order[20]] * 20 + [order[40]] * 5
    assert [handfuls.of(test) for test in reversed(order)] == scopes[::-1]


def test_unit_tests_that_come_later_than_others_of_their_file_are_shared_out_one_by_one() -> None:
    handfuls = Handfuls()
    order = [
        UNIT.format(1),
        "tests/unit/test_other.py::test",
        UNIT.format(2),
        UNIT.format(3),
    ]
    assert [handfuls.of(test) for test in order] == order


def test_other_tests_are_shared_out_one_by_one() -> None:
    handfuls = Handfuls()
    tests = [f"tests/behaviour/test_calls.py::test_{n}" for n in range(3)]
    assert [handfuls.of(test) for test in tests] == tests
