from __future__ import annotations

import pytest

from leveret.amqp import methods
from leveret.amqp.methods import METHODS as ALL_METHODS
from leveret.amqp.methods import AMQPMethod
from leveret.broker.refusals import Refused
from leveret.broker.session.channel import Channel
from leveret.broker.session.consuming import CONSUMING
from leveret.broker.session.dispatch import METHODS, dispatch
from leveret.broker.session.modes import MODES
from leveret.broker.session.topology import TOPOLOGY
from tests.unit.broker.world import answers, new_channel


@pytest.fixture
def channel() -> Channel:
    return new_channel()


def test_no_method_has_two_functions() -> None:
    assert len(METHODS) == len(TOPOLOGY) + len(CONSUMING) + len(MODES)


def test_a_method_is_done_and_answered(channel: Channel) -> None:
    dispatch(channel, methods.Queue.Declare(queue="q"))
    (answer,) = answers(channel)
    assert answer == methods.Queue.DeclareOk(queue="q", message_count=0, consumer_count=0)
    assert "q" in channel.vhost.queues


def test_a_method_that_wants_no_answer_gets_none(channel: Channel) -> None:
    dispatch(channel, methods.Queue.Declare(queue="q", nowait=True))
    assert answers(channel) == []
    assert "q" in channel.vhost.queues


@pytest.mark.parametrize(
    "kind", [kind for kind in ALL_METHODS.values() if kind.name.endswith("-ok")], ids=str
)
def test_no_function_does_what_only_a_broker_says(kind: type[AMQPMethod]) -> None:
    assert kind not in METHODS


def test_a_method_without_a_function_is_refused(channel: Channel) -> None:
    with pytest.raises(Refused, match="COMMAND_INVALID - unimplemented method"):
        dispatch(channel, methods.Queue.DeclareOk(queue="q", message_count=0, consumer_count=0))
