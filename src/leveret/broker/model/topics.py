"""Topic patterns: words between dots, `*` for one word, `#` for zero or more.

The patterns share a trie, so that a key meets only those that can still match
(https://www.rabbitmq.com/tutorials/tutorial-five-python).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Generic, TypeVar

T = TypeVar("T")


class _Node(Generic[T]):
    """Where a pattern's words lead; `many` marks one behind a `#`, which takes any words more."""

    __slots__ = ("below", "here", "many")

    def __init__(self, many: bool = False) -> None:
        self.many = many
        self.below: dict[str, _Node[T]] = {}
        self.here: dict[T, int] = {}  # how many times, with other arguments, each is bound


class TopicTrie(Generic[T]):
    """Which `T` (a queue, an exchange) the patterns lead to."""

    def __init__(self) -> None:
        self._root: _Node[T] = _Node()

    def add(self, pattern: str, destination: T) -> None:
        """Lead `pattern` to `destination`, once more if it does already."""
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

    def match(self, key: str) -> set[T]:
        """Where `key` leads.

        Goes from word to word with all the nodes that these may stand at, so that no pattern,
        however full of `#`, takes longer than nodes times words.
        """
        at = _with_hashes([self._root])
        for word in words(key):
            after = [node for node in at if node.many]
            for node in at:
                after += [node.below[name] for name in {word, "*"} if name in node.below]
            at = _with_hashes(after)
        return {destination for node in at for destination in node.here}


def _with_hashes(nodes: Iterable[_Node[T]]) -> list[_Node[T]]:
    """The nodes, each once, and those that stand behind their `#`, which may take no word."""
    reached = {id(node): node for node in nodes}
    waiting = list(reached.values())
    while waiting:
        child = waiting.pop().below.get("#")
        if child is not None and id(child) not in reached:
            reached[id(child)] = child
            waiting.append(child)
    return list(reached.values())


def words(key: str) -> list[str]:
    """The words of a routing key or a pattern; the empty key has none."""
    return key.split(".") if key else []
