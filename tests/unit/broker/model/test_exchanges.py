from __future__ import annotations

import pytest

from leveret.broker.model.exchanges import Exchange, check_type, predeclared
from leveret.broker.refusals import Refused


class Named:
    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return self.name


A, B = Named("a"), Named("b")


@pytest.mark.parametrize(
    ("kind", "key", "arguments", "hit", "miss"),
    [
        ("direct", "k", {}, ("k",), ("x",)),
        ("topic", "k.#", {}, ("k.x",), ("x.k",)),
        ("fanout", "k", {}, ("anything",), None),
        ("headers", "", {"h": 1}, None, ("k",)),
    ],
)
def test_each_kind_finds_its_destinations_and_forgets_what_is_unbound(
    kind: str, key: str, arguments: dict[str, int],
    hit: tuple[str, ...] | None, miss: tuple[str, ...] | None,
) -> None:  # fmt: skip
    exchange = Exchange("x", kind)
    assert exchange.bind(A, key, arguments)
    assert exchange.match(hit or ("k",), {"h": 1} if kind == "headers" else None) == [A]
    if miss is not None:
        assert exchange.match(miss, None) == []
    assert exchange.unbind(A, key, arguments)
    assert exchange.match(hit or ("k",), {"h": 1}) == []


def test_a_destination_is_found_once_however_many_keys_lead_to_it() -> None:
    exchange = Exchange("x", "direct")
    for key in ("k", "l"):
        exchange.bind(A, key, {})
        exchange.bind(B, key, {})
    assert exchange.match(("k", "l"), None) == [A, B]


def test_a_binding_is_the_same_with_the_same_key_and_arguments_in_any_order() -> None:
    exchange = Exchange("x", "direct")
    assert exchange.bind(A, "k", {"a": 1, "b": 2})
    assert not exchange.bind(A, "k", {"b": 2, "a": 1})
    assert exchange.bind(A, "k", {"a": 1})
    assert len(exchange.unbind_all(A)) == 2
    assert not exchange.unbind(A, "k", {"a": 1})


@pytest.mark.parametrize(("kind", "word"), [("x-delayed-message", "unknown"), ("queue", "invalid")])
def test_other_kinds_are_refused(kind: str, word: str) -> None:
    with pytest.raises(Refused, match=f"COMMAND_INVALID - {word} exchange type '{kind}'"):
        check_type(kind)


def test_a_vhost_has_the_exchanges_of_the_specification() -> None:
    kinds = {name: exchange.kind for name, exchange in predeclared().items()}
    assert kinds[""] == kinds["amq.direct"] == "direct"
    assert kinds["amq.match"] == kinds["amq.headers"] == "headers"
    assert all(exchange.durable for exchange in predeclared().values())
