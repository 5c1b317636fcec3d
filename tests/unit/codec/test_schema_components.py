"""Defaults of fields that msgspec alone cannot write are in schemas, or left out of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Generic, NamedTuple, TypeVar

import msgspec
import pytest

from leveret import Hook
from leveret.codec import describe

T = TypeVar("T")
NOT_GIVEN: Any = object()


class Money:
    def __init__(self, cents: int) -> None:
        self.cents = cents


CENTS = Hook(Money, int, encode=lambda money: money.cents, decode=Money)


class Offer(msgspec.Struct):
    price: Annotated[Money, CENTS] = Money(250)
    count: int = 1


@dataclass
class Page:
    after: Any = NOT_GIVEN
    size: int = 20


class Place(NamedTuple):
    at: Any = NOT_GIVEN


class Box(msgspec.Struct, Generic[T]):
    content: T


def described(annotation: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    return describe(annotation, "#/$defs/{name}")


def test_a_default_with_a_hook_is_what_travels_for_it() -> None:
    schema, found = described(list[Offer])
    assert schema["items"] == {"$ref": "#/$defs/Offer"}
    assert found["Offer"]["properties"] == {
        "price": {"type": "integer", "default": 250},
        "count": {"type": "integer", "default": 1},
    }


def test_a_numpy_scalar_is_a_number() -> None:
    np = pytest.importorskip("numpy")
    made = msgspec.defstruct("Shot", [("rows", int, np.int64(3))])
    assert described(made)[1]["Shot"]["properties"]["rows"]["default"] == 3


def test_a_default_that_cannot_travel_is_not_told() -> None:
    _, found = described(dict[str, Page] | Place)
    assert found["Page"]["properties"] == {
        "after": {},
        "size": {"type": "integer", "default": 20},
    }
    assert found["Page"]["required"] == []
    assert found["Place"]["minItems"] == 0


def test_classes_with_one_name_have_a_schema_each() -> None:
    cents, euros = (msgspec.defstruct("Price", [("amount", kind)]) for kind in (int, float))
    schema, found = described(tuple[cents, euros, Box[cents], Box[euros]])  # type: ignore[valid-type]
    names = [item["$ref"].removeprefix("#/$defs/") for item in schema["prefixItems"]]
    assert len(set(names)) == len(found) == 4
    types = [found[name]["properties"]["amount"]["type"] for name in names[:2]]
    assert types == ["integer", "number"]
    contents = [found[name]["properties"]["content"] for name in names[2:]]
    assert contents == schema["prefixItems"][:2]


def test_another_msgspec_says_what_it_says_of_what_it_cannot_describe(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    np = pytest.importorskip("numpy")
    monkeypatch.setattr("msgspec._json_schema", object())
    made = msgspec.defstruct("Shot", [("rows", int, np.int64(3))])
    with pytest.raises(TypeError, match="int64"):
        described(made)
