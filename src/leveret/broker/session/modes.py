"""The methods that set what mode a channel is in: confirms, transactions, flow."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from leveret.amqp import methods
from leveret.broker.refusals import not_implemented, precondition
from leveret.broker.session.confirming import Confirming
from leveret.broker.session.transactions import Transaction

if TYPE_CHECKING:
    from leveret.broker.session.channel import Channel


def _flow(channel: Channel, method: methods.Channel.Flow) -> methods.AMQPMethod:
    if not method.active:
        raise not_implemented("active=false")
    return methods.Channel.FlowOk(active=True)


def _confirm(channel: Channel, method: methods.Confirm.Select) -> methods.AMQPMethod:
    if channel.transaction is not None:
        raise precondition("cannot switch from tx to confirm mode")
    if channel.confirming is None:
        channel.confirming = Confirming(channel.number)
    return methods.Confirm.SelectOk()


def _begin(channel: Channel, method: methods.Tx.Select) -> methods.AMQPMethod:
    if channel.confirming is not None:
        raise precondition("cannot switch from confirm to tx mode")
    if channel.transaction is None:
        channel.transaction = Transaction(channel)
    return methods.Tx.SelectOk()


def _commit(channel: Channel, method: methods.Tx.Commit) -> None:
    transaction = _transaction_of(channel)
    taken = transaction.publish_all()
    if taken:  # before what comes because of the acknowledgements
        channel.reply(methods.Tx.CommitOk())
    transaction.settle_all()
    if not taken:
        raise precondition("partial tx completion")


def _roll_back(channel: Channel, method: methods.Tx.Rollback) -> methods.AMQPMethod:
    _transaction_of(channel).roll_back()
    return methods.Tx.RollbackOk()


def _transaction_of(channel: Channel) -> Transaction:
    if channel.transaction is None:
        raise precondition("channel is not transactional")
    return channel.transaction


def _access(channel: Channel, method: methods.Access.Request) -> methods.AMQPMethod:
    """As RabbitMQ: whatever is asked for is granted, by ticket 1, which nothing looks at."""
    return methods.Access.RequestOk()


MODES: Final[dict[type[Any], Callable[[Channel, Any], methods.AMQPMethod | None]]] = {
    methods.Access.Request: _access,
    methods.Channel.Flow: _flow,
    methods.Confirm.Select: _confirm,
    methods.Tx.Select: _begin,
    methods.Tx.Commit: _commit,
    methods.Tx.Rollback: _roll_back,
}
