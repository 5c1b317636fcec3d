"""Whether a broker that says nothing is dead. What probes find is tested on brokers."""

from __future__ import annotations

from leveret.client.calls.probe import DEAD_AFTER, BrokerLiveness


def test_a_broker_that_owes_no_answer_may_be_silent_for_ever() -> None:
    liveness = BrokerLiveness()
    assert not liveness.is_dead(1, 0.0, blocked=False)
    assert not liveness.is_dead(1, 1_000.0, blocked=False)


def test_a_broker_that_owes_an_answer_and_says_nothing_is_dead_in_the_end() -> None:
    liveness = BrokerLiveness()
    liveness.is_dead(1, 0.0, blocked=False)
    liveness.expect_answer(10.0)
    liveness.expect_answer(14.0)  # the oldest question counts
    assert not liveness.is_dead(1, 10.0 + DEAD_AFTER, blocked=False)
    assert liveness.is_dead(1, 10.1 + DEAD_AFTER, blocked=False)


def test_whatever_it_says_shows_that_it_lives() -> None:
    liveness = BrokerLiveness()
    liveness.expect_answer(0.0)
    assert not liveness.is_dead(1, 4.0, blocked=False)
    assert not liveness.is_dead(2, 8.0, blocked=False)
    assert not liveness.is_dead(2, 8.0 + DEAD_AFTER, blocked=False)
    assert liveness.is_dead(2, 8.1 + DEAD_AFTER, blocked=False)


def test_an_answer_is_owed_no_more_when_it_has_come() -> None:
    liveness = BrokerLiveness()
    liveness.is_dead(1, 0.0, blocked=False)
    question = liveness.expect_answer(0.0)
    liveness.expect_no_answer(question)
    assert not liveness.is_dead(1, 100.0, blocked=False)
    liveness.expect_no_answer(question)  # nor is it owed twice


def test_an_answer_to_one_question_is_no_answer_to_another() -> None:
    liveness = BrokerLiveness()
    liveness.is_dead(1, 0.0, blocked=False)
    first = liveness.expect_answer(0.0)
    second = liveness.expect_answer(1.0)
    liveness.expect_no_answer(first)
    assert not liveness.is_dead(1, 1.0 + DEAD_AFTER, blocked=False)
    assert liveness.is_dead(1, 1.1 + DEAD_AFTER, blocked=False)
    liveness.expect_no_answer(second)
    assert not liveness.is_dead(1, 100.0, blocked=False)


def test_a_broker_owes_no_answer_on_another_connection() -> None:
    liveness = BrokerLiveness()
    liveness.is_dead(1, 0.0, blocked=False)
    asked_before = liveness.expect_answer(0.0)
    liveness.connection_changed()
    assert not liveness.is_dead(1, 100.0, blocked=False)
    liveness.expect_answer(100.0)
    liveness.expect_no_answer(asked_before)  # its probe ends late
    assert liveness.is_dead(1, 100.1 + DEAD_AFTER, blocked=False)


def test_a_broker_that_blocks_publishers_may_read_nothing_for_long() -> None:
    liveness = BrokerLiveness()
    liveness.is_dead(1, 0.0, blocked=False)
    liveness.expect_answer(0.0)
    assert not liveness.is_dead(1, 100.0, blocked=True)
    assert liveness.is_dead(1, 100.0, blocked=False)
