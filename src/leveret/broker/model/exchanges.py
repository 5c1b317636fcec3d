"""Exchanges and their bindings: the destinations of a message. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final, Protocol, TypeVar

import msgspec

from leveret.amqp.codes import ReplyCode
from leveret.broker.model.header_matching import check_match_kind, matches
from leveret.broker.model.topics import TopicTrie
from leveret.broker.refusals import Refused

KINDS: Final = ("direct", "fanout", "topic", "headers")
_OTHER_WORDS: Final = frozenset(
    ("", "exchange", "queue", "durable", "match", "all", "any", "no", "none")
)
"""Words that RabbitMQ knows, but not as types of exchanges."""


def check_type(kind: str) -> None:
    """:raises Refused: if exchanges are of no such type, in RabbitMQ's words."""
    if kind not in KINDS:
        known = "invalid" if kind in _OTHER_WORDS else "unknown"
        raise Refused(ReplyCode.COMMAND_INVALID, f"{known} exchange type '{kind}'")


class Destination(Protocol):
    """A queue or an exchange that a binding leads to; compared by identity."""

    name: str


D = TypeVar("D", bound=Destination)


class Binding(msgspec.Struct, frozen=True, eq=False):
    """A rule by which an exchange sends messages to a destination."""

    destination: Any
    routing_key: str
    arguments: dict[str, Any]

    @property
    def key(self) -> tuple[int, str, str]:
        """Bindings with the same key are the same."""
        return (id(self.destination), self.routing_key, _canonical(self.arguments))


def _canonical(arguments: dict[str, Any]) -> str:
    return repr(sorted(arguments.items(), key=lambda item: item[0])) if arguments else ""


class _Matcher(Protocol):
    """How one type of exchange finds the destinations of a message."""

    def add(self, binding: Binding) -> None: ...
    def remove(self, binding: Binding) -> None: ...
    def match(self, key: str, headers: dict[str, Any]) -> Iterable[Any]: ...


class _Direct:
    def __init__(self) -> None:
        self._by_key: dict[str, list[Any]] = {}

    def add(self, binding: Binding) -> None:
        self._by_key.setdefault(binding.routing_key, []).append(binding.destination)

    def remove(self, binding: Binding) -> None:
        bound = self._by_key[binding.routing_key]
        bound.remove(binding.destination)
        if not bound:
            del self._by_key[binding.routing_key]

    def match(self, key: str, headers: dict[str, Any]) -> Iterable[Any]:
        return self._by_key.get(key, ())


class _Fanout:
    def __init__(self) -> None:
        self._all: list[Any] = []

    def add(self, binding: Binding) -> None:
        self._all.append(binding.destination)

    def remove(self, binding: Binding) -> None:
        self._all.remove(binding.destination)

    def match(self, key: str, headers: dict[str, Any]) -> Iterable[Any]:
        return self._all


class _Topic:
    def __init__(self) -> None:
        self._trie: TopicTrie[Any] = TopicTrie()

    def add(self, binding: Binding) -> None:
        self._trie.add(binding.routing_key, binding.destination)

    def remove(self, binding: Binding) -> None:
        self._trie.remove(binding.routing_key, binding.destination)

    def match(self, key: str, headers: dict[str, Any]) -> Iterable[Any]:
        return self._trie.match(key)


class _Headers:
    def __init__(self) -> None:
        self._all: dict[tuple[int, str, str], Binding] = {}

    def add(self, binding: Binding) -> None:
        check_match_kind(binding.arguments)
        self._all[binding.key] = binding

    def remove(self, binding: Binding) -> None:
        del self._all[binding.key]

    def match(self, key: str, headers: dict[str, Any]) -> Iterable[Any]:
        return [b.destination for b in self._all.values() if matches(b.arguments, headers)]


_MATCHERS: Final[dict[str, Callable[[], _Matcher]]] = {
    "direct": _Direct,
    "fanout": _Fanout,
    "topic": _Topic,
    "headers": _Headers,
}


class Exchange:
    """One exchange.

    :param kind: one of `KINDS`.
    """

    def __init__(
        self,
        name: str,
        kind: str,
        *,
        durable: bool = False,
        auto_delete: bool = False,
        internal: bool = False,
        arguments: dict[str, Any] | None = None,
    ) -> None:
        self.name = name
        self.kind = kind
        self.durable = durable
        self.auto_delete = auto_delete
        self.internal = internal
        self.arguments = arguments or {}
        alternate = self.arguments.get("alternate-exchange")
        self.alternate = alternate if isinstance(alternate, str) else ""
        """The name of its alternate exchange; "" for none."""
        self.bindings: dict[tuple[int, str, str], Binding] = {}
        self._matcher = _MATCHERS[kind]()

    def bind(self, destination: Destination, key: str, arguments: dict[str, Any]) -> bool:
        """Add a binding. Returns whether it is new."""
        binding = Binding(destination, key, arguments)
        if binding.key in self.bindings:
            return False
        self._matcher.add(binding)
        self.bindings[binding.key] = binding
        return True

    def unbind(self, destination: Destination, key: str, arguments: dict[str, Any]) -> bool:
        """Remove a binding. Returns whether there was one."""
        binding = self.bindings.pop(Binding(destination, key, arguments).key, None)
        if binding is None:
            return False
        self._matcher.remove(binding)
        return True

    def unbind_all(self, destination: Destination) -> list[Binding]:
        """Remove all bindings to a destination. Returns them."""
        removed = [b for b in self.bindings.values() if b.destination is destination]
        for binding in removed:
            self._matcher.remove(binding)
            del self.bindings[binding.key]
        return removed

    def match(self, keys: tuple[str, ...], headers: dict[str, Any] | None) -> list[Any]:
        """The destinations, each once, in the order of their bindings if the type keeps one."""
        if len(keys) == 1:
            return list(dict.fromkeys(self._matcher.match(keys[0], headers or {})))
        found: dict[Any, None] = {}
        for key in keys:
            found.update(dict.fromkeys(self._matcher.match(key, headers or {})))
        return list(found)


_PREDECLARED: Final = {
    "": "direct",
    "amq.direct": "direct",
    "amq.fanout": "fanout",
    "amq.topic": "topic",
    "amq.headers": "headers",
    "amq.match": "headers",
    "amq.rabbitmq.trace": "topic",
}


def predeclared() -> dict[str, Exchange]:
    """The exchanges that each vhost has, by name."""
    return {
        name: Exchange(name, kind, durable=True, internal=name == "amq.rabbitmq.trace")
        for name, kind in _PREDECLARED.items()
    }
