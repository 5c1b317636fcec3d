"""What is inside an annotation, and how it is changed there."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from dataclasses import dataclass
from typing import (
    Annotated,
    Any,
    ClassVar,
    Literal,
    NamedTuple,
    NewType,
    Required,
    TypedDict,
    TypeVar,
    get_origin,
)

import msgspec
import pytest
import typing_extensions
from typing_extensions import TypeAliasType

from leveret.annotations.parts import parts, with_parts
from tests.unit.annotations.lazy_aliases import lazy_alias

T = TypeVar("T")
Sku = NewType("Sku", bytes)
Skus = TypeAliasType("Skus", list[Sku])
Both = TypeAliasType("Both", tuple[T, T], type_params=(T,))
U = TypeVar("U")
Lists = TypeAliasType("Lists", dict[U, list[T]], type_params=(T, U))


@dataclass
class Stock:
    skus: Skus
    both: Both[Annotated[float, "a note"]]


class Point(msgspec.Struct):
    x: float
    next: Point | None = None


@dataclass
class Box:
    corner: Point
    of_all: ClassVar[list[bytes]]


class Pair(NamedTuple):
    a: int


class Options(TypedDict):
    deep: bool


class OtherOptions(typing_extensions.TypedDict, total=False):
    deep: Required[bool]


class Dangling(msgspec.Struct):
    other: Nowhere  # type: ignore[name-defined]  # noqa: F821


def where(annotation: Any, found: Any) -> list[str]:
    return [field for part, field in parts(annotation) if part is found]


@pytest.mark.parametrize(
    ("annotation", "found", "fields"),
    [
        (int, int, [""]),
        (dict[str, list[int]] | None, int, [""]),
        (Annotated[int, "a note"], int, [""]),
        (Box, float, ["Point.x"]),
        (Box, bytes, []),
        (tuple[Point, ...], float, ["Point.x"]),
        (Pair, int, ["Pair.a"]),
        (Options, bool, ["Options.deep"]),
        (OtherOptions, bool, ["OtherOptions.deep"]),
        (Literal[1], int, []),
        (Sku, bytes, [""]),
        (Stock, bytes, ["Stock.skus"]),
        (Stock, float, ["Stock.both", "Stock.both"]),
        (Dangling, int, []),
    ],
    ids=str,
)
def test_each_part_is_found_with_the_field_that_it_is_in(
    annotation: Any, found: Any, fields: list[str]
) -> None:
    assert where(annotation, found) == fields


def test_a_name_may_mean_itself_or_nothing_yet() -> None:
    a_dict, a_list = vars(builtins)["dict"], vars(builtins)["list"]  # mypy would read types
    tree: Any = lazy_alias("Tree", lambda: a_dict[str, tree] | bytes)
    later = lazy_alias("Later", lambda: list[Nowhere])  # type: ignore[name-defined]  # noqa: F821
    assert where(a_list[tree], bytes) == [""]
    assert where(later, later) == [""]


def test_what_a_name_with_brackets_means_has_in_it_what_stands_between_them() -> None:
    found = [part for part, _ in parts(tuple[Lists[int, str], Lists[bytes, str], Lists[int, str]])]
    assert [part for part in found if get_origin(part) is dict] == [
        dict[str, list[int]],
        dict[str, list[bytes]],
        dict[str, list[int]],
    ]
    assert [part for part in found if part is bytes] == [bytes]


def test_a_name_may_mean_itself_with_ever_more_between_its_brackets() -> None:
    of: Any = Lists  # mypy would read types
    ever: Any = lazy_alias("Ever", lambda: of[ever[of[T, T]], bytes], T)
    assert where(ever[int], bytes) == [""]


@pytest.mark.parametrize(
    ("annotation", "changed"),
    [
        (list[int], list[str]),
        (tuple[int, ...], tuple[str, ...]),
        (dict[int, list[int]], dict[str, list[str]]),
        (int | None, str | None),
        (Annotated[int, "a note"], Annotated[str, "a note"]),
        (list[Annotated[int | bytes, "a note"]], list[Annotated[str | bytes, "a note"]]),
    ],
    ids=str,
)
def test_parts_are_changed_at_any_depth(annotation: Any, changed: Any) -> None:
    def change(part: Any) -> Any:
        return str if part is int else with_parts(part, change)

    assert change(annotation) == changed


@pytest.mark.parametrize("annotation", [list[bytes], Literal["a"], Callable[[int], int], Point])
def test_an_annotation_in_which_nothing_changes_is_itself(annotation: Any) -> None:
    assert with_parts(annotation, lambda part: part) is annotation
    assert with_parts(annotation, lambda part: str if part is int else part) is annotation
