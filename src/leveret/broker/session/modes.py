"""The methods that set what mode a channel is in: confirms, transactions, flow."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from pamqp import commands

from leveret.broker.refusals import not_implemented, precondition
from leveret.broker.session.answers import answer
from leveret.broker.session.confirming import Confirming
from leveret.broker.session.received import AccessRequest
from leveret.broker.session.transactions import Transaction

if TYPE_CHECKING:
    from leveret.broker.session.channel import Channel


def _flow(channel: Channel, method: commands.Channel.Flow) -> bytes:
    if not method.active:
        raise not_implemented("active=false")
    return answer(commands.Channel.FlowOk, active=True)


def _confirm(channel: Channel, method: commands.Confirm.Select) -> bytes:
    if channel.transaction is not None:
        raise precondition("cannot switch from tx to confirm mode")
    if channel.confirming is None:
        channel.confirming = Confirming(channel.number)
    return answer(commands.Confirm.SelectOk)


def _begin(channel: Channel, method: commands.Tx.Select) -> bytes:
    if channel.confirming is not None:
        raise precondition("cannot switch from confirm to tx mode")
    if channel.transaction is None:
        channel.transaction = Transaction(channel)
    return answer(commands.Tx.SelectOk)


def _commit(channel: Channel, method: commands.Tx.Commit) -> None:
    transaction = _transaction_of(channel)
    taken = transaction.publish_all()
    if taken:  # before what comes because of the acknowledgements
        channel.reply(answer(commands.Tx.CommitOk))
    transaction.settle_all()
    if not taken:
        raise precondition("partial tx completion")


def _roll_back(channel: Channel, method: commands.Tx.Rollback) -> bytes:
    _transaction_of(channel).roll_back()
    return answer(commands.Tx.RollbackOk)


def _transaction_of(channel: Channel) -> Transaction:
    if channel.transaction is None:
        raise precondition("channel is not transactional")
    return channel.transaction


def _access(channel: Channel, method: AccessRequest) -> bytes:
    """As RabbitMQ: whatever is asked for is granted, by ticket 1, which nothing looks at."""
    return struct.pack(">IH", 30 << 16 | 11, 1)


MODES: Final[dict[type[Any], Callable[[Channel, Any], bytes | None]]] = {
    AccessRequest: _access,
    commands.Channel.Flow: _flow,
    commands.Confirm.Select: _confirm,
    commands.Tx.Select: _begin,
    commands.Tx.Commit: _commit,
    commands.Tx.Rollback: _roll_back,
}
