from __future__ import annotations

import pytest

from leveret.amqp import methods
from leveret.amqp.events import Ack, Delivery, Nack
from leveret.broker.model.queues import Queue
from leveret.broker.refusals import Refused
from leveret.broker.session.channel import Channel
from leveret.broker.session.dispatch import dispatch
from tests.unit.broker.world import answers, message, new_channel, published


@pytest.fixture
def channel() -> Channel:
    return new_channel()


@pytest.fixture
def queue(channel: Channel) -> Queue:
    return channel.vhost.declare_queue("q", channel.context.connection)


def consume(channel: Channel, tag: str = "c") -> None:
    dispatch(channel, methods.Basic.Consume(queue="q", consumer_tag=tag, nowait=True))


def delivered(channel: Channel) -> list[tuple[int, bytes | None]]:
    """Tag and body of what was delivered since the last time."""
    sent = answers(channel)
    return [(one.delivery_tag, one.body) for one in sent if isinstance(one, Delivery)]


def test_a_publish_reaches_the_consumer_of_its_queue(channel: Channel, queue: Queue) -> None:
    consume(channel)
    channel.publish(published("q", b"hello"))
    assert delivered(channel) == [(1, b"hello")]
    assert channel.unacked.in_flight == 1


def test_a_mandatory_message_without_a_queue_comes_back(channel: Channel) -> None:
    channel.publish(published("nowhere", b"x", mandatory=True))
    channel.publish(published("nowhere", b"x"))
    (returned,) = answers(channel)
    assert getattr(returned, "body", None) == b"x"


def test_immediate_is_refused(channel: Channel) -> None:
    with pytest.raises(Refused, match="NOT_IMPLEMENTED - immediate=true"):
        channel.publish(published("q", immediate=True))


def test_a_prefetch_of_the_channel_is_for_all_its_consumers(channel: Channel, queue: Queue) -> None:
    channel.prefetch = 2
    consume(channel, "a")
    consume(channel, "b")
    for body in (b"1", b"2", b"3"):
        channel.publish(published("q", body))
    assert delivered(channel) == [(1, b"1"), (2, b"2")]
    channel.ack(Ack(7, 2, False))
    assert delivered(channel) == [(3, b"3")]


@pytest.mark.parametrize(("requeue", "ready"), [(True, 1), (False, 0)])
def test_what_is_rejected_is_requeued_or_dropped(
    channel: Channel, queue: Queue, requeue: bool, ready: int
) -> None:
    consume(channel)
    channel.publish(published("q"))
    channel.drop_consumer("c")
    channel.nack(Nack(7, 1, False, requeue))
    assert queue.ready == ready


def test_an_unknown_tag_is_refused(channel: Channel) -> None:
    with pytest.raises(Refused, match="unknown delivery tag 1"):
        channel.ack(Ack(7, 1, False))


def test_a_channel_that_ends_gives_back_what_it_had(channel: Channel, queue: Queue) -> None:
    consume(channel)
    channel.publish(published("q"))
    channel.publish(published("q"))
    channel.end()
    assert (queue.ready, queue.consumers.count, channel.consumers) == (2, 0, {})


def test_a_client_is_told_that_its_consumers_queue_was_deleted(
    channel: Channel, queue: Queue
) -> None:
    consume(channel)
    channel.vhost.delete_queue(queue)
    assert answers(channel) == [], "it waits for the answer to whoever deleted it"
    channel.context.batch.send_cancels()
    assert answers(channel) == [methods.Basic.Cancel(consumer_tag="c", nowait=True)]
    assert channel.consumers == {}


def test_a_direct_reply_comes_to_the_key_that_the_channel_was_given(channel: Channel) -> None:
    dispatch(
        channel,
        methods.Basic.Consume(
            queue="amq.rabbitmq.reply-to", consumer_tag="r", no_ack=True, nowait=True
        ),
    )
    key = channel.reply_key
    assert key is not None
    channel.vhost.reply_directly(message("answer", key=key))
    assert delivered(channel) == [(1, b"answer")]
    channel.drop_consumer("r")
    assert (channel.reply_key, channel.vhost.reply_channels) == (None, {})
