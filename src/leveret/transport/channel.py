"""One channel: its methods one by one, its consumers, its confirms, and how it ends."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from leveret.amqp import frames, methods
from leveret.amqp.codes import ReplyCode
from leveret.amqp.events import Content, Delivery, Event, Method
from leveret.amqp.methods import AMQPMethod
from leveret.amqp.properties import Properties
from leveret.errors import ChannelClosed, ConnectionLost, LeveretError, ProtocolError

if TYPE_CHECKING:
    from leveret.transport.connection import Connection

log = logging.getLogger("leveret.transport")

METHOD_TIMEOUT: Final = 15.0
"""How long a broker may take to answer a method such as queue.declare, in seconds."""


def unanswered(what: str) -> ChannelClosed:
    """The broker lives, and says nothing of a queue; RabbitMQ 4 does so while its node is down."""
    return ChannelClosed(
        ReplyCode.NOT_FOUND, f"{what}; the node that has the queue may be down or inaccessible"
    )


class Channel:
    """A channel of a connection; `Connection.open_channel` makes one.

    `consumers` maps consumer tags to what takes their deliveries; `on_confirm(tag, multiple, ok)`,
    `on_return(content)`, `on_cancel(consumer_tag)` and `on_close(error)` are called as events come.
    """

    def __init__(self, connection: Connection, number: int) -> None:
        self.connection = connection
        self.number = number
        self.closed: LeveretError | None = None
        self.consumers: dict[str, Callable[[Delivery], None]] = {}
        self.on_confirm: Callable[[int, bool, bool], None] | None = None
        self.on_return: Callable[[Content], None] | None = None
        self.on_cancel: Callable[[str], None] | None = None
        self.on_close: Callable[[LeveretError], None] | None = None
        self._answers: deque[tuple[asyncio.Future[Any], tuple[type[AMQPMethod], ...]]] = deque()
        self._closing: asyncio.Future[None] | None = None  # ends with close-ok
        self._tags = 0

    async def call(self, method: AMQPMethod) -> Any:
        """Send a method that the broker answers, and wait for its answer.

        A caller that is cancelled leaves its place in the order of the answers.

        :raises ChannelClosed: if the broker closes the channel instead, or says something else for
            `METHOD_TIMEOUT`, but nothing of a queue: the channel is of no use then.
        :raises ConnectionLost: if the connection breaks, or no answer comes in `METHOD_TIMEOUT`.
        :raises ValueError: if the method cannot be packed; nothing is sent then.
        :raises TypeError: likewise.
        """
        self.check_open()
        frame = frames.method_frame(self.number, method)
        reads = self.connection.reads
        answer = self.connection.loop.create_future()
        self._answers.append((answer, method.answers))
        self.connection.collect()
        self.connection.send(frame)
        try:
            async with asyncio.timeout(METHOD_TIMEOUT):
                return await answer
        except TimeoutError:
            late = f"no answer to {method.name} in {METHOD_TIMEOUT:g} s"
            if self.connection.reads != reads and method.name.startswith(("queue.", "basic.")):
                raise unanswered(late) from None
            raise ConnectionLost(
                f"{self.connection}: {late}; the broker is overloaded or stuck"
            ) from None

    def check_open(self) -> None:
        """:raises LeveretError: why this channel is closed, if it is."""
        if self.closed is not None:
            raise self.closed.with_traceback(None)  # else it would grow by each that meets it
        if self._closing is not None:
            raise self._bye()

    async def declare_queue(
        self, name: str, *, arguments: dict[str, Any] | None = None, exclusive: bool = False
    ) -> methods.Queue.DeclareOk:
        """Declare a queue: durable, or exclusive to this connection."""
        method = methods.Queue.Declare(
            queue=name, durable=not exclusive, exclusive=exclusive, arguments=arguments or {}
        )
        answer: methods.Queue.DeclareOk = await self.call(method)
        return answer

    async def look_at_queue(self, name: str) -> methods.Queue.DeclareOk:
        """The counts of a queue's ready messages and of its consumers (a passive declare).

        :raises ChannelClosed: with NOT_FOUND if there is none; the channel is gone then.
        """
        answer: methods.Queue.DeclareOk = await self.call(
            methods.Queue.Declare(queue=name, passive=True)
        )
        return answer

    async def declare_exchange(self, name: str, kind: str) -> None:
        """Declare a durable exchange."""
        await self.call(methods.Exchange.Declare(exchange=name, exchange_type=kind, durable=True))

    async def bind_queue(self, queue: str, exchange: str, routing_key: str) -> None:
        """Bind a queue to an exchange."""
        await self.call(methods.Queue.Bind(queue=queue, exchange=exchange, routing_key=routing_key))

    async def consume(
        self,
        queue: str,
        on_delivery: Callable[[Delivery], None],
        *,
        prefetch: int = 0,
        no_ack: bool = False,
        exclusive: bool = False,
    ) -> str:
        """Take a queue's messages, at most `prefetch` of them unacknowledged; returns the tag."""
        if prefetch:
            await self.call(methods.Basic.Qos(prefetch_count=prefetch))
        self._tags += 1
        tag = f"{self.number}.{self._tags}"
        self.consumers[tag] = on_delivery  # before the first delivery can come
        try:
            await self.call(
                methods.Basic.Consume(
                    queue=queue, consumer_tag=tag, no_ack=no_ack, exclusive=exclusive
                )
            )
        except BaseException:
            self.consumers.pop(tag, None)
            raise
        return tag

    async def cancel_consumer(self, tag: str) -> None:
        """Take no more messages. Those that were on their way are delivered before this returns."""
        await self.call(methods.Basic.Cancel(consumer_tag=tag))
        self.consumers.pop(tag, None)

    async def select_confirms(self) -> None:
        """Have the broker confirm each publish on this channel (to `on_confirm`)."""
        await self.call(methods.Confirm.Select())

    def publish(
        self,
        exchange: str,
        routing_key: str,
        properties: Properties,
        body: bytes,
        *,
        mandatory: bool = False,
    ) -> None:
        """Publish one message, for what is not on the hot path.

        :raises LeveretError: why this channel is closed, if it is.
        :raises ValueError: if the properties cannot be packed.
        """
        self.check_open()
        self.connection.send(
            frames.publish(
                self.number,
                exchange,
                routing_key,
                properties,
                body,
                frame_max=self.connection.frame_max,
                mandatory=mandatory,
            )
        )

    def ack(self, delivery_tag: int) -> None:
        """Acknowledge one delivery; on a closed channel the broker has taken it back already."""
        if self.closed is None and self._closing is None:
            self.connection.send(frames.ack(self.number, delivery_tag))

    async def close(self) -> None:
        """Close the channel. What was published on it before has reached the broker then.

        Never raises. Where no answer comes in `METHOD_TIMEOUT`, only this side is done with it.
        """
        self.abandon()
        if self._closing is not None and self.closed is None and not self.connection.blocked:
            await asyncio.wait((self._closing,), timeout=METHOD_TIMEOUT)
        self.end(self._bye(), quiet=True)

    def abandon(self) -> None:
        """Begin to close the channel, and wait for nothing; its number is free with close-ok."""
        if self.closed is not None or self._closing is not None:
            return
        self._closing = self.connection.loop.create_future()
        self.consumers.clear()  # what is still delivered goes back to its queue
        self.connection.collect()
        self.connection.send(
            frames.method_frame(
                self.number,
                methods.Channel.Close(reply_code=ReplyCode.SUCCESS, reply_text="bye"),
            )
        )

    def handle(self, event: Event) -> None:
        """Take an event that is neither a delivery nor a confirm."""
        if isinstance(event, Content):
            if isinstance(event.method, methods.Basic.Return) and self.on_return is not None:
                self.on_return(event)
            return
        if not isinstance(event, Method):
            return
        method = event.method
        if isinstance(method, methods.Channel.Close):
            self.connection.collect()  # what came after close-ok would break the connection
            self.connection.send(frames.method_frame(self.number, methods.Channel.CloseOk()))
            self.end(ChannelClosed(method.reply_code, method.reply_text))
        elif isinstance(method, methods.Channel.CloseOk) and self._closing is not None:
            self.connection.release(self)
            self.end(self._bye(), quiet=True)
        elif isinstance(method, methods.Basic.Cancel):
            tag = method.consumer_tag
            self.consumers.pop(tag, None)
            if self.on_cancel is not None:
                self.on_cancel(tag)
        elif isinstance(method, methods.Channel.Flow):
            self.connection.send(
                frames.method_frame(self.number, methods.Channel.FlowOk(active=method.active))
            )
        elif self._answers:
            self._answered(method)
        else:
            log.warning("%s: channel %d got %s unasked", self.connection, self.number, method.name)

    def _answered(self, method: AMQPMethod) -> None:
        """Give an answer to the first who waits for one of its kind.

        Not simply to the first: RabbitMQ answers basic.consume when the queue's own process has
        taken the consumer, and other methods meanwhile.
        """
        for waiting in self._answers:
            answer, expected = waiting
            if isinstance(method, expected):
                self._answers.remove(waiting)
                if not answer.done():
                    answer.set_result(method)
                return
        due = " or ".join(kind.name for kind in self._answers[0][1])
        self.connection.refuse(
            ProtocolError(
                ReplyCode.UNEXPECTED_FRAME,
                f"UNEXPECTED_FRAME - {method.name} on channel {self.number} where {due} was due",
            )
        )

    def end(self, error: LeveretError, *, quiet: bool = False) -> None:
        """The channel is over: whoever waits on it gets `error`."""
        if self.closed is not None:
            return
        self.closed = error
        if self._closing is None:
            self.connection.release(self)  # else with close-ok: that must not meet another channel
        elif not self._closing.done():
            self._closing.set_result(None)
        self.consumers.clear()
        while self._answers:
            answer, _ = self._answers.popleft()
            if not answer.done():
                answer.set_exception(error)
                answer.exception()  # its waiter may be gone; that is no "never retrieved"
        if self.on_close is not None and not quiet:
            self.connection.tell(self.on_close, error)

    def _bye(self) -> ChannelClosed:
        return ChannelClosed(ReplyCode.SUCCESS, f"channel {self.number} was closed by this side")
