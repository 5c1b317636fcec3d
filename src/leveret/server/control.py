"""The control queue: takes cancels and questions to a server (docs/protocol.md, Control).

Every server instance binds a queue of its own to `all`, to each of its services, and to
`<service>.<instance>`. Anybody may write there. So `wire/control.py` reads every message, and each
costs the same time, whether it names a call that is here or not.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable
from math import inf
from typing import Final

import msgspec
from msgspec import Struct

from leveret.amqp import methods
from leveret.amqp.codes import ReplyCode
from leveret.amqp.events import Delivery
from leveret.amqp.frames import on_channel
from leveret.amqp.properties import Properties
from leveret.errors import ChannelClosed, LeveretError, MaybeExecuted
from leveret.streaming import Credit
from leveret.transport.channel import Channel
from leveret.transport.connection import Connection
from leveret.transport.states import ChannelState
from leveret.wire.channel_errors import size_at_fault
from leveret.wire.control import (
    BEGIN,
    AboutStarted,
    Answer,
    Begins,
    CallForAll,
    Cancel,
    Confirmed,
    DrainServers,
    GivesCredit,
    Inquiry,
    Query,
    Rebind,
    SinceWhen,
    StopCalls,
    read,
)
from leveret.wire.failures import ERROR_CONTENT_TYPE, encode_failure
from leveret.wire.message import CallKey, ReplyAddress
from leveret.wire.native.names import CONTROL_EXCHANGE, ERROR, RESULT
from leveret.wire.native.topology import bind_control_queue
from leveret.wire.server_answers import (
    Calls,
    Consumes,
    Contracts,
    Draining,
    Info,
    Ping,
    Stats,
    Stopped,
)

log = logging.getLogger("leveret.server")

_ASKED_FOR: Final = 10.0
"""Seconds for which a question to other servers may wait in their queues."""
_DELETED_WITHIN: Final = 1.0
"""Seconds that the broker has to delete the queue of a server that ends."""
_UNANSWERED: Final = 1_000
"""How many inquiries may wait for a full socket; further ones are not answered."""


class ControlHandlers(Struct, frozen=True, kw_only=True):
    """The handlers of control messages."""

    cancel: Callable[[CallKey, float], None]
    """The caller of a call waits no more; its request may still come within this number of
    seconds."""
    confirmed: Callable[[CallKey], None]
    """The caller of a call still waits."""
    credited: Callable[[CallKey, Credit], None]
    """The caller of a stream says what it has received, and how much more it takes."""
    query: Callable[[ReplyAddress, set[str]], None]
    """A client asks what became of some of its calls."""
    call_for_all: Callable[[CallForAll], None]
    """A call that every server of a service is to run."""
    rebind: Callable[[], None]
    """A client found that its requests do not reach a queue of this server."""
    ping: Callable[[], Ping]
    """Gives the server's identity."""
    info: Callable[[], Info]
    """What it serves."""
    stats: Callable[[], Stats]
    """How it stands."""
    contracts: Callable[[], Contracts]
    """The hashes of its contracts."""
    calls: Callable[[str], Calls]
    """Which calls it has, for this user of the broker."""
    stop: Callable[[set[str], str], Stopped]
    """This user of the broker wants these calls cancelled."""
    drain: Callable[[set[str], str], Draining | None]
    """This user of the broker wants these servers to drain; None if this one is not among them."""
    started: Callable[[AboutStarted], None]
    """A client asks about a started call."""
    consumes: Callable[[str], Consumes | None]
    """For how long it has consumed a queue; None if it does not serve that."""
    begins: Callable[[str, str], None]
    """A server, the second, is about to consume the queues of a service, the first."""
    answered: Callable[[bytes], None]
    """Another server answers a question of this one (`Control.ask`)."""


class Control:
    """Listens on the control queue, on one channel after the other; a member of the link.

    :param keys: the routing keys that reach this server.
    :param restore: has the link attach this again.
    :param on_attached: is told of each channel before messages come on it.
    """

    def __init__(
        self,
        handlers: ControlHandlers,
        keys: Iterable[str],
        restore: Callable[[Control], None],
        on_attached: Callable[[Channel, Connection], None],
    ) -> None:
        self.largest = inf
        """Bytes of the largest message that the broker takes, as far as is known."""
        self.listening = asyncio.Event()
        """Set while messages come in."""
        self._handlers = handlers
        self._keys = tuple(keys)
        self._restore = restore
        self._on_attached = on_attached
        self._channel: Channel | None = None
        self._queue = ""
        self._answers = False
        self._unanswered: deque[Inquiry] = deque()
        self._answering: asyncio.Task[None] | None = None

    def __str__(self) -> str:
        return "the control queue"

    async def attach(self, connection: Connection) -> Channel:
        """Listen on this connection from now on.

        :raises LeveretError: if that fails; then the link tries again.
        """
        channel = self._channel = await connection.open_channel()
        self._on_attached(channel, connection)
        try:
            await self._listen(channel)
        except BaseException:
            channel.abandon()
            raise
        channel.on_cancel = self._on_cancel
        channel.on_close = self._on_close
        self.listening.set()
        return channel

    async def _listen(self, channel: Channel) -> None:
        declared = await channel.declare_queue("", exclusive=True)
        self._queue = declared.queue or ""
        await self.bind(channel)
        await channel.consume(self._queue, self._on_message, no_ack=True)

    async def bind(self, channel: Channel) -> None:
        """Bind the control queue, which exists.

        :raises LeveretError: if it cannot be bound.
        """
        for key in self._keys:
            await bind_control_queue(channel, self._queue, key)

    def _on_cancel(self, _tag: str) -> None:
        if self._channel is not None:
            self._channel.abandon()
            self._channel.end(ChannelClosed(ReplyCode.NOT_FOUND, "the control queue was deleted"))

    def _on_close(self, error: LeveretError) -> None:
        sizes = size_at_fault(error)
        if sizes is not None:
            log.error("the broker did not take an answer to a client's question: %s", error)
            self.largest = sizes[1]
        self.listening.clear()
        self._unanswered.clear()
        self._restore(self)

    async def ask(self, word: str, key: str) -> None:
        """Ask the servers under a routing key; `ControlHandlers.answered` gets the answers.

        The question is sent on a channel of its own, as the broker may close the channel for it.

        :param word: "ping", "info", "stats" or "contracts".
        :raises LeveretError: if it cannot be sent now.
        """
        properties = Properties(
            type=word,
            correlation_id=word,
            reply_to=self._queue,
            expiration=str(int(_ASKED_FOR * 1000)),
        )
        await self._publish_apart([key], properties, b"")

    async def say_begin(self, services: Iterable[str], instance: str) -> None:
        """Tell the servers of some services that one begins to consume their queues.

        :raises LeveretError: if they cannot be told now.
        """
        await self._publish_apart(services, Properties(type=BEGIN), instance.encode())

    async def _publish_apart(
        self, keys: Iterable[str], properties: Properties, body: bytes
    ) -> None:
        """Publish to all of these keys on one channel apart, unless the broker is blocked."""
        channel = self._channel
        if channel is None or channel.closed is not None or channel.connection.blocked:
            return
        apart = await channel.connection.open_channel()
        try:
            for key in keys:
                apart.publish(CONTROL_EXCHANGE, key, properties, body)
        finally:
            await apart.close()

    def reply(self, frames: bytes) -> None:
        """Send a reply for a queue that is out of reach, unless the socket is full.

        The reply is also kept, and sent again once its queue is back.
        """
        channel = self._writable()
        if channel is not None:
            channel.connection.send(on_channel(frames, channel.number))

    def tell(self, reply_to: ReplyAddress, name: str, body: bytes) -> None:
        """Answer a question about a started call; if the socket is full, it is asked again."""
        channel = self._writable()
        if channel is None:
            return
        channel.publish(
            reply_to.exchange,
            reply_to.key,
            Properties(content_type="application/msgpack", correlation_id=name, type=RESULT),
            body,
        )

    def unknown_stream(self, key: CallKey) -> None:
        """Tell a caller that its stream is not here; if the socket is full, it asks again."""
        channel, (reply_to, call_id) = self._writable(), key
        if channel is None:
            return
        assert reply_to is not None
        error = MaybeExecuted("the stream is not at this server any more")
        channel.publish(
            reply_to.exchange,
            reply_to.key,
            Properties(content_type=ERROR_CONTENT_TYPE, correlation_id=call_id, type=ERROR),
            encode_failure(error),
        )

    def _writable(self) -> Channel | None:
        """The channel, if messages can be sent on it at this moment."""
        channel = self._channel
        if channel is None or channel.state is not ChannelState.OPEN:
            return None
        return None if channel.connection.writer.paused else channel

    async def close(self) -> None:
        """Stop listening, and delete the queue, so that those who write to it notice at once.

        The link must have released this member before.
        """
        if self._answering is not None:
            self._answering.cancel()
            await asyncio.wait((self._answering,))
        if self._channel is not None:
            self._channel.on_close = None
            self._channel.on_cancel = None
            await self._delete(self._channel)
            await self._channel.close()

    async def _delete(self, channel: Channel) -> None:
        """Delete the queue now: the broker would do so only when the connection ends."""
        if channel.closed is None and self._queue and not channel.connection.blocked:
            try:
                async with asyncio.timeout(_DELETED_WITHIN):
                    await channel.call(methods.Queue.Delete(queue=self._queue))
            except (LeveretError, TimeoutError) as error:
                log.debug("the control queue is not deleted: %s", error)

    # -- messages ----------------------------------------------------------------------------------

    def _on_message(self, delivery: Delivery) -> None:  # noqa: C901, PLR0912 - a word, a case
        try:
            message = read(delivery)
        except ValueError as error:
            log.warning("control: %s", error)
            return
        match message:
            case Cancel(key=key, seconds=seconds):
                self._handlers.cancel(key, seconds)
            case Confirmed(key=key):
                self._handlers.confirmed(key)
            case GivesCredit(key=key, credit=credit):
                self._handlers.credited(key, credit)
            case Query(reply_to=reply_to, call_ids=call_ids):
                self._handlers.query(reply_to, call_ids)
            case Answer(body=body):
                self._handlers.answered(body)
            case AboutStarted():
                self._handlers.started(message)
            case CallForAll():
                self._handlers.call_for_all(message)
            case Rebind():
                self._handlers.rebind()
            case Inquiry() if message.reply_to is not None:
                self._inquired(message)
            case SinceWhen(queue=queue, reply_to=reply_to, correlation_id=name):
                self._say(reply_to, name, self._handlers.consumes(queue))
            case Begins(service=service, instance=instance):
                self._handlers.begins(service, instance)
            case StopCalls() | DrainServers():
                self._ordered(message)

    def _ordered(self, order: StopCalls | DrainServers) -> None:
        """Do what an operator wants, and answer; a server that is not named does not answer."""
        answer: Ping | None
        if isinstance(order, StopCalls):
            stopped = self._handlers.stop(order.call_ids, order.user)
            answer = stopped if stopped.stopped or stopped.refused else None
        else:
            answer = self._handlers.drain(order.instances, order.user)
        if order.reply_to is not None:
            self._say(order.reply_to, order.correlation_id, answer)

    def answer_questions(self) -> None:
        """The methods can be called from now on: who asks what is here may know of them."""
        self._answers = True
        if self._channel is not None and self._unanswered:
            self._begin_answering(self._channel)

    def _inquired(self, inquiry: Inquiry) -> None:
        """Answer now, or once the socket takes it. Only the question waits, which is small."""
        channel = self._channel
        if channel is None:
            return
        if self._answers and not channel.connection.writer.paused and not self._unanswered:
            self._answer(channel, inquiry)
        elif len(self._unanswered) < _UNANSWERED:
            self._unanswered.append(inquiry)
            if self._answers:
                self._begin_answering(channel)

    def _begin_answering(self, channel: Channel) -> None:
        if self._answering is None or self._answering.done():
            self._answering = channel.connection.loop.create_task(self._answer_later(channel))

    async def _answer_later(self, channel: Channel) -> None:
        try:
            while self._unanswered:
                await channel.connection.writable()
                if self._unanswered:
                    self._answer(channel, self._unanswered.popleft())
        except LeveretError:
            pass  # the channel has ended, and whoever asked asks again

    def _answer(self, channel: Channel, inquiry: Inquiry) -> None:
        answers: dict[str, Callable[[], Ping]] = {
            "ping": self._handlers.ping,
            "info": self._handlers.info,
            "stats": self._handlers.stats,
            "contracts": self._handlers.contracts,
            "calls": lambda: self._handlers.calls(inquiry.user),
        }
        assert inquiry.reply_to is not None
        _publish(channel, inquiry.reply_to, inquiry.correlation_id, answers[inquiry.about]())

    def _say(self, reply_to: ReplyAddress, name: str | None, answer: Struct | None) -> None:
        """Answer at once, unless the socket is full. None: it has no answer."""
        channel = self._writable()
        if channel is not None and answer is not None:
            _publish(channel, reply_to, name, answer)


def _publish(channel: Channel, reply_to: ReplyAddress, name: str | None, answer: Struct) -> None:
    properties = Properties(content_type="application/json", correlation_id=name, type=RESULT)
    channel.publish(reply_to.exchange, reply_to.key, properties, msgspec.json.encode(answer))
