from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from leveret.broker.model.topics import TopicTrie, words
from tests.unit.amqp.strategies import FAST

WORD = st.sampled_from(["a", "b", ""])
KEYS = st.lists(WORD, max_size=5).map(".".join)
PATTERNS = st.lists(st.sampled_from(["a", "b", "", "*", "#"]), max_size=5).map(".".join)


def model(pattern: list[str], key: list[str]) -> bool:
    """Topic matching as the specification says it, as slow as it is plain."""
    if not pattern:
        return not key
    if pattern[0] == "#":
        return model(pattern[1:], key) or (bool(key) and model(pattern, key[1:]))
    return bool(key) and pattern[0] in ("*", key[0]) and model(pattern[1:], key[1:])


@FAST
@given(st.lists(PATTERNS, max_size=8), KEYS)
def test_the_trie_finds_what_each_pattern_matches_alone(patterns: list[str], key: str) -> None:
    trie: TopicTrie[str] = TopicTrie()
    for pattern in patterns:
        trie.add(pattern, pattern)
    assert set(trie.match(key)) == {p for p in patterns if model(words(p), words(key))}


@FAST
@given(st.lists(PATTERNS, max_size=6), st.lists(PATTERNS, max_size=6), KEYS)
def test_what_is_removed_matches_no_more(kept: list[str], gone: list[str], key: str) -> None:
    trie: TopicTrie[str] = TopicTrie()
    for pattern in kept + gone:
        trie.add(pattern, pattern)
    for pattern in gone:
        trie.remove(pattern, pattern)
    assert set(trie.match(key)) == {p for p in kept if model(words(p), words(key))}


def test_a_pattern_full_of_hashes_takes_no_exponential_time() -> None:
    trie: TopicTrie[int] = TopicTrie()
    trie.add(".".join(["#", "a"] * 60), 1)
    assert trie.match(".".join("a" * 120)) == [1]
    assert trie.match(".".join("a" * 120) + ".b") == []
