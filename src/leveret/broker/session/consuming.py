"""The methods that take messages: consume, cancel, get, qos, recover, reject. Pure."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, Final

from leveret.amqp import methods
from leveret.amqp.codes import BASIC_DELIVER
from leveret.amqp.events import Nack
from leveret.amqp.properties import short_string
from leveret.broker.model.argument_checks import check_consumer
from leveret.broker.model.consumers import Consumer
from leveret.broker.names import new_name
from leveret.broker.refusals import (
    access_refused,
    no_get,
    not_allowed,
    not_implemented,
    precondition,
)
from leveret.broker.session.accepting import REPLY_TO_PSEUDO_QUEUE
from leveret.broker.session.channel import Channel, Consuming
from leveret.broker.session.topology import Answer, named_queue


def _consume(channel: Channel, method: methods.Basic.Consume) -> Answer:
    tag = method.consumer_tag
    if tag in channel.consumers:
        raise not_allowed(f"attempt to reuse consumer tag '{tag}'")
    tag = tag or new_name("amq.ctag-")
    if method.queue == REPLY_TO_PSEUDO_QUEUE:
        if not method.no_ack:
            raise precondition("reply consumer cannot acknowledge")
        if channel.reply_key is not None:
            raise precondition("reply consumer already set")
        channel.consume_replies(tag, deliver_start(tag))
        return methods.Basic.ConsumeOk(consumer_tag=tag)
    name = named_queue(channel, method.queue)
    channel.context.rights.check("read", "queue", name)
    queue = channel.vhost.queue(name, channel.context.connection)
    described = f"queue '{name}' in vhost '{channel.vhost.name}'"
    options = queue.options
    if not options.quorum and (
        queue.consumers.exclusive
        or (method.exclusive and (queue.consumers.count or options.single_active_consumer))
    ):
        raise access_refused(f"{described} in exclusive use")
    if options.quorum and channel.prefetch:
        raise not_implemented(f"{described} does not support global qos")
    arguments = method.arguments
    check_consumer(arguments, described, quorum=options.quorum)
    consumer = Consumer(
        tag,
        channel,
        no_ack=method.no_ack,
        exclusive=method.exclusive,
        prefetch=channel.consumer_prefetch,
        priority=arguments.get("x-priority", 0),
    )
    if not method.nowait:
        channel.reply(methods.Basic.ConsumeOk(consumer_tag=tag))  # before its first message
    channel.consume(Consuming(consumer=consumer, queue=queue, start=deliver_start(tag)))
    return None


def deliver_start(tag: str) -> bytes:
    """How the payload of a consumer's basic.deliver begins."""
    return struct.pack(">I", BASIC_DELIVER) + short_string(tag)


def _cancel(channel: Channel, method: methods.Basic.Cancel) -> Answer:
    tag = method.consumer_tag
    channel.drop_consumer(tag)
    return methods.Basic.CancelOk(consumer_tag=tag)


def _qos(channel: Channel, method: methods.Basic.Qos) -> Answer:
    if method.prefetch_size:
        raise not_implemented(f"prefetch_size!=0 ({method.prefetch_size})")
    channel.reply(methods.Basic.QosOk())
    if method.global_:
        if not channel.prefetch:
            channel.unacked.count_gets()
        channel.prefetch = method.prefetch_count
    else:
        channel.consumer_prefetch = method.prefetch_count
        channel.prefetch = 0  # as in RabbitMQ: that of consumers lifts that of the channel
    channel.wake()
    return None


def _get(channel: Channel, method: methods.Basic.Get) -> Answer:
    name = named_queue(channel, method.queue)
    channel.context.rights.check("read", "queue", name)
    queue = channel.vhost.queue(name, channel.context.connection)
    if queue.options.quorum and queue.options.single_active_consumer:
        raise no_get(name, channel.vhost.name)
    entry = queue.get(method.no_ack)
    if entry is None:
        return methods.Basic.GetEmpty()
    ledger = channel.unacked
    message = entry.message
    channel.reply(
        methods.Basic.GetOk(
            delivery_tag=ledger.next_tag() if method.no_ack else ledger.add(entry, queue, None),
            redelivered=entry.redelivered,
            exchange=message.exchange,
            routing_key=message.routing_key,
            message_count=queue.ready,
        )
    )
    packed = entry.counted() if queue.options.quorum else message.packed
    channel.output.send_content(channel.number, packed, message.body)
    return None


def _reject(channel: Channel, method: methods.Basic.Reject) -> Answer:
    channel.nack(Nack(channel.number, method.delivery_tag, False, method.requeue))
    return None


def _recover(
    channel: Channel, method: methods.Basic.Recover | methods.Basic.RecoverAsync
) -> Answer:
    if not method.requeue:
        raise not_implemented("requeue=false")
    if isinstance(method, methods.Basic.Recover):
        channel.reply(methods.Basic.RecoverOk())
    channel.requeue(channel.unacked.take_all())
    return None


CONSUMING: Final[dict[type[Any], Callable[[Channel, Any], Answer]]] = {
    methods.Basic.Consume: _consume,
    methods.Basic.Cancel: _cancel,
    methods.Basic.Qos: _qos,
    methods.Basic.Get: _get,
    methods.Basic.Reject: _reject,
    methods.Basic.Recover: _recover,
    methods.Basic.RecoverAsync: _recover,
}
