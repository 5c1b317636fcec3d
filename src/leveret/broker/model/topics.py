"""Topic patterns: words between dots, `*` for one word, `#` for zero or more.

The patterns share a trie, so that a key is compared only with those that can still match. Pure
(https://www.rabbitmq.com/tutorials/tutorial-five-python).
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from typing import Generic, TypeVar

T = TypeVar("T")


class _Node(Generic[T]):
    """The place in the trie that the first words of a pattern lead to."""

    __slots__ = ("below", "here", "many")

    def __init__(self, many: bool = False) -> None:
        self.many = many
        """Whether it is behind a `#`, and takes any number of words more."""
        self.below: dict[str, _Node[T]] = {}
        self.here: dict[T, int] = {}  # how often each is bound, with other arguments each time


class TopicTrie(Generic[T]):
    """The destinations (queues, exchanges) of patterns."""

    def __init__(self) -> None:
        self._root: _Node[T] = _Node()

    def add(self, pattern: str, destination: T) -> None:
        """Add a destination to a pattern, even if it has it already."""
        node = self._root
        for word in words(pattern):
            child = node.below.get(word)
            if child is None:
                child = node.below[word] = _Node(many=word == "#")
            node = child
        node.here[destination] = node.here.get(destination, 0) + 1

    def remove(self, pattern: str, destination: T) -> None:
        """Undo one `add`."""
        path = [self._root]
        names = words(pattern)
        for word in names:
            path.append(path[-1].below[word])
        here = path[-1].here
        here[destination] -= 1
        if not here[destination]:
            del here[destination]
        for parent, word in zip(reversed(path[:-1]), reversed(names), strict=True):
            child = parent.below[word]
            if child.below or child.here:
                break
            del parent.below[word]

    def match(self, key: str) -> list[T]:
        """The destinations of a routing key, each once, always in the same order.

        It goes from word to word with all the nodes that are possible so far, so that patterns take
        at most nodes times words steps, however many `#` they have.
        """
        at = _with_hashes([self._root])
        for word in words(key):
            after = [node for node in at if node.many]
            for node in at:
                after += [
                    node.below[name] for name in dict.fromkeys((word, "*")) if name in node.below
                ]
            at = _with_hashes(after)
        return list(dict.fromkeys(chain.from_iterable(node.here for node in at)))


def _with_hashes(nodes: Iterable[_Node[T]]) -> list[_Node[T]]:
    """The nodes, each once, and those behind their `#`, which may stand for no word."""
    reached = {id(node): node for node in nodes}
    waiting = list(reached.values())
    while waiting:
        child = waiting.pop().below.get("#")
        if child is not None and id(child) not in reached:
            reached[id(child)] = child
            waiting.append(child)
    return list(reached.values())


def words(key: str) -> list[str]:
    """The words of a routing key or a pattern; an empty one has none."""
    return key.split(".") if key else []
