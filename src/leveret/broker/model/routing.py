"""Which queues a message goes to, from exchange to exchange. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any, Final

from leveret.broker.model.exchanges import Exchange
from leveret.broker.model.messages import Message
from leveret.broker.model.queues import Queue

_CACHED_ROUTES: Final = 4096


class Router:
    """Follows the bindings of one vhost, and remembers where they led.

    :param exchanges: all exchanges of the vhost, by name.
    :param queues: all queues of the vhost, by name.
    """

    def __init__(self, exchanges: Mapping[str, Exchange], queues: Mapping[str, Queue]) -> None:
        self._exchanges = exchanges
        self._queues = queues
        self._routes: dict[tuple[str, tuple[str, ...]], tuple[Queue, ...]] = {}

    def forget(self) -> None:
        """Forget all routes, as an exchange, a queue or a binding was made or deleted."""
        self._routes.clear()

    def route(self, exchange: Exchange, message: Message) -> tuple[Queue, ...]:
        """The queues that a message to this exchange goes to, each once."""
        known = self._routes.get((exchange.name, message.routing_keys))
        if known is not None:
            return known
        queues, cacheable = self._follow(exchange, message)
        if cacheable:
            if len(self._routes) >= _CACHED_ROUTES:
                self._routes.clear()
            self._routes[exchange.name, message.routing_keys] = queues
        return queues

    def _follow(self, first: Exchange, message: Message) -> tuple[tuple[Queue, ...], bool]:
        """Follow the bindings.

        Returns the queues, and whether they are the same for each message with these routing keys:
        not if headers mattered.
        """
        queues: dict[Queue, None] = {}
        seen = {first.name}
        waiting = deque((first,))
        cacheable = True
        while waiting:
            exchange = waiting.popleft()
            cacheable = cacheable and exchange.kind != "headers"
            found = self._next(exchange, message)
            if not found and exchange.alternate and exchange.alternate in self._exchanges:
                found = [self._exchanges[exchange.alternate]]
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
        return [self._queues[key] for key in dict.fromkeys(keys) if key in self._queues]
