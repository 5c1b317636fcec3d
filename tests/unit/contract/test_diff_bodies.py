"""Each rule about bodies, by two services of which one is the other's next version."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any

import msgspec
import pytest

from leveret import DeclaredError, Meta, Service, method
from leveret.contract import method_schema, service_schema
from leveret.contract.diff_bodies import diff_bodies


class Item(msgspec.Struct):
    sku: str
    price: int


class LargerItem(msgspec.Struct):
    sku: str
    price: int
    tax: int


class SmallerItem(msgspec.Struct):
    sku: str


class OutOfStock(DeclaredError):
    """There are not enough."""

    sku: str


class Closed(DeclaredError):
    """It is closed."""


class Renamed(DeclaredError, code="OUT_OF_STOCK"):
    """It has another field."""

    sku: str | None


class Old(Service, name="shop"):
    @method
    async def base(self, a: int, b: str = "b") -> int:
        raise NotImplementedError

    @method
    async def takes(self, item: Item) -> None:
        raise NotImplementedError

    @method
    async def gives(self) -> Item:
        raise NotImplementedError

    @method(raises=[OutOfStock])
    async def fails(self) -> None:
        raise NotImplementedError

    @method
    async def uploads(self, items: AsyncIterator[int]) -> int:
        raise NotImplementedError

    @method
    async def streams(self) -> AsyncIterator[int]:
        yield 1


class New(Service, name="shop"):
    """Each method says by its name which rule holds for it."""

    @method
    async def fewer(self, a: int) -> int:
        raise NotImplementedError

    @method
    async def required(self, a: int, b: str = "b", *, c: int) -> int:
        raise NotImplementedError

    @method
    async def added(self, a: int, b: str = "b", c: int = 0) -> int:
        raise NotImplementedError

    @method
    async def no_default(self, a: int, b: str) -> int:
        raise NotImplementedError

    @method
    async def optional(self, a: int = 1, b: str = "b") -> int:
        raise NotImplementedError

    @method
    async def other_default(self, a: int, b: str = "c") -> int:
        raise NotImplementedError

    @method
    async def places(self, b: str, a: int) -> int:
        raise NotImplementedError

    @method
    async def keyword(self, a: int, *, b: str = "b") -> int:
        raise NotImplementedError

    @method
    async def between(self, a: int, c: int = 0, b: str = "b") -> int:
        raise NotImplementedError

    @method
    async def narrower(self, a: Annotated[int, Meta(ge=0)], b: str = "b") -> int:
        raise NotImplementedError

    @method
    async def wider(self, a: int | None, b: str = "b") -> int:
        raise NotImplementedError

    @method
    async def gives_more(self, a: int, b: str = "b") -> int | None:
        raise NotImplementedError

    @method
    async def gives_less(self, a: int, b: str = "b") -> Annotated[int, Meta(ge=0)]:
        raise NotImplementedError

    @method
    async def takes_more_members(self, item: LargerItem) -> None:
        raise NotImplementedError

    @method
    async def takes_fewer_members(self, item: SmallerItem) -> None:
        raise NotImplementedError

    @method
    async def gives_more_members(self) -> LargerItem:
        raise NotImplementedError

    @method
    async def gives_fewer_members(self) -> SmallerItem:
        raise NotImplementedError

    @method(raises=[OutOfStock, Closed])
    async def new_error(self) -> None:
        raise NotImplementedError

    @method
    async def no_error(self) -> None:
        raise NotImplementedError

    @method(raises=[Renamed])
    async def wider_error(self) -> None:
        raise NotImplementedError

    @method
    async def other_upload(self, things: AsyncIterator[int]) -> int:
        raise NotImplementedError

    @method
    async def no_upload(self) -> int:
        raise NotImplementedError

    @method
    async def narrower_upload(self, items: AsyncIterator[Annotated[int, Meta(le=9)]]) -> int:
        raise NotImplementedError

    @method
    async def wider_items(self) -> AsyncIterator[int | str]:
        yield 1

    @method
    async def value(self) -> str:
        raise NotImplementedError


METHODS: dict[str, Any] = {**service_schema(Old)["methods"], **service_schema(New)["methods"]}


def rules(old: str, new: str) -> list[str]:
    found = diff_bodies("shop.it", METHODS[old], METHODS[new])
    return sorted(f"{change.level} {change.rule}" for change in found)


@pytest.mark.parametrize("name", sorted(METHODS))
def test_a_contract_that_is_the_same_has_not_changed(name: str) -> None:
    assert rules(name, name) == []


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("base", "fewer", ["break argument-removed"]),
        ("base", "required", ["break argument-required"]),
        ("base", "added", ["fine argument-added"]),
        ("base", "no_default", ["break argument-required"]),
        ("base", "optional", ["fine argument-optional"]),
        ("base", "other_default", ["warning default-changed"]),
        ("base", "places", ["break argument-required", "warning argument-place"]),
        ("base", "keyword", ["warning argument-place"]),
        ("base", "between", ["fine argument-added", "warning argument-place"]),
        ("base", "narrower", ["break argument-narrower"]),
        ("base", "wider", ["fine argument-wider"]),
        ("base", "gives_more", ["break result-wider"]),
        ("base", "gives_less", ["fine result-narrower"]),
        ("takes", "takes_more_members", ["break argument-narrower"]),
        ("takes", "takes_fewer_members", ["warning argument-unread"]),
        ("gives", "gives_more_members", ["fine result-narrower"]),
        ("gives", "gives_fewer_members", ["break result-wider"]),
        ("fails", "new_error", ["break error-added"]),
        ("fails", "no_error", ["fine error-removed"]),
        ("fails", "wider_error", ["break error-wider"]),
        ("wider_error", "fails", ["fine error-narrower"]),
        ("uploads", "other_upload", ["break upload-changed"]),
        ("uploads", "no_upload", ["break upload-changed"]),
        ("no_upload", "uploads", ["break upload-changed"]),
        ("uploads", "narrower_upload", ["break argument-narrower"]),
        ("narrower_upload", "uploads", ["fine argument-wider"]),
        ("streams", "wider_items", ["break result-wider"]),
        ("streams", "value", []),  # that it streams no more is an option's to say
    ],
)
def test_each_rule_holds(old: str, new: str, expected: list[str]) -> None:
    assert rules(old, new) == expected


def test_a_member_of_a_result_that_may_be_absent_is_a_warning() -> None:
    """Servers write all members of a struct, also those with defaults; others may not."""
    new = {**METHODS["gives"], "result": {**method_schema_of_gives(), "required": ["sku"]}}
    (change,) = diff_bodies("shop.gives", METHODS["gives"], new)
    assert (change.level, change.rule) == ("warning", "result-absent")
    assert change.text == "result may lack 'price': then clients refuse it"


def method_schema_of_gives() -> dict[str, Any]:
    return method_schema(Old.__leveret__.methods["gives"])["result"]  # type: ignore[no-any-return]


def test_a_change_says_where_it_is_and_what_comes_of_it() -> None:
    (change,) = diff_bodies("shop.takes", METHODS["takes"], METHODS["takes_more_members"])
    assert change.method == "shop.takes"
    assert change.text == (
        "argument item has no 'tax': clients may send that, and servers refuse it"
    )
