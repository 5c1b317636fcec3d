"""The methods that declare, bind and delete exchanges and queues. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from leveret.amqp import methods
from leveret.amqp.codes import ReplyCode
from leveret.broker.model.exchanges import Exchange, check_type
from leveret.broker.model.queues import Queue
from leveret.broker.names import new_name
from leveret.broker.refusals import (
    Refused,
    access_refused,
    not_found,
    not_implemented,
    precondition,
)
from leveret.broker.session.accepting import REPLY_TO_PSEUDO_QUEUE
from leveret.broker.session.channel import Channel

Answer = methods.AMQPMethod | None


# -- exchanges -------------------------------------------------------------------------------


def _declare_exchange(channel: Channel, method: methods.Exchange.Declare) -> Answer:
    context = channel.context
    vhost = channel.vhost
    name = _without_newlines(method.exchange)
    if not method.passive:
        check_type(method.exchange_type)
    _not_default(name)
    if method.passive:
        vhost.exchange(name)
        return methods.Exchange.DeclareOk()
    context.rights.check("configure", "exchange", name)
    arguments = method.arguments
    if name not in vhost.exchanges and name.startswith("amq."):
        raise access_refused(f"exchange name '{name}' contains reserved prefix 'amq.*'")
    alternate = arguments.get("alternate-exchange")
    if isinstance(alternate, str):
        context.rights.check("read", "exchange", name)
        context.rights.check("write", "exchange", alternate)
    vhost.declare_exchange(
        name,
        method.exchange_type,
        durable=method.durable,
        auto_delete=method.auto_delete,
        internal=method.internal,
        arguments=arguments,
    )
    return methods.Exchange.DeclareOk()


def _delete_exchange(channel: Channel, method: methods.Exchange.Delete) -> Answer:
    name = _without_newlines(method.exchange)
    _not_default(name)
    if name.startswith("amq."):
        raise access_refused(
            f"deletion of system exchange '{name}' in vhost '{channel.vhost.name}' not allowed"
        )
    channel.context.rights.check("configure", "exchange", name)
    channel.vhost.delete_exchange(name, if_unused=method.if_unused)
    return methods.Exchange.DeleteOk()


def _bind_exchange(channel: Channel, method: methods.Exchange.Bind) -> Answer:
    destination, source = _two_exchanges(channel, method)
    channel.vhost.bind(destination, source, method.routing_key, method.arguments)
    return methods.Exchange.BindOk()


def _unbind_exchange(channel: Channel, method: methods.Exchange.Unbind) -> Answer:
    try:
        destination, source = _two_exchanges(channel, method)
    except Refused as error:
        if error.reply_code == ReplyCode.NOT_FOUND:
            return methods.Exchange.UnbindOk()  # nothing was bound
        raise
    channel.vhost.unbind(destination, source, method.routing_key, method.arguments)
    return methods.Exchange.UnbindOk()


def _two_exchanges(
    channel: Channel, method: methods.Exchange.Bind | methods.Exchange.Unbind
) -> tuple[Exchange, Exchange]:
    context = channel.context
    destination, source = _without_newlines(method.destination), _without_newlines(method.source)
    _not_default(destination)
    context.rights.check("write", "exchange", destination)
    _not_default(source)
    context.rights.check("read", "exchange", source)
    return channel.vhost.exchange(destination), channel.vhost.exchange(source)


def _without_newlines(name: str) -> str:
    """Drop CR and LF, as RabbitMQ does in the names of what is declared or bound."""
    return name.replace("\r", "").replace("\n", "")


def _not_default(name: str) -> None:
    if not name:
        raise access_refused("operation not permitted on the default exchange")


# -- queues ----------------------------------------------------------------------------------


def _declare_queue(channel: Channel, method: methods.Queue.Declare) -> Answer:
    name = _without_newlines(method.queue)
    if method.passive or name.startswith(REPLY_TO_PSEUDO_QUEUE):
        return _declare_passively(channel, name)
    context = channel.context
    vhost = channel.vhost
    arguments = method.arguments
    if name.startswith("amq."):
        raise access_refused(f"queue name '{name}' contains reserved prefix 'amq.*'")
    checked = name or new_name("amq.gen-")  # as the broker names queues
    context.rights.check("configure", "queue", checked)
    dead_letters_to = arguments.get("x-dead-letter-exchange")
    if isinstance(dead_letters_to, str):
        context.rights.check("read", "queue", checked)
        context.rights.check("write", "exchange", dead_letters_to)
    queue = vhost.declare_queue(
        name,
        context.connection,
        durable=method.durable,
        exclusive=method.exclusive,
        auto_delete=method.auto_delete,
        arguments=arguments,
    )
    return _declared(channel, queue)


def _declare_passively(channel: Channel, name: str) -> Answer:
    if name.startswith(REPLY_TO_PSEUDO_QUEUE):
        if name != REPLY_TO_PSEUDO_QUEUE and name not in channel.vhost.reply_channels:
            raise not_found("queue", name, channel.vhost.name)
        channel.last_queue = name
        return methods.Queue.DeclareOk(queue=name, message_count=0, consumer_count=1)
    queue = channel.vhost.queue(name, channel.context.connection)
    queue.touch()
    return _declared(channel, queue)


def _declared(channel: Channel, queue: Queue) -> Answer:
    channel.last_queue = queue.name
    return methods.Queue.DeclareOk(
        queue=queue.name,
        message_count=queue.ready,
        consumer_count=queue.consumers.count,
    )


def _bind_queue(channel: Channel, method: methods.Queue.Bind) -> Answer:
    queue, exchange, key = _queue_and_exchange(channel, method)
    channel.vhost.bind(queue, exchange, key, method.arguments)
    return methods.Queue.BindOk()


def _unbind_queue(channel: Channel, method: methods.Queue.Unbind) -> Answer:
    try:
        queue, exchange, key = _queue_and_exchange(channel, method)
    except Refused as error:
        if error.reply_code == ReplyCode.NOT_FOUND:
            return methods.Queue.UnbindOk()  # nothing was bound
        raise
    channel.vhost.unbind(queue, exchange, key, method.arguments)
    return methods.Queue.UnbindOk()


def _queue_and_exchange(
    channel: Channel, method: methods.Queue.Bind | methods.Queue.Unbind
) -> tuple[Queue, Exchange, str]:
    context = channel.context
    name = named_queue(channel, _without_newlines(method.queue))
    source = _without_newlines(method.exchange)
    key = method.routing_key
    if not method.queue and not key:
        key = name
    _not_default(source)
    context.rights.check("write", "queue", name)
    context.rights.check("read", "exchange", source)
    exchange = channel.vhost.exchange(source)
    return channel.vhost.queue(name, context.connection), exchange, key


def named_queue(channel: Channel, name: str) -> str:
    """The name of the queue that a method means: without one, the queue declared last.

    :raises Refused: if none was declared on the channel.
    """
    if not name and not channel.last_queue:
        raise Refused(ReplyCode.NOT_FOUND, "no previously declared queue")
    return name or channel.last_queue


def _purge_queue(channel: Channel, method: methods.Queue.Purge) -> Answer:
    name = named_queue(channel, method.queue)
    channel.context.rights.check("read", "queue", name)
    queue = channel.vhost.queue(name, channel.context.connection)
    return methods.Queue.PurgeOk(message_count=queue.purge())


def _delete_queue(channel: Channel, method: methods.Queue.Delete) -> Answer:
    name = named_queue(channel, _without_newlines(method.queue))
    channel.context.rights.check("configure", "queue", name)
    if name not in channel.vhost.queues:
        return methods.Queue.DeleteOk(message_count=0)
    queue = channel.vhost.queue(name, channel.context.connection)
    described = f"queue '{name}' in vhost '{channel.vhost.name}'"
    for given, flag in ((method.if_unused, "if-unused"), (method.if_empty, "if-empty")):
        if given and queue.options.quorum:
            raise not_implemented(
                f"cannot delete {described}. queue.delete operations with {flag} flag set are not"
                " supported by quorum queues"
            )
    if method.if_unused and queue.consumers.count:
        raise precondition(f"{described} in use")
    if method.if_empty and queue.ready:
        raise precondition(f"{described} not empty")
    return methods.Queue.DeleteOk(message_count=channel.vhost.delete_queue(queue))


TOPOLOGY: Final[dict[type[Any], Callable[[Channel, Any], Answer]]] = {
    methods.Exchange.Declare: _declare_exchange,
    methods.Exchange.Delete: _delete_exchange,
    methods.Exchange.Bind: _bind_exchange,
    methods.Exchange.Unbind: _unbind_exchange,
    methods.Queue.Declare: _declare_queue,
    methods.Queue.Bind: _bind_queue,
    methods.Queue.Unbind: _unbind_queue,
    methods.Queue.Purge: _purge_queue,
    methods.Queue.Delete: _delete_queue,
}
