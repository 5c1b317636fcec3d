from __future__ import annotations

import pytest

from leveret.broker.model.consumers import Consumer, Consumers
from tests.unit.broker.world import Taker


def turns(consumers: Consumers, count: int) -> str:
    """Whose turn it is, so many times; "-" where nobody can take a message."""
    taken = [consumers.take_turn() for _ in range(count)]
    return "".join(consumer.tag if consumer is not None else "-" for consumer in taken)


@pytest.fixture
def consumers() -> Consumers:
    return Consumers()


def test_consumers_take_turns(consumers: Consumers) -> None:
    for tag in "abc":
        consumers.add(Consumer(tag, Taker()))
    assert turns(consumers, 5) == "abcab"


def test_a_higher_priority_comes_first_as_long_as_it_has_room(consumers: Consumers) -> None:
    high = Taker(room=2)
    consumers.add(Consumer("l", Taker()))
    consumers.add(Consumer("h", high, priority=1))
    assert turns(consumers, 2) == "hh"
    high.room = 0
    assert turns(consumers, 2) == "ll"
    high.room = 1
    consumers.wake_all(high)
    assert turns(consumers, 1) == "h"


def test_a_prefetch_bounds_what_is_unacknowledged(consumers: Consumers) -> None:
    consumer = Consumer("a", Taker(), prefetch=1)
    consumers.add(consumer)
    consumer.unacked = 1
    assert turns(consumers, 1) == "-"
    assert consumer.waiting
    consumer.unacked = 0
    assert turns(consumers, 1) == "-", "it has to be woken"
    consumers.wake(consumer)
    assert turns(consumers, 1) == "a"


def test_a_prefetch_means_nothing_without_acknowledgements() -> None:
    consumer = Consumer("a", Taker(), prefetch=1, no_ack=True)
    consumer.unacked = 5
    assert consumer.has_room()


def test_the_oldest_is_the_single_active_one_until_it_leaves() -> None:
    consumers = Consumers(single_active=True)
    first, second = Consumer("a", Taker()), Consumer("b", Taker())
    consumers.add(first)
    consumers.add(second)
    assert turns(consumers, 2) == "aa"
    consumers.remove(first)
    assert turns(consumers, 2) == "bb"


def test_the_consumers_of_a_channel_leave_together(consumers: Consumers) -> None:
    channel = Taker()
    for tag, receiver in (("a", channel), ("b", Taker()), ("c", channel)):
        consumers.add(Consumer(tag, receiver, exclusive=tag == "a"))
    assert consumers.exclusive
    assert consumers.remove_all(channel)
    assert not consumers.remove_all(channel)
    assert (turns(consumers, 2), consumers.count, consumers.exclusive) == ("bb", 1, False)
