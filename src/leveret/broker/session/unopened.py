"""What a client sends that is for no open channel: to open one, or for one that was closed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from leveret.amqp import methods
from leveret.amqp.codes import ReplyCode
from leveret.amqp.events import Method
from leveret.broker.refusals import Refused
from leveret.broker.session.channel import Channel

if TYPE_CHECKING:
    from leveret.broker.session.session import Session


def handle_without_channel(session: Session, event: Any) -> None:
    """What comes on channel 0, or on one that is not open."""
    number: int = event.channel
    method = event.method if isinstance(event, Method) else None
    if number == 0:
        _handle_connection(session, method)
    elif isinstance(method, methods.Channel.Open):
        if session.channel_max and len(session.channels) >= session.channel_max:
            raise Refused(
                ReplyCode.NOT_ALLOWED,
                f"number of channels opened ({len(session.channels)}) has reached the"
                f" negotiated channel_max ({session.channel_max})",
                anonymous=True,
            )
        session.channels[number] = Channel(session, number)
        session.output.send_method(number, methods.Channel.OpenOk())
    elif not isinstance(method, methods.Channel.CloseOk):
        raise Refused(ReplyCode.CHANNEL_ERROR, "expected 'channel.open'")


def _handle_connection(session: Session, method: Any) -> None:
    match method:
        case methods.Connection.Close():
            session.end_channels()
            session.send_method(methods.Connection.CloseOk())
            session.finish()
        case methods.Connection.UpdateSecret():
            session.send_method(methods.Connection.UpdateSecretOk())
        case _:
            raise Refused(ReplyCode.CHANNEL_ERROR, "unexpected method in connection state running")


def handle_while_closing(session: Session, channel: Channel, event: Any) -> None:
    """What comes on a channel that this side closed: dropped, until the client knows."""
    if isinstance(event, Method):
        if isinstance(event.method, methods.Channel.CloseOk):
            session.channels.pop(channel.number, None)
        elif isinstance(event.method, methods.Channel.Close):
            session.output.send_method(channel.number, methods.Channel.CloseOk())
        elif isinstance(event.method, methods.Channel.Open):
            raise opened_twice()


def opened_twice() -> Refused:
    """504: the channel is open, or the broker's close of it was not answered."""
    return Refused(ReplyCode.CHANNEL_ERROR, "second 'channel.open' seen")
