from __future__ import annotations

import pytest

from leveret.amqp import methods
from leveret.amqp.events import Ack, Delivery, Heartbeat, Method
from leveret.amqp.methods import AMQPMethod
from leveret.broker.refusals import Refused, precondition
from leveret.broker.session.channel import Channel
from leveret.broker.session.channels import Channels
from tests.unit.broker.world import answers, message, new_channel

CLOSE = methods.Channel.Close(reply_code=200, reply_text="", class_id=0, method_id=0)


class Opened:
    """The channels of one connection."""

    def __init__(self, channel_max: int = 0) -> None:
        self.channel: Channel = new_channel()
        self.channels = Channels(self.channel.context, channel_max)

    def say(self, number: int, method: AMQPMethod) -> list[object]:
        """Handle a method; what is answered on any channel."""
        self.channels.handle(Method(number, method))
        return answers(self.channel)


@pytest.fixture
def opened() -> Opened:
    return Opened()


def test_a_channel_is_opened_used_and_closed(opened: Opened) -> None:
    assert opened.say(3, methods.Channel.Open()) == [methods.Channel.OpenOk()]
    assert len(opened.say(3, methods.Queue.Declare(queue="q"))) == 1
    assert opened.say(3, CLOSE) == [methods.Channel.CloseOk()]
    with pytest.raises(Refused, match="CHANNEL_ERROR - expected 'channel.open'"):
        opened.say(3, methods.Queue.Declare(queue="q"))


def test_a_channel_is_opened_once(opened: Opened) -> None:
    opened.say(3, methods.Channel.Open())
    with pytest.raises(Refused, match="second 'channel.open' seen"):
        opened.say(3, methods.Channel.Open())


def test_there_are_as_many_channels_as_were_agreed() -> None:
    opened = Opened(channel_max=1)
    opened.say(3, methods.Channel.Open())
    with pytest.raises(Refused, match=r"opened \(1\) has reached") as refused:
        opened.say(1, methods.Channel.Open())
    assert refused.value.anonymous


def test_what_comes_on_a_channel_that_the_broker_closed_is_dropped(opened: Opened) -> None:
    opened.say(3, methods.Channel.Open())
    refused = Method(3, methods.Queue.Declare(queue="q"))
    assert opened.channels.close(refused, precondition("so"))
    (close,) = answers(opened.channel)
    assert isinstance(close, methods.Channel.Close)
    assert (close.reply_code, close.class_id, close.method_id) == (406, 50, 10)
    opened.channels.handle(Ack(3, 9, False))
    assert opened.say(3, methods.Queue.Declare(queue="q")) == []
    assert opened.say(3, CLOSE) == [methods.Channel.CloseOk()]
    assert opened.say(3, methods.Channel.CloseOk()) == []
    assert opened.say(3, methods.Channel.Open()) == [methods.Channel.OpenOk()]


def test_a_channel_that_is_not_there_cannot_be_closed(opened: Opened) -> None:
    assert not opened.channels.close(Ack(3, 9, False), precondition("so"))


def test_what_no_client_sends_is_refused(opened: Opened) -> None:
    opened.say(3, methods.Channel.Open())

    class Strange(Heartbeat, frozen=True):
        channel: int = 3

    with pytest.raises(Refused, match="a client does not send that"):
        opened.channels.handle(Strange())


def test_the_exclusive_queues_of_a_connection_end_with_its_channels(opened: Opened) -> None:
    opened.say(3, methods.Channel.Open())
    opened.say(3, methods.Queue.Declare(queue="mine", exclusive=True))
    opened.say(3, methods.Queue.Declare(queue="everyones"))
    opened.channels.end()
    assert list(opened.channels.vhost.queues) == ["everyones"]
    assert not opened.channel.output.room


def test_channels_have_turns_when_their_client_takes_more(opened: Opened) -> None:
    output = opened.channel.output
    queue = opened.channels.vhost.declare_queue("q", opened.channel.context.connection)
    for number in (1, 2, 3):
        opened.say(number, methods.Channel.Open())
        opened.say(number, methods.Basic.Consume(queue="q", no_ack=True))
    output.room = False
    for _ in range(6):
        queue.publish(message("x" * 1_000_001))
    served = []
    for _ in range(6):
        output.written(0)  # there is room for one
        opened.channels.wake()
        (delivery,) = answers(opened.channel)
        assert isinstance(delivery, Delivery)
        served.append(delivery.channel)
    assert sorted(served[:3]) == sorted(served[3:]) == [1, 2, 3]
