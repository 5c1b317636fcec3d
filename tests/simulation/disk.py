"""What a broker's node finds again when it starts anew: what was durable."""

from __future__ import annotations

from typing import Final

from leveret.broker.model.messages import Entry
from leveret.broker.model.queues import Queue
from leveret.broker.model.vhost import VHost
from leveret.broker.node import Node

_PERSISTENT: Final = 2
"""The delivery mode of messages that outlive their broker (AMQP 0-9-1, basic class)."""


def restore(before: Node, after: Node) -> None:
    """Give a new node the durable exchanges, queues and bindings of the one before.

    Quorum queues have their messages, those that were delivered and not acknowledged among them.
    Classic queues have those that are persistent.
    """
    for session in tuple(before.sessions):
        session.lost()  # what its client held goes back to the queues
    before.end_pass()
    for name, old in before.vhosts.items():
        _restore(old, after.add_vhost(name))


def _restore(old: VHost, new: VHost) -> None:
    for exchange in old.exchanges.values():
        if exchange.durable and exchange.name not in new.exchanges:
            new.declare_exchange(
                exchange.name,
                exchange.kind,
                durable=True,
                auto_delete=exchange.auto_delete,
                internal=exchange.internal,
                arguments=exchange.arguments,
            )
    for queue in old.queues.values():
        if queue.durable and queue.exclusive_to is None:
            made = new.declare_queue(queue.name, None, durable=True, arguments=queue.arguments)
            _restore_messages(queue, made)
    for exchange in old.exchanges.values():
        for binding in exchange.bindings.values():
            found = new.queues.get(binding.destination.name)
            if isinstance(binding.destination, Queue) and found is not None:
                source = new.exchanges.get(exchange.name)
                if source is not None and source.name:
                    new.bind(found, source, binding.routing_key, binding.arguments)


def _restore_messages(old: Queue, new: Queue) -> None:
    kept: list[Entry] = []
    copies: list[Entry] = []
    while (entry := old.get(no_ack=False)) is not None:
        if not old.options.quorum and entry.message.properties.delivery_mode != _PERSISTENT:
            continue
        entry.message.places = 0
        new.publish(entry.message)
        copy = new.get(no_ack=False)  # at once, as those that were delivered may exceed its limit
        if copy is not None:
            kept.append(entry)
            copies.append(copy)
    for copy, entry in zip(copies, kept, strict=True):
        copy.expires_at = entry.expires_at
    new.requeue(copies, channel_ended=True)
    for copy, entry in zip(copies, kept, strict=True):
        copy.redelivered, copy.delivery_count = entry.redelivered, entry.delivery_count
