"""The broker's end of a channel: publishing, delivering, acknowledging. Pure.

The methods that are not on the hot path are functions that take a channel: `topology`, `consuming`
and `modes`, found by `dispatch`.
"""

from __future__ import annotations

import struct
from collections import Counter, deque
from dataclasses import dataclass

from leveret.amqp import methods
from leveret.amqp.codes import ReplyCode
from leveret.amqp.events import Ack, Nack
from leveret.amqp.methods import AMQPMethod
from leveret.broker.model.consumers import Consumer
from leveret.broker.model.messages import Entry, Message
from leveret.broker.model.queues import Queue
from leveret.broker.model.vhost import VHost
from leveret.broker.names import new_name
from leveret.broker.permissions import Rights, User
from leveret.broker.refusals import access_refused, not_implemented, precondition
from leveret.broker.session.accepting import REPLY_TO_PSEUDO_QUEUE, accept
from leveret.broker.session.batch import Batch
from leveret.broker.session.confirming import Confirming
from leveret.broker.session.output import Output
from leveret.broker.session.received import Published
from leveret.broker.session.transactions import Outcome, Settled, Staged, Transaction
from leveret.broker.session.unacked import Ledger, Unacked

_FRAME = struct.Struct(">BHI")
_TAG = struct.Struct(">QB")


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelContext:
    """What all channels of one connection share."""

    connection: object
    """The owner of the connection's exclusive queues; compared by identity."""
    vhost: VHost
    """The vhost that the connection opened."""
    user: User
    """The user that logged in."""
    user_name: str
    """The user's name."""
    rights: Rights
    """What the user may do in the vhost."""
    output: Output
    """The frames that wait to be written to the client."""
    batch: Batch
    """Work that is due at the end of the pass."""
    channels_of: Counter[str]
    """How many channels each user of the broker has."""
    max_message_size: int
    """Bytes of the largest message body."""
    cancel_notify: bool
    """Whether the client wants to be told when a consumer's queue is deleted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Consuming:
    """A consumer of this channel, and what its deliveries need."""

    consumer: Consumer
    """The consumer, as its queue knows it."""
    queue: Queue
    """The queue that it consumes from."""
    start: bytes
    """How the payload of each of its basic.deliver begins: the method's ids and the tag."""


class Channel:
    """One channel of a connection."""

    def __init__(self, context: ChannelContext, number: int) -> None:
        self.context = context
        self.number = number
        self.vhost = context.vhost
        self.output = context.output
        self.closing = False
        """Whether the broker has closed it.

        What still comes on it is dropped until the client answers.
        """
        self.mode: Confirming | Transaction | None = None
        """How it publishes: with confirms, in transactions, or (None) neither."""
        self.last_queue = ""
        """The name of the queue that was declared last; methods without a name mean it."""
        self.prefetch = 0
        """Unacknowledged messages that all its consumers together may have; 0 for any number."""
        self.consumer_prefetch = 0
        """The same for each consumer that begins from now on."""
        self.consumers: dict[str, Consuming] = {}
        """By consumer tag."""
        self.unacked = Ledger()
        self.reply_key: str | None = None
        """The routing key of its direct replies, if it consumes any."""
        self._last_turn: Queue | None = None  # the queue that delivered last when it was woken
        self._reply_tag = ""
        self._confirm_due = False

    def reply(self, method: AMQPMethod) -> None:
        """Send a method, after the confirms of what was published before."""
        self.send_confirms()
        self.output.send_method(self.number, method)

    def end(self) -> None:
        """End the channel: cancel its consumers and requeue what is unacknowledged."""
        self.closing = True
        self.drop_consumer(self._reply_tag)
        if isinstance(self.mode, Transaction):
            self.mode.roll_back()
        held: dict[Queue, list[Entry]] = {one.queue: [] for one in self.consumers.values()}
        for entry, queue, _ in self.unacked.take_all():
            held.setdefault(queue, []).append(entry)
        for queue, entries in held.items():
            queue.end_channel(self, entries)
        self.consumers.clear()

    # -- publishing --------------------------------------------------------------------------

    def publish(self, publish: Published) -> None:
        """Take a message and route it. In a transaction, queues get it at the commit.

        :raises Refused: if it is invalid, or cannot be published there.
        """
        message = self._check(publish)
        vhost = self.vhost
        queues = vhost.router.route(vhost.exchange(message.exchange), message)
        if vhost.reply_channels and not message.exchange:
            vhost.reply_directly(message)
        mode = self.mode
        if mode is None:
            self._publish(message, queues, publish.mandatory)
        elif isinstance(mode, Confirming):
            self._confirm(mode, self._publish(message, queues, publish.mandatory))
        else:
            mode.publish(message, queues, publish.mandatory)

    def _check(self, publish: Published) -> Message:
        context = self.context
        name = publish.exchange
        if publish.immediate:
            raise not_implemented("immediate=true")
        if name not in context.rights.writable:
            context.rights.check("write", "exchange", name)
        if self.vhost.exchange(name).internal:
            raise access_refused(
                f"cannot publish to internal exchange '{name}' in vhost '{self.vhost.name}'"
            )
        return accept(
            publish,
            user_name=context.user_name,
            user=context.user,
            reply_key=self.reply_key,
            max_size=context.max_message_size,
        )

    def _publish(self, message: Message, queues: tuple[Queue, ...], mandatory: bool) -> bool:
        """Put a message into queues. Returns whether all of them took it."""
        if mandatory and not queues:
            self._return(message)
        taken = True
        for queue in queues:
            if not queue.publish(message):
                taken = False
        return taken

    def _return(self, message: Message) -> None:
        """Send a mandatory message back that no queue gets."""
        returned = methods.Basic.Return(
            reply_code=int(ReplyCode.NO_ROUTE),
            reply_text=ReplyCode.NO_ROUTE.name,
            exchange=message.exchange,
            routing_key=message.routing_key,
        )
        self.output.send_method(self.number, returned)
        self.output.send_content(self.number, message.packed, message.body)

    def _confirm(self, confirming: Confirming, taken: bool) -> None:
        due = confirming.decide(taken)
        if due:
            self.output.send(due)
        if not self._confirm_due:
            self._confirm_due = True
            self.context.batch.confirms.append(self.send_confirms)

    def send_confirms(self) -> None:
        """Send the confirms of what was published since the last time."""
        self._confirm_due = False
        if isinstance(self.mode, Confirming):
            due = self.mode.collect()
            if due:
                self.output.send(due)

    def publish_staged(self, staged: list[Staged]) -> bool:
        """Put the messages of a transaction into their queues, as far as these are still there.

        Returns whether no queue refused one.
        """
        existing = self.vhost.queues
        taken = True
        for one in staged:
            queues = tuple(existing[name] for name in one.queues if name in existing)
            taken &= self._publish(one.message, queues, one.mandatory)
        return taken

    # -- delivering --------------------------------------------------------------------------

    def has_room(self) -> bool:
        """Whether another message may be sent on it.

        A used up prefetch also holds back messages that nobody acknowledges, as in RabbitMQ.
        """
        return self.output.room and (not self.prefetch or self.unacked.in_flight < self.prefetch)

    def deliver(self, consumer: Consumer, entry: Entry) -> None:
        """Send a message to a consumer."""
        consuming = self.consumers[consumer.tag]
        ledger = self.unacked
        if consumer.no_ack:
            ledger.last_tag = tag = ledger.last_tag + 1
        else:
            tag = ledger.add(entry, consuming.queue, consumer)
        packed = entry.counted() if entry.delivery_count else entry.message.packed
        self._deliver(consuming.start, tag, entry.redelivered, entry.message, packed)

    def _deliver(
        self, start: bytes, tag: int, redelivered: bool, message: Message, packed: bytes
    ) -> None:
        payload = start + _TAG.pack(tag, redelivered) + message.route
        output = self.output
        output.send(_FRAME.pack(1, self.number, len(payload)) + payload + b"\xce")
        output.send_content(self.number, packed, message.body)

    def on_queue_deleted(self, consumer: Consumer) -> None:
        """Drop a consumer whose queue was deleted, and tell the client if it wants to know.

        https://www.rabbitmq.com/docs/consumer-cancel
        """
        tag = consumer.tag
        self.consumers.pop(tag, None)
        if self.context.cancel_notify and not self.closing:
            self.context.batch.cancels.append(lambda: self._send_cancel(tag))

    def _send_cancel(self, tag: str) -> None:
        if not self.closing:
            self.reply(methods.Basic.Cancel(consumer_tag=tag, nowait=True))

    def wake(self) -> None:
        """Give turns again to its consumers that were passed over, as there may be room.

        Their queues deliver one message each in turn, and the next time go on from there: a full
        queue leaves room to the others. RabbitMQ lets chance decide which queue is first.
        """
        turns = self._waiting_queues()
        for queue in turns:
            queue.consumers.wake_all(self)
        while len(turns) > 1:
            queue = turns.popleft()
            if queue.run(1):
                self._last_turn = queue
                turns.append(queue)
        if turns:
            self._last_turn = turns[0]
            turns[0].run()

    def _waiting_queues(self) -> deque[Queue]:
        """The queues that passed over a consumer of this channel; who had the last turn is last."""
        queues: dict[Queue, bool] = {}
        for one in self.consumers.values():
            queues[one.queue] = queues.get(one.queue, False) or one.consumer.waiting
        order = deque(queues)
        if self._last_turn in queues:
            order.rotate(-1 - order.index(self._last_turn))
        return deque(queue for queue in order if queues[queue])

    def consume(self, consuming: Consuming) -> None:
        """Begin to consume."""
        self.consumers[consuming.consumer.tag] = consuming
        consuming.queue.add_consumer(consuming.consumer)
        consuming.queue.run()

    def drop_consumer(self, tag: str) -> None:
        """Cancel a consumer; what it has stays unacknowledged. An unknown tag is no error."""
        if tag and tag == self._reply_tag:
            self.vhost.reply_channels.pop(self.reply_key or "", None)
            self.reply_key, self._reply_tag = None, ""
            return
        dropped = self.consumers.pop(tag, None)
        if dropped is not None and not dropped.queue.deleted:
            dropped.queue.remove_consumer(dropped.consumer)

    def consume_replies(self, tag: str, start: bytes) -> None:
        """Take direct replies (https://www.rabbitmq.com/docs/direct-reply-to).

        Each has the delivery tag that the next message will have, and does not use it up. None can
        be acknowledged.
        """
        self.reply_key = new_name(REPLY_TO_PSEUDO_QUEUE + ".")
        self._reply_tag = tag

        def deliver(message: Message) -> None:
            tag = self.unacked.last_tag + 1
            self._deliver(start, tag, False, message, message.packed)

        self.vhost.reply_channels[self.reply_key] = deliver

    # -- acknowledging -----------------------------------------------------------------------

    def ack(self, ack: Ack) -> None:
        """basic.ack. :raises Refused: if the tag is unknown."""
        if isinstance(self.mode, Transaction):
            tags = self.unacked.tags(ack.delivery_tag, ack.multiple)
            self.mode.settle(tags, Outcome.ACKED)
            return
        if ack.multiple:
            taken = self.unacked.take(self.unacked.tags(ack.delivery_tag, True))
        else:
            one = self.unacked.take_one(ack.delivery_tag)
            if one is None:
                raise precondition(f"unknown delivery tag {ack.delivery_tag}")
            taken = [one]
        self._ack(taken)

    def nack(self, nack: Nack) -> None:
        """basic.nack and basic.reject. :raises Refused: if the tag is unknown."""
        tags = self.unacked.tags(nack.delivery_tag, nack.multiple)
        if isinstance(self.mode, Transaction):
            self.mode.settle(tags, Outcome.REQUEUED if nack.requeue else Outcome.REJECTED)
        elif nack.requeue:
            self.requeue(self.unacked.take(tags))
        else:
            self._reject(self.unacked.take(tags))

    def settle(self, settled: list[Settled]) -> None:
        """Carry out what a transaction settled."""
        for group in settled:
            match group.outcome:
                case Outcome.ACKED:
                    self._ack(group.deliveries)
                case Outcome.REQUEUED:
                    self.requeue(group.deliveries)
                case Outcome.REJECTED:
                    self._reject(group.deliveries)

    def _ack(self, taken: list[Unacked]) -> None:
        for entry, queue, _ in taken:
            queue.ack(entry)
        self._make_room(taken)

    def _reject(self, taken: list[Unacked]) -> None:
        for entry, queue, _ in taken:
            queue.reject(entry)
        self._make_room(taken)

    def requeue(self, taken: list[Unacked]) -> None:
        """Put deliveries back into their queues."""
        by_queue: dict[Queue, list[Entry]] = {}
        for entry, queue, _ in taken:
            by_queue.setdefault(queue, []).append(entry)
        for queue, entries in by_queue.items():
            queue.requeue(entries)
        self._make_room(taken)

    def _make_room(self, taken: list[Unacked]) -> None:
        """Give turns again to consumers that were passed over until these were settled."""
        if self.prefetch:
            self.wake()
            return
        for _, queue, consumer in taken:
            if consumer is not None and consumer.waiting and consumer.has_room():
                queue.consumers.wake(consumer)
                queue.run()
