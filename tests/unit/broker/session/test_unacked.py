from __future__ import annotations

import pytest

from leveret.broker.model.consumers import Consumer
from leveret.broker.model.messages import Entry
from leveret.broker.model.queues import Queue
from leveret.broker.refusals import Refused
from leveret.broker.session.unacked import Ledger
from tests.unit.broker.world import Taker, World, message


class Deliveries:
    """A ledger, and deliveries to one consumer or by basic.get."""

    def __init__(self) -> None:
        self.queue: Queue = World().queue()
        self.consumer = Consumer("c", Taker())
        self.ledger = Ledger()

    def deliver(self, count: int = 1) -> list[int]:
        tags = []
        for _ in range(count):
            self.consumer.unacked += 1  # as the queue does
            tags.append(self.ledger.add(Entry(message(), 0, None), self.queue, self.consumer))
        return tags

    def get(self) -> int:
        return self.ledger.add(Entry(message(), 0, None), self.queue, None)


@pytest.fixture
def deliveries() -> Deliveries:
    return Deliveries()


def test_tags_count_up_from_one_whether_acknowledged_or_not(deliveries: Deliveries) -> None:
    assert deliveries.deliver(2) == [1, 2]
    assert deliveries.ledger.next_tag() == 3
    assert deliveries.deliver() == [4]


def test_multiple_means_all_tags_up_to_one_and_zero_means_all(deliveries: Deliveries) -> None:
    deliveries.deliver(4)
    ledger = deliveries.ledger
    assert ledger.tags(3, multiple=True) == [1, 2, 3]
    assert ledger.tags(3, multiple=False) == [3]
    assert ledger.tags(0, multiple=True) == [1, 2, 3, 4]


def test_a_tag_that_was_settled_is_unknown(deliveries: Deliveries) -> None:
    deliveries.deliver()
    ledger = deliveries.ledger
    assert ledger.take_one(1) is not None
    assert ledger.take_one(1) is None
    with pytest.raises(Refused, match="unknown delivery tag 1"):
        ledger.tags(1, multiple=True)


def test_what_is_settled_no_longer_counts_against_the_prefetch(deliveries: Deliveries) -> None:
    deliveries.deliver(3)
    deliveries.ledger.take([1, 2, 9])
    assert deliveries.ledger.in_flight == deliveries.consumer.unacked == 1


def test_gets_count_once_the_channel_has_a_prefetch(deliveries: Deliveries) -> None:
    deliveries.get()
    assert deliveries.ledger.in_flight == 0
    deliveries.ledger.count_gets()
    assert deliveries.ledger.in_flight == 1


def test_what_is_set_aside_counts_until_it_is_counted_out(deliveries: Deliveries) -> None:
    deliveries.deliver(2)
    ledger = deliveries.ledger
    aside = ledger.set_aside([1])
    assert ledger.in_flight == 2
    with pytest.raises(Refused):
        ledger.tags(1, multiple=False)
    ledger.count_out(delivery for _, delivery in aside)
    assert ledger.in_flight == deliveries.consumer.unacked == 1


def test_what_is_brought_back_has_its_old_place(deliveries: Deliveries) -> None:
    deliveries.deliver(3)
    ledger = deliveries.ledger
    ledger.bring_back(ledger.set_aside([1, 2]))
    assert ledger.tags(0, multiple=True) == [1, 2, 3]
