from __future__ import annotations

import pytest

from leveret.amqp import methods
from leveret.amqp.events import Ack
from leveret.broker.refusals import Refused
from leveret.broker.session.channel import Channel
from leveret.broker.session.confirming import Confirming
from leveret.broker.session.dispatch import dispatch
from leveret.broker.session.transactions import Transaction
from tests.unit.broker.world import answers, new_channel, published


@pytest.fixture
def channel() -> Channel:
    return new_channel()


def test_a_channel_confirms_or_has_transactions_but_not_both(channel: Channel) -> None:
    dispatch(channel, methods.Confirm.Select())
    dispatch(channel, methods.Confirm.Select())
    with pytest.raises(Refused, match="cannot switch from confirm to tx mode"):
        dispatch(channel, methods.Tx.Select())


def test_a_channel_without_transactions_commits_nothing(channel: Channel) -> None:
    with pytest.raises(Refused, match="channel is not transactional"):
        dispatch(channel, methods.Tx.Commit())


def test_a_mode_is_chosen_once_and_for_good(channel: Channel) -> None:
    dispatch(channel, methods.Tx.Select())
    mode = channel.mode
    dispatch(channel, methods.Tx.Select())
    assert isinstance(mode, Transaction)
    assert channel.mode is mode
    with pytest.raises(Refused, match="cannot switch from tx to confirm mode"):
        dispatch(channel, methods.Confirm.Select())


def test_confirms_are_due_once_however_much_is_published(channel: Channel) -> None:
    dispatch(channel, methods.Confirm.Select())
    assert isinstance(channel.mode, Confirming)
    for _ in range(3):
        channel.publish(published("nowhere"))
    assert len(channel.context.batch.confirms) == 1
    channel.output.take()
    channel.context.batch.send_confirms()
    assert answers(channel) == [Ack(7, 3, True)]


def test_commit_ok_comes_before_what_the_acknowledgements_cause(channel: Channel) -> None:
    dispatch(channel, methods.Queue.Declare(queue="q"))
    dispatch(channel, methods.Basic.Qos(prefetch_size=0, prefetch_count=1, global_=True))
    dispatch(channel, methods.Basic.Consume(queue="q", consumer_tag="c"))
    dispatch(channel, methods.Tx.Select())
    for body in (b"1", b"2"):
        channel.publish(published("q", body))
    dispatch(channel, methods.Tx.Commit())
    channel.ack(Ack(7, 1, False))
    answers(channel)
    dispatch(channel, methods.Tx.Commit())
    commit_ok, delivery = answers(channel)
    assert commit_ok == methods.Tx.CommitOk()
    assert getattr(delivery, "body", None) == b"2"


def test_flow_cannot_be_stopped(channel: Channel) -> None:
    dispatch(channel, methods.Channel.Flow(active=True))
    assert answers(channel) == [methods.Channel.FlowOk(active=True)]
    with pytest.raises(Refused, match="active=false"):
        dispatch(channel, methods.Channel.Flow(active=False))
