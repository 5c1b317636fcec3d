"""Finds the function that does what a method asks of a channel. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from leveret.amqp.codes import ReplyCode
from leveret.amqp.methods import AMQPMethod
from leveret.broker.refusals import Refused
from leveret.broker.session.channel import Channel
from leveret.broker.session.consuming import CONSUMING
from leveret.broker.session.modes import MODES
from leveret.broker.session.topology import TOPOLOGY

METHODS: Final[dict[type[Any], Callable[[Channel, Any], AMQPMethod | None]]] = {
    **TOPOLOGY,
    **CONSUMING,
    **MODES,
}
"""What is done for each method that is not on the hot path; returns the answer, or None if it was
sent already."""


def dispatch(channel: Channel, method: AMQPMethod) -> None:
    """Do what a method asks, and answer unless it says nowait.

    :raises Refused: if it cannot be done, or no client sends such a method.
    """
    do = METHODS.get(type(method))
    if do is None:
        raise Refused(ReplyCode.COMMAND_INVALID, "unimplemented method")
    answer = do(channel, method)
    if answer is not None and not getattr(method, "nowait", False):
        channel.reply(answer)
