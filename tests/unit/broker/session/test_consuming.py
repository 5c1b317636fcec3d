from __future__ import annotations

import pytest

from leveret.amqp import methods
from leveret.amqp.events import Ack, Content, Delivery
from leveret.amqp.methods import AMQPMethod
from leveret.broker.refusals import Refused
from leveret.broker.session.channel import Channel
from leveret.broker.session.dispatch import dispatch
from tests.unit.broker.world import answers, message, new_channel

Basic = methods.Basic


@pytest.fixture
def channel() -> Channel:
    channel = new_channel()
    channel.vhost.declare_queue("q", channel.context.connection)
    return channel


def ask(channel: Channel, method: AMQPMethod) -> object:
    dispatch(channel, method)
    (answer,) = answers(channel)
    return answer


def test_consume_ok_comes_before_the_first_message(channel: Channel) -> None:
    channel.vhost.queue("q").publish(message("x"))
    dispatch(channel, Basic.Consume(queue="q", consumer_tag="c"))
    consume_ok, delivery = answers(channel)
    assert consume_ok == Basic.ConsumeOk(consumer_tag="c")
    assert isinstance(delivery, Delivery)


def test_a_consumer_without_a_tag_gets_one(channel: Channel) -> None:
    answer = ask(channel, Basic.Consume(queue="q"))
    assert isinstance(answer, Basic.ConsumeOk)
    assert answer.consumer_tag.startswith("amq.ctag-")
    cancel = ask(channel, Basic.Cancel(consumer_tag=answer.consumer_tag))
    assert cancel == Basic.CancelOk(consumer_tag=answer.consumer_tag)
    assert channel.vhost.queue("q").consumers.count == 0


def test_a_tag_is_used_once(channel: Channel) -> None:
    ask(channel, Basic.Consume(queue="q", consumer_tag="c"))
    with pytest.raises(Refused, match="attempt to reuse consumer tag 'c'"):
        dispatch(channel, Basic.Consume(queue="q", consumer_tag="c"))


def test_an_exclusive_consumer_is_alone(channel: Channel) -> None:
    ask(channel, Basic.Consume(queue="q", consumer_tag="c", exclusive=True))
    with pytest.raises(Refused, match="in exclusive use"):
        dispatch(channel, Basic.Consume(queue="q", consumer_tag="d"))


def test_a_get_takes_one_message_or_finds_none(channel: Channel) -> None:
    assert ask(channel, Basic.Get(queue="q")) == Basic.GetEmpty()
    channel.vhost.queue("q").publish(message("x"))
    got = ask(channel, Basic.Get(queue="q"))
    assert isinstance(got, Content)
    assert got.body == b"x"
    assert channel.unacked.tags(0, multiple=True) == [1]


def test_what_was_taken_is_requeued_by_a_recover(channel: Channel) -> None:
    channel.vhost.queue("q").publish(message("x"))
    ask(channel, Basic.Get(queue="q"))
    assert ask(channel, Basic.Recover(requeue=True)) == Basic.RecoverOk()
    assert channel.vhost.queue("q").ready == 1
    with pytest.raises(Refused, match="requeue=false"):
        dispatch(channel, Basic.Recover(requeue=False))


def test_a_prefetch_is_for_the_channel_or_for_each_later_consumer(channel: Channel) -> None:
    ask(channel, Basic.Qos(prefetch_size=0, prefetch_count=2, global_=False))
    ask(channel, Basic.Qos(prefetch_size=0, prefetch_count=3, global_=True))
    assert (channel.prefetch, channel.consumer_prefetch) == (3, 2)
    ask(channel, Basic.Qos(prefetch_size=0, prefetch_count=1, global_=False))
    assert (channel.prefetch, channel.consumer_prefetch) == (0, 1)
    with pytest.raises(Refused, match=r"prefetch_size!=0 \(1\)"):
        dispatch(channel, Basic.Qos(prefetch_size=1, prefetch_count=0, global_=False))


@pytest.mark.parametrize("again", [False, True])
def test_direct_replies_are_consumed_once_and_without_acknowledgements(
    channel: Channel, again: bool
) -> None:
    queue = "amq.rabbitmq.reply-to"
    if again:
        ask(channel, Basic.Consume(queue=queue, no_ack=True))
    with pytest.raises(Refused, match="already set" if again else "cannot acknowledge"):
        dispatch(channel, Basic.Consume(queue=queue, no_ack=again))


def test_full_queues_have_turns_in_a_global_prefetch(channel: Channel) -> None:
    ask(channel, Basic.Qos(prefetch_count=3, global_=True))
    for name in "abc":
        queue = channel.vhost.declare_queue(name, channel.context.connection)
        for _ in range(9):
            queue.publish(message(name))
        dispatch(channel, Basic.Consume(queue=name, consumer_tag=name))
    answers(channel)

    def after_ack(tag: int, multiple: bool = False) -> str:
        channel.ack(Ack(7, tag, multiple))
        return "".join(one.consumer_tag for one in answers(channel) if isinstance(one, Delivery))

    assert [after_ack(tag) for tag in (1, 2, 3, 4)] == ["a", "b", "c", "a"]
    assert after_ack(0, multiple=True) == "bca"
    dispatch(channel, Basic.Cancel(consumer_tag="b"))
    assert after_ack(0, multiple=True) == "cac"
    channel.vhost.delete_queue(channel.vhost.queue("a"))
    assert after_ack(0, multiple=True) == "ccc"
