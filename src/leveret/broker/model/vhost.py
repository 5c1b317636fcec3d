"""A vhost: its exchanges and queues by name, their bindings, its dead letters. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from leveret.broker.model.argument_checks import check_queue
from leveret.broker.model.arguments import KNOWN, read_options, type_of
from leveret.broker.model.clock import Clock
from leveret.broker.model.deadletter import Death, dead_letter, without_cycles
from leveret.broker.model.equivalence import check_equal, check_same_arguments
from leveret.broker.model.exchanges import Exchange, predeclared
from leveret.broker.model.memory import Memory
from leveret.broker.model.messages import Message
from leveret.broker.model.queues import Queue
from leveret.broker.model.routing import Router
from leveret.broker.names import new_name
from leveret.broker.refusals import Refused, locked, not_found, precondition


class VHost:
    """One vhost's exchanges and queues."""

    def __init__(self, name: str, clock: Clock, memory: Memory) -> None:
        self.name = name
        self.clock = clock
        self.memory = memory
        self.exchanges = predeclared()
        self.queues: dict[str, Queue] = {}
        self.reply_channels: dict[str, Callable[[Message], None]] = {}
        """What takes a direct reply, by its routing key."""
        self.router = Router(self.exchanges, self.queues)
        self.dead: deque[tuple[Queue, Message, Death]] = deque()
        """Messages that died and are not published to a dead-letter exchange yet."""

    # -- exchanges ---------------------------------------------------------------------------

    def exchange(self, name: str) -> Exchange:
        """The exchange of this name.

        :raises Refused: if there is none.
        """
        found = self.exchanges.get(name)
        if found is None:
            raise not_found("exchange", name, self.name)
        return found

    def declare_exchange(
        self,
        name: str,
        kind: str,
        *,
        durable: bool = False,
        auto_delete: bool = False,
        internal: bool = False,
        arguments: dict[str, Any] | None = None,
    ) -> Exchange:
        """Make an exchange, or check that the one of this name is the same.

        :param kind: one of `KINDS`.
        :raises Refused: if its arguments are invalid, or the one of this name is another.
        """
        arguments = arguments or {}
        existing = self.exchanges.get(name)
        what = f"exchange '{name}' in vhost '{self.name}'"
        if existing is None:
            if not isinstance(arguments.get("alternate-exchange", ""), str):
                given = type_of(arguments, "alternate-exchange")
                raise precondition(f"invalid type '{given}' for arg 'alternate-exchange' in {what}")
            self.memory.keep_arguments(arguments)
            existing = self.exchanges[name] = Exchange(
                name,
                kind,
                durable=durable,
                auto_delete=auto_delete,
                internal=internal,
                arguments=arguments,
            )
            self.router.forget()
            return existing
        check_equal("type", what, kind, existing.kind)
        check_equal("durable", what, durable, existing.durable)
        check_equal("auto_delete", what, auto_delete, existing.auto_delete)
        check_equal("internal", what, internal, existing.internal)
        check_same_arguments(("alternate-exchange",), what, arguments, existing.arguments)
        return existing

    def delete_exchange(self, name: str, *, if_unused: bool = False) -> None:
        """Delete an exchange, if there is one of this name.

        :raises Refused: if it is in use, and `if_unused`.
        """
        existing = self.exchanges.get(name)
        if existing is None:
            return
        if if_unused and existing.bindings:
            raise precondition(f"exchange '{name}' in vhost '{self.name}' in use")
        del self.exchanges[name]
        self.memory.free_arguments(existing.arguments)
        for binding in existing.bindings.values():
            self.memory.free_arguments(binding.arguments)
        self._unbind_everywhere(existing)

    def _unbind_everywhere(self, destination: Queue | Exchange) -> None:
        self.router.forget()
        for source in list(self.exchanges.values()):
            removed = source.unbind_all(destination)
            for binding in removed:
                self.memory.free_arguments(binding.arguments)
            if removed:
                self._delete_if_unused(source)

    def _delete_if_unused(self, exchange: Exchange) -> None:
        if exchange.auto_delete and not exchange.bindings and exchange.name in self.exchanges:
            self.delete_exchange(exchange.name)

    # -- bindings ----------------------------------------------------------------------------

    def bind(
        self, destination: Queue | Exchange, source: Exchange, key: str, arguments: dict[str, Any]
    ) -> None:
        """Bind `destination` to `source`, unless it is bound like this already.

        :raises Refused: if its arguments are invalid, or take too much memory with all others.
        """
        if source.bind(destination, key, arguments):
            self.router.forget()
            try:
                self.memory.keep_arguments(arguments)
            except Refused:
                source.unbind(destination, key, arguments)
                raise

    def unbind(
        self, destination: Queue | Exchange, source: Exchange, key: str, arguments: dict[str, Any]
    ) -> None:
        """Remove a binding, if there is such a one."""
        if source.unbind(destination, key, arguments):
            self.memory.free_arguments(arguments)
            self.router.forget()
            self._delete_if_unused(source)

    # -- queues ------------------------------------------------------------------------------

    def queue(self, name: str, owner: object | None = None) -> Queue:
        """The queue of this name, for the connection `owner`.

        :raises Refused: if there is none, or it is exclusive to another connection.
        """
        found = self.queues.get(name)
        if found is None:
            raise not_found("queue", name, self.name)
        self._check_not_locked(found, owner)
        return found

    def _check_not_locked(self, queue: Queue, owner: object | None) -> None:
        if queue.exclusive_to is not None and queue.exclusive_to is not owner:
            raise locked(queue.name, self.name)

    def declare_queue(
        self,
        name: str,
        owner: object,
        *,
        durable: bool = False,
        exclusive: bool = False,
        auto_delete: bool = False,
        arguments: dict[str, Any] | None = None,
    ) -> Queue:
        """Make a queue (with a new name if that is empty), or check that the one there is the same.

        :raises Refused: if its arguments are invalid, or the one of this name is different or is
            exclusive to another connection.
        """
        arguments = arguments if arguments is not None else {}
        if not name:
            if arguments.get("x-queue-type", "classic") in ("quorum", "stream"):
                raise precondition(
                    "Cannot declare a server-named queue for type"
                    f" rabbit_{arguments['x-queue-type']}_queue"
                )
            name = new_name("amq.gen-")
        what = f"queue '{name}' in vhost '{self.name}'"
        existing = self.queues.get(name)
        if existing is not None:
            self._check_not_locked(existing, owner)
            if exclusive != (existing.exclusive_to is not None):
                raise locked(name, self.name)
            if not exclusive:  # an exclusive queue is never durable, whatever is declared
                check_equal("durable", what, durable, existing.durable)
            check_equal("auto_delete", what, auto_delete, existing.auto_delete)
            check_same_arguments(KNOWN, what, arguments, existing.arguments)
            existing.touch()
            return existing
        check_queue(arguments, what, durable=durable, exclusive=exclusive, auto_delete=auto_delete)
        self.memory.keep_arguments(arguments)
        existing = self.queues[name] = Queue(
            name,
            read_options(arguments),
            self.clock,
            self.memory,
            on_dead=self._add_dead,
            on_unused=self._delete_unused,
            durable=durable,
            exclusive_to=owner if exclusive else None,
            auto_delete=auto_delete,
            arguments=arguments,
        )
        self.router.forget()
        return existing

    def delete_queue(self, queue: Queue) -> int:
        """Delete a queue and its bindings. Returns how many messages waited in it."""
        if queue.deleted:
            return 0
        del self.queues[queue.name]
        self.memory.free_arguments(queue.arguments)
        self._unbind_everywhere(queue)
        return queue.delete()

    def delete_exclusive_queues(self, owner: object) -> None:
        """Delete the queues that are exclusive to this connection."""
        for queue in [q for q in self.queues.values() if q.exclusive_to is owner]:
            self.delete_queue(queue)

    def _delete_unused(self, queue: Queue) -> None:
        self.delete_queue(queue)

    # -- messages ----------------------------------------------------------------------------

    def reply_directly(self, message: Message) -> None:
        """Send a message to the channels whose direct-reply keys it has."""
        for key in dict.fromkeys(message.routing_keys):
            channel = self.reply_channels.get(key)
            if channel is not None:
                channel(message)

    # -- dead letters ------------------------------------------------------------------------

    def _add_dead(self, queue: Queue, message: Message, reason: Death) -> None:
        self.dead.append((queue, message, reason))

    def publish_dead_letters(self) -> None:
        """Publish the messages that died, and those that die of it, until none is left."""
        while self.dead:
            queue, message, reason = self.dead.popleft()
            options = queue.options
            exchange = self.exchanges.get(options.dead_letter_exchange or "")
            if exchange is None:
                continue
            letter = dead_letter(
                message,
                reason=reason,
                queue=queue.name,
                exchange=exchange.name,
                routing_key=options.dead_letter_routing_key,
                seconds=self.clock.wall(),
            )
            if not exchange.name and self.reply_channels:
                self.reply_directly(letter)
            for target in without_cycles(letter, reason, self.router.route(exchange, letter)):
                target.publish(letter)
