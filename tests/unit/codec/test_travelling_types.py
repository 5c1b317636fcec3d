"""Which annotations are refused when a service is defined."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Generic, Literal, NamedTuple, TypedDict, TypeVar
from uuid import UUID

import msgspec
import pytest

from leveret.codec import check_type
from leveret.codec.pydantic_values import pydantic_type
from leveret.codec.travelling_types import traits
from leveret.errors import ContractError

T = TypeVar("T")


class Connection:
    """A class that no codec knows."""


class Mixed(Enum):
    A = 1
    B = "b"


class Level(Enum):
    LOW = 1


class Tree(msgspec.Struct):
    children: list[Tree] = []


class Frozen(msgspec.Struct, frozen=True):
    n: int


class Page(msgspec.Struct, Generic[T]):
    items: list[T]


@dataclass
class Holder:
    trees: dict[str, list[Tree]]
    connection: Connection | None = None


@dataclass
class Order:
    lines: list[tuple[str, Decimal]]


class Pair(NamedTuple):
    a: int
    b: str


class Keyed(TypedDict):
    key: UUID


class Dangling(msgspec.Struct):
    other: Nowhere  # type: ignore[name-defined]  # noqa: F821


@pytest.mark.parametrize(
    "annotation",
    [
        int,
        None,
        Any,
        bytes,
        int | str | None,
        Tree,
        Order,
        Pair,
        Keyed,
        Page[int],
        Page[Order],
        list[Annotated[int, msgspec.Meta(ge=0)]],
        dict[int | float, datetime],
        dict[Literal["a", 1], int],
        dict[Annotated[str, msgspec.Meta(max_length=3)], int],
        set[Frozen],
        frozenset[tuple[int, str]],
        Sequence[int],
        Mapping[str, int],
        Literal["a", 1],
    ],
    ids=str,
)
def test_types_that_msgspec_knows_travel(annotation: Any) -> None:
    check_type(annotation)


@pytest.mark.parametrize(
    ("annotation", "reason"),
    [
        (Connection, "Connection cannot be encoded; use a msgspec.Struct"),
        (object, "any value is an object; write Any"),
        (complex, "complex cannot be encoded"),
        (list[Connection], "Connection cannot be encoded"),
        (dict[str, tuple[int, Connection]], "Connection cannot be encoded"),
        (Holder, "Connection cannot be encoded"),
        (Page[Connection], "Connection cannot be encoded"),
        (Callable[[int], int], "Callable cannot be encoded"),
        (AsyncIterator[int], "AsyncIterator cannot be encoded"),
        (int | Connection, "custom type"),
        (list[int] | set[int], "more than one array-like"),
        (Mixed, "all str or all int"),
        (Annotated[str, msgspec.Meta(ge=1)], "Can only set `ge` on a numeric type"),
        (msgspec.msgpack.Ext, "exists in MessagePack only"),
        (dict[tuple[int, int], int], "a dict's keys must be"),
        (dict[bool, int], "a dict's keys must be"),
        (dict[int | str, int], "where 1 and '1' are the same key; use keys of one type"),
        (list[dict[float | UUID, int]], "are the same key"),
        (dict[Level | Literal["1"], int], "are the same key"),
        (dict[Literal["1", 1], int], "are the same key"),
        (dict[Frozen, int], "a dict's keys must be"),
        (list[dict[int | None, int]], "a dict's keys must be"),
        (set[list[int]], "a set's items must be hashable"),
        (set[Tree], "a set's items must be hashable"),
        (frozenset[tuple[int, ...] | dict[str, int]], "a set's items must be hashable"),
        (set[tuple[list[int], int]], "a set's items must be hashable"),
        (Dangling, "Nowhere"),
        ("int", "not supported"),
        (5, "not supported"),
    ],
    ids=str,
)
def test_types_that_cannot_travel_are_refused_with_the_reason(annotation: Any, reason: str) -> None:
    with pytest.raises(ContractError, match=reason):
        check_type(annotation)


@pytest.mark.parametrize(
    ("annotation", "numbers_or_null", "numbers", "texts", "flat"),
    [
        (int, False, False, False, True),
        (list[float], False, True, False, True),
        (list[float | None], True, True, False, True),
        (dict[int, int], False, False, True, True),
        (Any, True, True, False, True),
        (msgspec.Raw, True, True, False, True),
        (list[msgspec.Raw | None], True, True, False, True),
        (bytearray, False, False, True, True),
        (Annotated[str, ["what has no hash"]], False, False, True, True),
        (Order, False, False, True, True),
        (list[Pair], False, False, True, False),
    ],
    ids=str,
)
def test_what_json_does_not_tell_is_known_by_type(
    annotation: Any, *, numbers_or_null: bool, numbers: bool, texts: bool, flat: bool
) -> None:
    found = traits(annotation)
    assert (found.numbers_or_null, found.numbers) == (numbers_or_null, numbers)
    assert (found.texts, found.flat) == (texts, flat)


class Mutable(msgspec.Struct):
    number: int


@dataclass
class MutableData:
    number: int


@pytest.mark.parametrize(
    "item", [Mutable, MutableData, tuple[Mutable, int], tuple[Mutable, ...], list[int]]
)
def test_what_has_no_hash_is_in_no_set(item: Any) -> None:
    with pytest.raises(ContractError, match="a set's items must be hashable"):
        check_type(set[item])


@pytest.mark.parametrize("item", [Frozen, tuple[int, int], tuple[int, ...]])
def test_what_has_a_hash_may_be_in_a_set(item: Any) -> None:
    check_type(set[item])


def test_an_annotation_that_has_no_hash_itself_is_looked_at_all_the_same() -> None:
    annotation = Annotated[float, ["a note"]]
    assert pydantic_type(annotation) is None
    assert traits(annotation).numbers


if sys.version_info >= (3, 12):

    def test_a_field_of_a_name_that_means_itself_is_refused() -> None:
        names: dict[str, Any] = {}
        exec("type Tree = dict[str, Tree] | int", names)
        with pytest.raises(ContractError, match="of a `type` that means something with itself"):
            check_type(msgspec.defstruct("Holder", [("tree", names["Tree"])]))


def test_a_class_of_attrs_that_msgspec_cannot_read_is_refused() -> None:
    attrs = pytest.importorskip("attrs")
    field = attrs.field(default=attrs.Factory(lambda self: self.a, takes_self=True), type=int)
    made = attrs.make_class("Line", {"a": attrs.field(type=int), "b": field})
    with pytest.raises(ContractError, match="takes_self=True"):
        check_type(made)
