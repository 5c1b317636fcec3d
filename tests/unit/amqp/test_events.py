"""Events are values: what a parser returns can be compared, and nobody changes it."""

from __future__ import annotations

import pytest

from leveret.amqp.events import Ack, Delivery, Event, Heartbeat, Method, Nack
from leveret.amqp.methods import Channel
from leveret.amqp.properties import Properties

DELIVERY = Delivery(1, "consumer", 7, False, "exchange", "key", Properties(), b"body", 4)


@pytest.mark.parametrize(
    ("event", "same", "other"),
    [
        (Ack(1, 7, True), Ack(1, 7, True), Ack(1, 8, True)),
        (Nack(1, 7, True, False), Nack(1, 7, True, False), Nack(1, 7, True, True)),
        (
            Method(1, Channel.Flow(active=True)),
            Method(1, Channel.Flow(active=True)),
            Method(1, Channel.Flow(active=False)),
        ),
        (Heartbeat(), Heartbeat(), DELIVERY),
    ],
)
def test_events_are_equal_by_their_fields(event: Event, same: Event, other: Event) -> None:
    assert event == same
    assert event != other


def test_an_event_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        DELIVERY.body = b"other"  # type: ignore[misc]


def test_a_body_that_was_not_kept_still_tells_its_size() -> None:
    event = Delivery(1, "consumer", 7, False, "", "key", Properties(), None, 2**31)
    assert (event.body, event.body_size) == (None, 2**31)
