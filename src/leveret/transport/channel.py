"""One channel: its methods one by one, its consumers, its confirms, and how it ends."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, Final, Protocol

from leveret.amqp import frames, methods
from leveret.amqp.codes import ReplyCode
from leveret.amqp.events import Content, Delivery, Event, Method
from leveret.amqp.methods import AMQPMethod
from leveret.amqp.properties import Properties
from leveret.errors import ChannelClosed, ConnectionLost, LeveretError, ProtocolError
from leveret.transport.states import CHANNEL, ChannelEvent, ChannelState
from leveret.transport.writer import Writer

log = logging.getLogger("leveret.transport")

METHOD_TIMEOUT: Final = 15.0
"""Seconds that a broker has to answer a method such as queue.declare."""


def unanswered(what: str) -> ChannelClosed:
    """The error for a broker that lives, but does not answer for a queue.

    RabbitMQ 4 does so while the node of the queue is down.
    """
    return ChannelClosed(
        ReplyCode.NOT_FOUND, f"{what}; the node that has the queue may be down or inaccessible"
    )


class FramePort(Protocol):
    """What a channel, and those who send on it, need of its connection."""

    loop: asyncio.AbstractEventLoop
    frame_max: int
    """Bytes of the largest frame."""
    user: str
    """The broker's name for this side's user; "" if it is not known."""
    server_properties: dict[str, Any]
    """The broker's properties, as it sent them."""
    blocked: str
    """The broker's reason while it blocks publishers; "" otherwise."""
    reads: int
    """How often anything came from the broker."""
    writer: Writer
    """`writer.paused` tells whether `writable` would wait."""

    def send(self, data: bytes, /) -> None:
        """Send frames, together with everything else that this pass of the event loop sends."""

    def defer(self, callback: Callable[[], None], /) -> None:
        """Call back just before the next write."""

    def collect(self) -> None:
        """Have the deferred callbacks send now, before what is sent next."""

    async def writable(self) -> None:
        """Wait until the socket takes more."""

    async def open_channel(self) -> Channel:
        """Open another channel on the same connection."""
        ...

    def release(self, channel: Channel, /) -> None:
        """Free the number of a channel that has ended."""

    def refuse(self, error: ProtocolError, /) -> None:
        """End the connection because the peer breaks the protocol."""

    def tell(self, callback: Callable[[LeveretError], None], news: LeveretError, /) -> None:
        """Call back, and report it if that fails."""


class Channel:
    """A channel of a connection; `Connection.open_channel` makes one."""

    def __init__(self, connection: FramePort, number: int) -> None:
        self.connection = connection
        self.number = number
        self.state = ChannelState.OPEN
        self.closed: LeveretError | None = None
        """Why the channel has ended; None while it has not."""
        self.consumers: dict[str, Callable[[Delivery], None]] = {}
        """The function that takes the deliveries of each consumer, by consumer tag."""
        self.on_confirm: Callable[[int, bool, bool], None] | None = None
        """Called with the number of a publish, whether it also stands for all before it, and
        whether the broker took them."""
        self.on_return: Callable[[Content], None] | None = None
        """Called with each message that the broker could not route."""
        self.on_cancel: Callable[[str], None] | None = None
        """Called with the tag of a consumer that the broker cancelled."""
        self.on_close: Callable[[LeveretError], None] | None = None
        """Called with the reason, once, unless this side closed the channel."""
        self._answers: deque[tuple[asyncio.Future[Any], tuple[type[AMQPMethod], ...]]] = deque()
        self._ended: asyncio.Future[None] | None = None
        """Done with close-ok, or with what comes instead of it. There is one while it is due."""
        self._tags = 0

    async def call(self, method: AMQPMethod) -> Any:
        """Send a method that the broker answers, and wait for its answer.

        :raises LeveretError: as `ask` does, and its coroutine.
        """
        return await self.ask(method)

    def ask(self, method: AMQPMethod) -> Coroutine[Any, Any, Any]:
        """Send a method that the broker answers; the coroutine waits for its answer.

        A caller that is cancelled keeps its place in the order of the answers.

        :raises ChannelClosed: if the channel has ended, if the broker closes it instead, or if the
            broker sends other things for `METHOD_TIMEOUT`, but no answer for a queue. Then the
            channel is of no more use.
        :raises ConnectionLost: if the connection ends, or no answer comes in `METHOD_TIMEOUT`.
        :raises ConnectionClosed: if the broker closes the connection.
        :raises ValueError, TypeError: if the method cannot be packed; then nothing is sent.
        """
        self.check_open()
        frame = frames.method_frame(self.number, method)
        reads = self.connection.reads
        answer = self.connection.loop.create_future()
        self._answers.append((answer, method.answers))
        self.connection.collect()
        self.connection.send(frame)
        return self._answer_to(method, answer, reads)

    async def _answer_to(self, method: AMQPMethod, answer: asyncio.Future[Any], reads: int) -> Any:
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
        if self.state is not ChannelState.OPEN:
            raise self._closed_by_us()

    async def declare_queue(
        self, name: str, *, arguments: dict[str, Any] | None = None, exclusive: bool = False
    ) -> methods.Queue.DeclareOk:
        """Declare a queue: durable, or exclusive to this connection.

        :raises ChannelClosed: with PRECONDITION_FAILED if it exists with other options, with
            RESOURCE_LOCKED if it is another connection's, or as `call` does.
        :raises ConnectionLost: as `call` does.
        """
        method = methods.Queue.Declare(
            queue=name, durable=not exclusive, exclusive=exclusive, arguments=arguments or {}
        )
        answer: methods.Queue.DeclareOk = await self.call(method)
        return answer

    async def look_at_queue(self, name: str) -> methods.Queue.DeclareOk:
        """Count a queue's ready messages and its consumers (a passive declare).

        :raises ChannelClosed: with NOT_FOUND if there is no such queue, or as `call` does.
        :raises ConnectionLost: as `call` does.
        """
        return await self.ask_for_queue(name)

    def ask_for_queue(self, name: str) -> Coroutine[Any, Any, methods.Queue.DeclareOk]:
        """The same, but the question is sent at once; the coroutine waits for its answer."""
        return self.ask(methods.Queue.Declare(queue=name, passive=True))

    async def declare_exchange(self, name: str, kind: str) -> None:
        """Declare a durable exchange.

        :raises ChannelClosed: with PRECONDITION_FAILED if it exists with other options, or as
            `call` does.
        :raises ConnectionLost: as `call` does.
        """
        await self.call(methods.Exchange.Declare(exchange=name, exchange_type=kind, durable=True))

    async def bind_queue(self, queue: str, exchange: str, routing_key: str) -> None:
        """Bind a queue to an exchange.

        :raises ChannelClosed: with NOT_FOUND if either does not exist, or as `call` does.
        :raises ConnectionLost: as `call` does.
        """
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
        """Take a queue's messages; returns the consumer tag.

        :param prefetch: how many messages may be unacknowledged at once; 0 means no limit.
        :param no_ack: whether the broker counts each message as acknowledged when it sends it.
        :param exclusive: whether the queue may have no other consumer.
        :raises ChannelClosed: with NOT_FOUND if there is no such queue, with ACCESS_REFUSED if it
            has an exclusive consumer, or as `call` does.
        :raises ConnectionLost: as `call` does.
        """
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
        """Take no more messages. Messages on their way are delivered before this returns.

        :raises ChannelClosed: as `call` does.
        :raises ConnectionLost: as `call` does.
        """
        await self.call(methods.Basic.Cancel(consumer_tag=tag))
        self.consumers.pop(tag, None)

    def cancel_consumer_unheard(self, tag: str) -> None:
        """Have no more messages delivered once the broker reads this, which it does not now.

        Messages still come until then.
        """
        if self.state is ChannelState.OPEN:
            self.connection.send(
                frames.method_frame(
                    self.number, methods.Basic.Cancel(consumer_tag=tag, nowait=True)
                )
            )

    async def select_confirms(self) -> None:
        """Have the broker confirm each publish on this channel (to `on_confirm`).

        :raises ChannelClosed: as `call` does.
        :raises ConnectionLost: as `call` does.
        """
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
        """Publish one message; not for the hot path.

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
        """Acknowledge one delivery. On a closed channel the broker has already taken it back."""
        if self.state is ChannelState.OPEN:
            self.connection.send(frames.ack(self.number, delivery_tag))

    async def close(self) -> None:
        """Close the channel. By then the broker has everything that was published on it.

        Never raises. Without close-ok in `METHOD_TIMEOUT` it ends at this side alone.
        """
        self.abandon()
        if self._ended is not None and self.closed is None and not self.connection.blocked:
            await asyncio.wait((self._ended,), timeout=METHOD_TIMEOUT)
        self.end(self._closed_by_us(), quiet=True)

    def abandon(self) -> None:
        """Begin to close the channel, without waiting; close-ok frees its number."""
        if self.state is not ChannelState.OPEN:
            return
        self._advance(ChannelEvent.CLOSE_SENT)
        self._ended = self.connection.loop.create_future()
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
        elif isinstance(method, methods.Channel.CloseOk) and self._ended is not None:
            self._advance(ChannelEvent.CLOSE_OK)
            self.end(self._closed_by_us(), quiet=True)
        elif isinstance(method, methods.Basic.Cancel):
            tag = method.consumer_tag
            self.consumers.pop(tag, None)
            if self.on_cancel is not None:
                self.on_cancel(tag)
        elif isinstance(method, methods.Channel.Flow):
            self.connection.send(
                frames.method_frame(self.number, methods.Channel.FlowOk(active=method.active))
            )
        else:
            self._answered(method)

    def _answered(self, method: AMQPMethod) -> None:
        """Give an answer to the first caller that waits for one of its kind.

        That may not be the first caller: RabbitMQ answers basic.consume once the queue's own
        process has taken the consumer, and other methods meanwhile.
        """
        if not self._answers:
            if self.closed is None:  # else it answers what was asked before this side closed
                where = self.connection, self.number
                log.warning("%s: channel %d got %s unasked", *where, method.name)
            return
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
        """Tell everyone who waits on the channel that it has ended; nobody is told twice.

        :param quiet: whether to leave out `on_close`.
        """
        if self.closed is not None:
            return
        self.closed = error
        self._advance(ChannelEvent.ENDED)
        if self._ended is not None and not self._ended.done():
            self._ended.set_result(None)
        self.consumers.clear()
        while self._answers:
            answer, _ = self._answers.popleft()
            if not answer.done():
                answer.set_exception(error)
                answer.exception()  # nobody may wait for it any more
        if self.on_close is not None and not quiet:
            self.connection.tell(self.on_close, error)

    def _advance(self, event: ChannelEvent) -> None:
        before, self.state = self.state, CHANNEL.get((self.state, event), self.state)
        if self.state is ChannelState.CLOSED is not before:
            self.connection.release(self)

    def _closed_by_us(self) -> ChannelClosed:
        return ChannelClosed(ReplyCode.SUCCESS, f"channel {self.number} was closed by this side")
