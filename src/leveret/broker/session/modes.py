"""The methods of a channel's mode (confirms, transactions), channel.flow, access.request. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from leveret.amqp import methods
from leveret.broker.refusals import not_implemented, precondition
from leveret.broker.session.channel import Channel
from leveret.broker.session.confirming import Confirming
from leveret.broker.session.transactions import Transaction


def _flow(channel: Channel, method: methods.Channel.Flow) -> methods.AMQPMethod:
    if not method.active:
        raise not_implemented("active=false")
    return methods.Channel.FlowOk(active=True)


def _select_confirms(channel: Channel, method: methods.Confirm.Select) -> methods.AMQPMethod:
    if isinstance(channel.mode, Transaction):
        raise precondition("cannot switch from tx to confirm mode")
    if channel.mode is None:
        channel.mode = Confirming(channel.number)
    return methods.Confirm.SelectOk()


def _select_transactions(channel: Channel, method: methods.Tx.Select) -> methods.AMQPMethod:
    if isinstance(channel.mode, Confirming):
        raise precondition("cannot switch from confirm to tx mode")
    if channel.mode is None:
        channel.mode = Transaction(channel.unacked, channel.vhost.memory)
    return methods.Tx.SelectOk()


def _commit(channel: Channel, method: methods.Tx.Commit) -> None:
    transaction = _transaction_of(channel)
    taken = channel.publish_staged(transaction.commit_published())
    if taken:  # before what comes because of the acknowledgements
        channel.reply(methods.Tx.CommitOk())
    channel.settle(transaction.commit_settled())
    if not taken:
        raise precondition("partial tx completion")


def _roll_back(channel: Channel, method: methods.Tx.Rollback) -> methods.AMQPMethod:
    _transaction_of(channel).roll_back()
    return methods.Tx.RollbackOk()


def _transaction_of(channel: Channel) -> Transaction:
    if not isinstance(channel.mode, Transaction):
        raise precondition("channel is not transactional")
    return channel.mode


def _grant_access(channel: Channel, method: methods.Access.Request) -> methods.AMQPMethod:
    """Grant whatever is asked for, by ticket 1, which nothing looks at. RabbitMQ does the same."""
    return methods.Access.RequestOk()


MODES: Final[dict[type[Any], Callable[[Channel, Any], methods.AMQPMethod | None]]] = {
    methods.Access.Request: _grant_access,
    methods.Channel.Flow: _flow,
    methods.Confirm.Select: _select_confirms,
    methods.Tx.Select: _select_transactions,
    methods.Tx.Commit: _commit,
    methods.Tx.Rollback: _roll_back,
}
