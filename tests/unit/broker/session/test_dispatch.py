from __future__ import annotations

import pytest

from leveret.amqp import methods
from leveret.amqp.events import Method
from leveret.amqp.methods import METHODS as ALL_METHODS
from leveret.amqp.methods import AMQPMethod
from leveret.amqp.parser import Parser
from leveret.broker.permissions import Permissions, Rights, User
from leveret.broker.refusals import Refused
from leveret.broker.session.batch import Batch
from leveret.broker.session.channel import Channel, ChannelContext
from leveret.broker.session.consuming import CONSUMING
from leveret.broker.session.dispatch import METHODS, dispatch
from leveret.broker.session.modes import MODES
from leveret.broker.session.output import Output
from leveret.broker.session.topology import TOPOLOGY
from tests.unit.broker.world import World


@pytest.fixture
def channel() -> Channel:
    """A channel without a session."""
    world = World()
    context = ChannelContext(
        connection=object(),
        vhost=world.vhost,
        user=User(password="guest"),
        user_name="guest",
        rights=Rights("guest", "/", Permissions()),
        output=Output(world.memory, 1000, lambda: None),
        batch=Batch(),
        max_message_size=1000,
        cancel_notify=True,
    )
    return Channel(context, 7)


def said(channel: Channel) -> list[AMQPMethod]:
    """The methods that wait to be sent, all of them on this channel."""
    events = Parser().receive(channel.output.take())
    assert all(isinstance(event, Method) and event.channel == 7 for event in events)
    return [event.method for event in events if isinstance(event, Method)]


def test_no_method_has_two_functions() -> None:
    assert len(METHODS) == len(TOPOLOGY) + len(CONSUMING) + len(MODES)


def test_a_method_is_done_and_answered(channel: Channel) -> None:
    dispatch(channel, methods.Queue.Declare(queue="q"))
    (answer,) = said(channel)
    assert answer == methods.Queue.DeclareOk(queue="q", message_count=0, consumer_count=0)
    assert "q" in channel.vhost.queues


def test_a_method_that_wants_no_answer_gets_none(channel: Channel) -> None:
    dispatch(channel, methods.Queue.Declare(queue="q", nowait=True))
    assert said(channel) == []
    assert "q" in channel.vhost.queues


@pytest.mark.parametrize(
    "kind", [kind for kind in ALL_METHODS.values() if kind.name.endswith("-ok")], ids=str
)
def test_no_function_does_what_only_a_broker_says(kind: type[AMQPMethod]) -> None:
    assert kind not in METHODS


def test_a_method_without_a_function_is_refused(channel: Channel) -> None:
    with pytest.raises(Refused, match="COMMAND_INVALID - unimplemented method"):
        dispatch(channel, methods.Queue.DeclareOk(queue="q", message_count=0, consumer_count=0))


def test_a_channel_confirms_or_has_transactions_but_not_both(channel: Channel) -> None:
    dispatch(channel, methods.Confirm.Select())
    dispatch(channel, methods.Confirm.Select())
    with pytest.raises(Refused, match="cannot switch from confirm to tx mode"):
        dispatch(channel, methods.Tx.Select())


def test_a_channel_without_transactions_commits_nothing(channel: Channel) -> None:
    with pytest.raises(Refused, match="channel is not transactional"):
        dispatch(channel, methods.Tx.Commit())
