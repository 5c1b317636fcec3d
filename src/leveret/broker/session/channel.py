"""The broker's end of a channel: publishing, delivering, acknowledging. Pure.

What is no hot path is in tables of methods: `topology`, `consuming` and `modes`.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, Final

from leveret.amqp import methods
from leveret.amqp.codes import ReplyCode
from leveret.amqp.events import Ack, Nack
from leveret.broker.model.consumers import Consumer
from leveret.broker.model.messages import Entry, Message
from leveret.broker.model.queues import Queue
from leveret.broker.names import new_name
from leveret.broker.refusals import Refused, access_refused, not_implemented, precondition
from leveret.broker.session.accepting import REPLY_TO_PSEUDO_QUEUE, accept
from leveret.broker.session.confirming import Confirming
from leveret.broker.session.consuming import CONSUMING
from leveret.broker.session.modes import MODES
from leveret.broker.session.received import Published
from leveret.broker.session.topology import TOPOLOGY
from leveret.broker.session.transactions import Transaction
from leveret.broker.session.unacked import Ledger, Unacked

if TYPE_CHECKING:
    from leveret.broker.session.session import Session

_FRAME = struct.Struct(">BHI")
_TAG = struct.Struct(">QB")
_OF_REPLIES: Final = 1
"""The delivery tag of every direct reply: none can be acknowledged."""
_METHODS: Final[dict[type[Any], Any]] = {**TOPOLOGY, **CONSUMING, **MODES}


class Channel:
    """One channel of a session.

    `closing` is set once this side has closed it: until the client answers, all that comes on it
    is dropped. `prefetch` is for all of its consumers together, `consumer_prefetch` for each that
    is made from now on. `reply_key` is where its direct replies come, if it consumes any.
    """

    def __init__(self, session: Session, number: int) -> None:
        self.session = session
        self.output = session.output
        self.number = number
        self.vhost = session.vhost
        self.closing = False
        self.last_queue = ""
        self.prefetch = 0
        self.consumer_prefetch = 0
        self.consumers: dict[str, Consumer] = {}
        self.unacked = Ledger()
        self.reply_key: str | None = None
        self.reply_tag = ""
        self.confirming: Confirming | None = None
        self.transaction: Transaction | None = None
        self._confirm_due = False

    def handle(self, method: Any) -> None:
        """Do what a method asks.

        :raises Refused: if it cannot be done.
        """
        do = _METHODS.get(type(method))
        if do is None:
            raise Refused(ReplyCode.COMMAND_INVALID, "unimplemented method")
        answer = do(self, method)
        if answer is not None and not getattr(method, "nowait", False):
            self.reply(answer)

    def reply(self, method: methods.AMQPMethod) -> None:
        """Send a method, after the confirms of what was published before."""
        self.tell_confirms()
        self.output.send_method(self.number, method)

    def end(self) -> None:
        """The channel is gone: its consumers too, what it has not acknowledged goes back."""
        self.closing = True
        self.drop_consumer(self.reply_tag)
        if self.transaction is not None:
            self.transaction.roll_back()
        held: dict[Queue, list[Entry]] = {one.queue: [] for one in self.consumers.values()}
        for entry, queue, _ in self.unacked.take_all():
            held.setdefault(queue, []).append(entry)
        self.consumers.clear()
        for queue, entries in held.items():
            queue.channel_gone(self, entries)

    # -- publishing --------------------------------------------------------------------------

    def publish(self, publish: Published) -> None:
        """Take a message and route it; within a transaction, no queue has it before the commit.

        :raises Refused: if it is invalid, or cannot be published there.
        """
        message = self._check(publish)
        vhost = self.vhost
        queues = vhost.route(vhost.exchange(message.exchange), message)
        if vhost.reply_channels and not message.exchange:
            vhost.reply_directly(message)
        if self.transaction is None:
            self._publish(message, queues, publish.mandatory)
        else:
            self.transaction.publish(message, queues, publish.mandatory)

    def _check(self, publish: Published) -> Message:
        session = self.session
        name = publish.exchange
        if publish.immediate:
            raise not_implemented("immediate=true")
        if name not in session.rights.writable:
            session.rights.check("write", "exchange", name)
        if self.vhost.exchange(name).internal:
            raise access_refused(
                f"cannot publish to internal exchange '{name}' in vhost '{self.vhost.name}'"
            )
        return accept(
            publish,
            user_name=session.user_name,
            user=session.user,
            reply_key=self.reply_key,
            max_size=session.node.limits.max_message_size,
        )

    def _publish(self, message: Message, queues: tuple[Queue, ...], mandatory: bool) -> None:
        if mandatory and not queues:
            self.send_back(message)
        taken = True
        for queue in queues:
            if not queue.publish(message):
                taken = False
        if self.confirming is not None:
            told = self.confirming.decide(taken)
            if told:
                self.output.send(told)
            if not self._confirm_due:
                self._confirm_due = True
                self.session.node.confirming.append(self)

    def send_back(self, message: Message) -> None:
        """Return a mandatory message that no queue gets."""
        returned = methods.Basic.Return(
            reply_code=int(ReplyCode.NO_ROUTE),
            reply_text=ReplyCode.NO_ROUTE.name,
            exchange=message.exchange,
            routing_key=message.routing_key,
        )
        self.output.send_method(self.number, returned)
        self.output.send_content(self.number, message.packed, message.body)

    def tell_confirms(self) -> None:
        """Send the confirms of what was published since the last time."""
        self._confirm_due = False
        if self.confirming is not None:
            told = self.confirming.collect()
            if told:
                self.output.send(told)

    # -- delivering --------------------------------------------------------------------------

    def has_room(self, no_ack: bool) -> bool:
        """Whether another message may be sent on it."""
        return self.output.room and (
            not self.prefetch or no_ack or self.unacked.in_flight < self.prefetch
        )

    def deliver(self, consumer: Consumer, entry: Entry) -> None:
        """Send a message to a consumer."""
        ledger = self.unacked
        if consumer.no_ack:
            ledger.last_tag = tag = ledger.last_tag + 1
        else:
            tag = ledger.add(entry, consumer.queue, consumer)
        packed = entry.counted() if entry.delivery_count else entry.message.packed
        self._deliver(consumer.start, tag, entry.redelivered, entry.message, packed)

    def _deliver(
        self, start: bytes, tag: int, redelivered: bool, message: Message, packed: bytes
    ) -> None:
        payload = start + _TAG.pack(tag, redelivered) + message.route
        output = self.output
        output.send(_FRAME.pack(1, self.number, len(payload)) + payload + b"\xce")
        output.send_content(self.number, packed, message.body)

    def consumer_gone(self, consumer: Consumer) -> None:
        """Its queue was deleted: tell the client, if it wants to know."""
        self.consumers.pop(consumer.tag, None)
        if self.session.wants_cancel_notify and not self.closing:
            self.session.node.cancelled.append((self, consumer.tag))

    def tell_cancelled(self, tag: str) -> None:
        """Send the news of a consumer whose queue was deleted.

        https://www.rabbitmq.com/docs/consumer-cancel
        """
        if not self.closing:
            self.reply(methods.Basic.Cancel(consumer_tag=tag, nowait=True))

    def wake(self) -> None:
        """There is room again: its consumers that were passed over take their turns."""
        waiting = {consumer.queue for consumer in self.consumers.values() if consumer.waiting}
        for queue in waiting:
            queue.consumers.wake_all(self)
            queue.run()

    def drop_consumer(self, tag: str) -> None:
        """It takes no more; what it has it keeps. That there is none is no error."""
        if tag and tag == self.reply_tag:
            self.vhost.reply_channels.pop(self.reply_key or "", None)
            self.reply_key, self.reply_tag = None, ""
            return
        consumer = self.consumers.pop(tag, None)
        if consumer is not None and not consumer.queue.deleted:
            consumer.queue.remove_consumer(consumer)

    def consume_replies(self, tag: str, start: bytes) -> None:
        """Take direct replies (https://www.rabbitmq.com/docs/direct-reply-to)."""
        self.reply_key = new_name(REPLY_TO_PSEUDO_QUEUE + ".")
        self.reply_tag = tag

        def deliver(message: Message) -> None:
            self._deliver(start, _OF_REPLIES, False, message, message.packed)

        self.vhost.reply_channels[self.reply_key] = deliver

    # -- acknowledging -----------------------------------------------------------------------

    def ack(self, ack: Ack) -> None:
        """basic.ack. :raises Refused: if the tag is unknown."""
        if self.transaction is not None:
            tags = self.unacked.tags(ack.delivery_tag, ack.multiple)
            self.transaction.settle(tags, "acked")
            return
        if ack.multiple:
            taken = self.unacked.take(self.unacked.tags(ack.delivery_tag, True))
        else:
            one = self.unacked.take_one(ack.delivery_tag)
            if one is None:
                raise precondition(f"unknown delivery tag {ack.delivery_tag}")
            taken = [one]
        self.acked(taken)

    def nack(self, nack: Nack) -> None:
        """basic.nack and basic.reject. :raises Refused: if the tag is unknown."""
        tags = self.unacked.tags(nack.delivery_tag, nack.multiple)
        if self.transaction is not None:
            self.transaction.settle(tags, "requeued" if nack.requeue else "rejected")
        elif nack.requeue:
            self.put_back(self.unacked.take(tags))
        else:
            self.reject(self.unacked.take(tags))

    def acked(self, taken: list[Unacked]) -> None:
        """Deliveries were acknowledged."""
        for entry, queue, _ in taken:
            queue.ack(entry)
        self._freed(taken)

    def reject(self, taken: list[Unacked]) -> None:
        """Deliveries were rejected for good."""
        for entry, queue, _ in taken:
            queue.reject(entry)
        self._freed(taken)

    def put_back(self, taken: list[Unacked]) -> None:
        """Requeue deliveries."""
        by_queue: dict[Queue, list[Entry]] = {}
        for entry, queue, _ in taken:
            by_queue.setdefault(queue, []).append(entry)
        for queue, entries in by_queue.items():
            queue.put_back(entries)
        self._freed(taken)

    def _freed(self, taken: list[Unacked]) -> None:
        """Deliveries were settled: whoever waited for that takes its turn."""
        if self.prefetch:
            self.wake()
            return
        for _, queue, consumer in taken:
            if consumer is not None and consumer.waiting and consumer.has_room():
                queue.consumers.wake(consumer)
                queue.run()
