"""A vhost: its exchanges and queues by name, and how messages go between them. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Final

from leveret.broker.model.arguments import COMPARED, read_options, type_of
from leveret.broker.model.clock import Clock
from leveret.broker.model.deadletter import dead_letter, without_cycles
from leveret.broker.model.equivalence import check_equal, check_same_arguments
from leveret.broker.model.exchanges import Exchange, predeclared
from leveret.broker.model.memory import Memory
from leveret.broker.model.messages import Message
from leveret.broker.model.queues import Queue
from leveret.broker.names import new_name
from leveret.broker.refusals import Refused, locked, not_found, precondition

_CACHED_ROUTES: Final = 4096


class VHost:
    """One vhost's exchanges and queues.

    `reply_channels` maps the routing keys of direct reply-to to what takes the message.
    """

    def __init__(self, name: str, clock: Clock, memory: Memory) -> None:
        self.name = name
        self.clock = clock
        self.memory = memory
        self.exchanges = predeclared()
        self.queues: dict[str, Queue] = {}
        self.reply_channels: dict[str, Callable[[Message], None]] = {}
        self._routes: dict[tuple[str, tuple[str, ...]], tuple[Queue, ...]] = {}
        self._dead: deque[tuple[Queue, Message, str]] = deque()

    # -- exchanges ---------------------------------------------------------------------------

    def exchange(self, name: str) -> Exchange:
        """The exchange of this name. :raises Refused: if there is none."""
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
        """Make an exchange, or see that the one there is of this kind.

        :param kind: one of `KINDS`.
        :raises Refused: if its arguments are invalid, or another exchange of this name is there.
        """
        arguments = arguments or {}
        there = self.exchanges.get(name)
        what = f"exchange '{name}' in vhost '{self.name}'"
        if there is None:
            if not isinstance(arguments.get("alternate-exchange", ""), str):
                given = type_of(arguments, "alternate-exchange")
                raise precondition(f"invalid type '{given}' for arg 'alternate-exchange' in {what}")
            self.memory.note(arguments)
            there = self.exchanges[name] = Exchange(
                name,
                kind,
                durable=durable,
                auto_delete=auto_delete,
                internal=internal,
                arguments=arguments,
            )
            self._routes.clear()
            return there
        check_equal("type", what, kind, there.kind)
        check_equal("durable", what, durable, there.durable)
        check_equal("auto_delete", what, auto_delete, there.auto_delete)
        check_equal("internal", what, internal, there.internal)
        check_same_arguments(("alternate-exchange",), what, arguments, there.arguments)
        return there

    def delete_exchange(self, name: str, *, if_unused: bool = False) -> None:
        """Delete an exchange; that there is none is no error.

        :raises Refused: if it is in use, and `if_unused`.
        """
        there = self.exchanges.get(name)
        if there is None:
            return
        if if_unused and there.bindings:
            raise precondition(f"exchange '{name}' in vhost '{self.name}' in use")
        del self.exchanges[name]
        self.memory.forget(there.arguments)
        for binding in there.bindings.values():
            self.memory.forget(binding.arguments)
        self._forget_destination(there)

    def _forget_destination(self, destination: Queue | Exchange) -> None:
        self._routes.clear()
        for source in list(self.exchanges.values()):
            gone = source.unbind_all(destination)
            for binding in gone:
                self.memory.forget(binding.arguments)
            if gone:
                self._delete_if_unused(source)

    def _delete_if_unused(self, exchange: Exchange) -> None:
        if exchange.auto_delete and not exchange.bindings and exchange.name in self.exchanges:
            self.delete_exchange(exchange.name)

    # -- bindings ----------------------------------------------------------------------------

    def bind(
        self, destination: Queue | Exchange, source: Exchange, key: str, arguments: dict[str, Any]
    ) -> None:
        """Lead from `source` to `destination`; a binding that is there already is no error.

        :raises Refused: if its arguments are invalid, or too much with those of all others.
        """
        if source.bind(destination, key, arguments):
            self._routes.clear()
            try:
                self.memory.note(arguments)
            except Refused:
                source.unbind(destination, key, arguments)
                raise

    def unbind(
        self, destination: Queue | Exchange, source: Exchange, key: str, arguments: dict[str, Any]
    ) -> None:
        """Undo `bind`; a binding that is not there is no error."""
        if source.unbind(destination, key, arguments):
            self.memory.forget(arguments)
            self._routes.clear()
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
        """Make a queue (of a new name where that is empty), or see that the one there is alike.

        :raises Refused: if its arguments are invalid, or a queue of this name is there that has
            others or is exclusive to another connection.
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
        there = self.queues.get(name)
        if there is not None:
            self._check_not_locked(there, owner)
            if exclusive != (there.exclusive_to is not None):
                raise locked(name, self.name)
            if not exclusive:  # else it is never durable, whatever it is declared
                check_equal("durable", what, durable, there.durable)
            check_equal("auto_delete", what, auto_delete, there.auto_delete)
            check_same_arguments(COMPARED, what, arguments, there.arguments)
            there.used()
            return there
        options = read_options(
            arguments, what, durable=durable, exclusive=exclusive, auto_delete=auto_delete
        )
        self.memory.note(arguments)
        there = self.queues[name] = Queue(
            name,
            options,
            self.clock,
            self.memory,
            dead=self._bury,
            unused=self._drop_queue,
            durable=durable,
            exclusive_to=owner if exclusive else None,
            auto_delete=auto_delete,
            arguments=arguments,
        )
        self._routes.clear()
        return there

    def delete_queue(self, queue: Queue) -> int:
        """Delete a queue and its bindings; returns how many messages waited in it."""
        if queue.deleted:
            return 0
        del self.queues[queue.name]
        self.memory.forget(queue.arguments)
        self._forget_destination(queue)
        return queue.delete()

    def _drop_queue(self, queue: Queue) -> None:
        self.delete_queue(queue)

    # -- messages ----------------------------------------------------------------------------

    def route(self, exchange: Exchange, message: Message) -> tuple[Queue, ...]:
        """The queues that the message goes to."""
        known = self._routes.get((exchange.name, message.routing_keys))
        if known is not None:
            return known
        queues, cacheable = self._walk(exchange, message)
        if cacheable:
            if len(self._routes) >= _CACHED_ROUTES:
                self._routes.clear()
            self._routes[exchange.name, message.routing_keys] = queues
        return queues

    def _walk(self, first: Exchange, message: Message) -> tuple[tuple[Queue, ...], bool]:
        """Follow the bindings; the answer may be kept where no headers were looked at."""
        queues: dict[Queue, None] = {}
        seen = {first.name}
        waiting = deque((first,))
        cacheable = True
        while waiting:
            exchange = waiting.popleft()
            cacheable = cacheable and exchange.kind != "headers"
            found = self._next(exchange, message)
            if not found and exchange.alternate and exchange.alternate in self.exchanges:
                found = [self.exchanges[exchange.alternate]]
            for destination in found:
                if isinstance(destination, Queue):
                    queues[destination] = None
                elif destination.name not in seen:
                    seen.add(destination.name)
                    waiting.append(destination)
        return tuple(queues), cacheable

    def _next(self, exchange: Exchange, message: Message) -> list[Any]:
        keys = message.routing_keys
        if exchange.name:
            return exchange.match(keys, message.properties.headers)
        return [self.queues[key] for key in dict.fromkeys(keys) if key in self.queues]

    def reply_directly(self, message: Message) -> None:
        """Hand a message to those who wait for it under the names of direct reply-to."""
        for key in dict.fromkeys(message.routing_keys):
            channel = self.reply_channels.get(key)
            if channel is not None:
                channel(message)

    # -- dead letters ------------------------------------------------------------------------

    def _bury(self, queue: Queue, message: Message, reason: str) -> None:
        self._dead.append((queue, message, reason))

    def publish_dead_letters(self) -> None:
        """Publish the messages that died, and those that these drive out, until none is left."""
        while self._dead:
            queue, message, reason = self._dead.popleft()
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
            for target in without_cycles(letter, reason, self.route(exchange, letter)):
                target.publish(letter)
