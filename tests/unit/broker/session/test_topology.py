from __future__ import annotations

import pytest

from leveret.amqp import methods
from leveret.amqp.methods import AMQPMethod
from leveret.broker.permissions import Permissions
from leveret.broker.refusals import Refused
from leveret.broker.session.channel import Channel
from leveret.broker.session.dispatch import dispatch
from tests.unit.broker.world import answers, message, new_channel

Queue, Exchange = methods.Queue, methods.Exchange


@pytest.fixture
def channel() -> Channel:
    return new_channel()


def ask(channel: Channel, method: AMQPMethod) -> object:
    dispatch(channel, method)
    (answer,) = answers(channel)
    return answer


def test_a_queue_without_a_name_is_the_one_declared_last(channel: Channel) -> None:
    with pytest.raises(Refused, match="no previously declared queue"):
        dispatch(channel, Queue.Purge(queue=""))
    ask(channel, Queue.Declare(queue="q"))
    channel.vhost.queue("q").publish(message("x"))
    assert ask(channel, Queue.Purge(queue="")) == Queue.PurgeOk(message_count=1)


def test_a_passive_declare_tells_what_is_there_and_makes_nothing(channel: Channel) -> None:
    with pytest.raises(Refused, match="NOT_FOUND - no queue 'q'"):
        dispatch(channel, Queue.Declare(queue="q", passive=True))
    ask(channel, Queue.Declare(queue="q"))
    channel.vhost.queue("q").publish(message("x"))
    found = ask(channel, Queue.Declare(queue="q", passive=True))
    assert found == Queue.DeclareOk(queue="q", message_count=1, consumer_count=0)


def test_what_is_not_there_is_deleted_and_unbound_without_an_error(channel: Channel) -> None:
    assert ask(channel, Queue.Delete(queue="q")) == Queue.DeleteOk(message_count=0)
    unbind = Queue.Unbind(queue="q", exchange="amq.topic", routing_key="k")
    assert ask(channel, unbind) == Queue.UnbindOk()


@pytest.mark.parametrize("flag", ["if_unused", "if_empty"])
def test_a_queue_that_is_in_use_or_not_empty_may_be_spared(channel: Channel, flag: str) -> None:
    ask(channel, Queue.Declare(queue="q"))
    if flag == "if_empty":
        channel.vhost.queue("q").publish(message("x"))
        delete = Queue.Delete(queue="q", if_empty=True)
    else:
        dispatch(channel, methods.Basic.Consume(queue="q", nowait=True))
        delete = Queue.Delete(queue="q", if_unused=True)
    with pytest.raises(Refused, match="PRECONDITION_FAILED"):
        dispatch(channel, delete)
    assert "q" in channel.vhost.queues


@pytest.mark.parametrize(
    "method",
    [
        Exchange.Declare(exchange="", exchange_type="direct"),
        Exchange.Declare(exchange="amq.mine", exchange_type="direct"),
        Exchange.Delete(exchange="amq.topic"),
        Queue.Declare(queue="amq.mine"),
        Queue.Bind(queue="q", exchange="", routing_key="k"),
    ],
)
def test_names_of_the_broker_are_its_own(channel: Channel, method: AMQPMethod) -> None:
    channel.vhost.declare_queue("q", None)
    with pytest.raises(Refused, match="ACCESS_REFUSED"):
        dispatch(channel, method)


@pytest.mark.parametrize(
    "method",
    [
        Queue.Declare(queue="q"),
        Queue.Declare(queue="own", arguments={"x-dead-letter-exchange": "x"}),
        Queue.Bind(queue="own", exchange="amq.topic", routing_key="k"),
        Queue.Delete(queue="q"),
        Exchange.Declare(exchange="x", exchange_type="direct"),
        Exchange.Bind(destination="amq.fanout", source="amq.topic", routing_key="k"),
    ],
)
def test_each_method_needs_the_rights_to_what_it_names(method: AMQPMethod) -> None:
    channel = new_channel(permissions=Permissions(configure="^own$", write="^own$", read="^own$"))
    channel.vhost.declare_queue("own", None)
    with pytest.raises(Refused, match="ACCESS_REFUSED - access to"):
        dispatch(channel, method)
