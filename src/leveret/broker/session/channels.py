"""The channels of one open connection: finds the channel that an event is for. Pure."""

from __future__ import annotations

from typing import Any

from leveret.amqp import methods
from leveret.amqp.codes import ReplyCode
from leveret.amqp.events import Ack, Method, Nack
from leveret.amqp.methods import AMQPMethod
from leveret.broker.refusals import Refused
from leveret.broker.session.channel import Channel, ChannelContext
from leveret.broker.session.closing import blamed_event, channel_close
from leveret.broker.session.dispatch import dispatch
from leveret.broker.session.received import Published


class Channels:
    """The channels that a client has opened, by number.

    A channel that the broker closed stays until the client answers.

    :param context: is shared by all channels.
    :param channel_max: how many there may be; 0 for any number.
    """

    def __init__(self, context: ChannelContext, channel_max: int) -> None:
        self.vhost = context.vhost
        self._context = context
        self._channel_max = channel_max
        self._by_number: dict[int, Channel] = {}
        self._first = 0  # which channel had the first turn when they were woken last

    def handle(self, event: Any) -> None:
        """Do what an event on any channel but 0 asks.

        :raises Refused: if it cannot be done.
        """
        channel = self._by_number.get(event.channel)
        if channel is None:
            self._open(event)
            return
        if channel.closing:
            self._handle_while_closing(channel, event)
            return
        kind = type(event)
        if kind is Published:
            channel.publish(event)
        elif kind is Ack:
            channel.ack(event)
        elif kind is Nack:
            channel.nack(event)
        elif kind is Method:
            self._handle_method(channel, event.method)
        else:
            raise Refused(ReplyCode.COMMAND_INVALID, "a client does not send that")

    def _open(self, event: Any) -> None:
        number: int = event.channel
        method = event.method if isinstance(event, Method) else None
        if isinstance(method, methods.Channel.Open):
            if self._channel_max and len(self._by_number) >= self._channel_max:
                raise Refused(
                    ReplyCode.NOT_ALLOWED,
                    f"number of channels opened ({len(self._by_number)}) has reached the"
                    f" negotiated channel_max ({self._channel_max})",
                    anonymous=True,
                )
            user, count = self._context.user_name, self._context.channels_of
            limit = self._context.user.max_channels
            if limit is not None and count[user] >= limit:
                raise Refused(
                    ReplyCode.NOT_ALLOWED,
                    f"number of channels opened for user '{user}' has reached the maximum allowed"
                    f" user limit of ({limit})",
                    anonymous=True,
                )
            count[user] += 1
            self._by_number[number] = Channel(self._context, number)
            self._context.output.send_method(number, methods.Channel.OpenOk())
        elif not isinstance(method, methods.Channel.CloseOk):
            raise Refused(ReplyCode.CHANNEL_ERROR, "expected 'channel.open'")

    def _handle_while_closing(self, channel: Channel, event: Any) -> None:
        """Drop what comes on a channel that the broker closed, until the client knows."""
        match event.method if isinstance(event, Method) else None:
            case methods.Channel.CloseOk():
                self._release(channel)
            case methods.Channel.Close():
                self._context.output.send_method(channel.number, methods.Channel.CloseOk())
            case methods.Channel.Open():
                raise _opened_twice()

    def _handle_method(self, channel: Channel, method: AMQPMethod) -> None:
        match method:
            case methods.Channel.Close():
                channel.reply(methods.Channel.CloseOk())
                self._release(channel)
                channel.end()
            case methods.Channel.Open():
                raise _opened_twice()
            case methods.Channel.CloseOk() | methods.Channel.FlowOk():
                pass
            case _:
                dispatch(channel, method)

    def _release(self, channel: Channel) -> None:
        if self._by_number.pop(channel.number, None) is not None:
            self._context.channels_of[self._context.user_name] -= 1

    def close(self, event: Any, error: Refused) -> bool:
        """Close the channel of an event that was refused; False if there is no such channel."""
        channel = self._by_number.get(event.channel)
        if channel is None:
            return False
        channel.closing = True
        channel.reply(channel_close(error, blamed_event(event)))
        channel.end()
        return True

    def wake(self) -> None:
        """Give turns again to the consumers, as the client takes more.

        The channels take turns at being the first, which may use up all the room.
        """
        channels = list(self._by_number.values())
        self._first = (self._first + 1) % (len(channels) or 1)
        for channel in channels[self._first :] + channels[: self._first]:
            channel.wake()

    def end(self) -> None:
        """End all channels, and delete the exclusive queues of the connection."""
        ended = list(self._by_number.values())
        for channel in ended:
            self._release(channel)
        self._context.output.room = False  # consumers get nothing while they leave one by one
        for channel in ended:
            channel.end()
        self.vhost.delete_exclusive_queues(self._context.connection)


def _opened_twice() -> Refused:
    """504: the channel is open, or the client has not answered the broker's close of it."""
    return Refused(ReplyCode.CHANNEL_ERROR, "second 'channel.open' seen")
