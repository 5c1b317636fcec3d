"""Whether what one method gives is what another takes, by their JSON Schemas."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from enum import Enum
from typing import Annotated, Any, Literal

import msgspec
import pytest

from leveret import Meta
from leveret.contract.fitting import misfit, misfits
from leveret.contract.typed_schema import Typed


class Point(msgspec.Struct):
    x: int
    y: int = 0


class Place(msgspec.Struct):
    x: int
    y: int = 0
    name: str | None = None


class Named(msgspec.Struct):
    name: str


@dataclass
class Spot:
    x: int
    more: list[str] = field(default_factory=list)


class Tree(msgspec.Struct):
    size: int = 0
    left: Tree | None = None


class Bush(msgspec.Struct):
    size: str = ""
    left: Bush | None = None


class Color(Enum):
    RED = "red"
    BLUE = "blue"


def schema(annotation: Any) -> dict[str, Any]:
    return msgspec.json.schema(annotation)


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        (int, int),
        (int, float),
        (int, Annotated[int, Meta(ge=5)]),
        (str, Any),
        (Any, str),
        (int, int | None),
        (Literal["red"], Literal["red", "blue"]),
        (Literal["red"], str),
        (list[int], list[float]),
        (dict[str, int], dict[str, int]),
        (tuple[int, str], tuple[int, str]),
        (Point, Place),
        (Place, Point),
        (Spot, Point),
        (Tree, Tree),
        (date, date),
        (bytes, bytes),
        (int | str, str | int | None),
    ],
)
def test_what_can_fit_fits(given: Any, taken: Any) -> None:
    assert misfit(schema(given), schema(taken)) == ""


@pytest.mark.parametrize(
    ("given", "taken", "why"),
    [
        (int, str, "integer is not string"),
        (float, int, "number is not integer"),
        (None, int, "null is not integer"),
        (int | None, int, "null is not integer"),
        (str, bytes, "string is not string (base64)"),
        (date, str, "string (date) is not string"),
        (list[int], list[str], "$[...], integer, is not string"),
        (dict[str, int], dict[str, str], "$[...], integer, is not string"),
        (tuple[int, str], tuple[int, int], "$[...], string, is not integer"),
        (Literal["green"], Color, "string may be none of ['blue', 'red']"),
        (Point, Named, "$ has no 'name'"),
        (Tree, Bush, "$.size, integer, is not string"),
        (bool, int | str, "boolean is none of them"),
        (list[int], Point, "array is not a Point"),
    ],
)
def test_what_can_never_fit_says_why(given: Any, taken: Any, why: str) -> None:
    assert misfit(schema(given), schema(taken)) == why


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (None, "null"),
        (True, "boolean"),
        (1, "integer"),
        (1.5, "number"),
        ("a", "string"),
        ({}, "object"),
    ],
)
def test_one_of_several_values_is_of_its_type(value: object, kind: str) -> None:
    assert misfit({"const": value}, {"type": [kind, "array"]}) == ""
    assert misfit({"enum": [value, value]}, {"type": "array"}).endswith("is not array")


def test_a_field_that_is_not_known_there_is_a_misfit_where_none_may_be() -> None:
    closed = {**schema(Named)["$defs"]["Named"], "additionalProperties": False}
    assert "may have 'x'" in misfit(
        {"type": "object", "properties": {"name": {"type": "string"}, "x": {}}}, closed
    )


@pytest.mark.parametrize(
    ("given", "taken", "fits"),
    [
        ({"kind": "ndarray"}, {"kind": "ndarray", "dtype": ["float64"]}, True),
        ({"kind": "ndarray", "dtype": ["int8"]}, {"kind": "ndarray", "dtype": ["float64"]}, False),
        ({"kind": "Table"}, {"kind": "ndarray"}, False),
        ({"kind": "Table"}, None, False),
    ],
)
def test_arrays_and_tables_fit_their_own_kind(
    given: dict[str, Any], taken: dict[str, Any] | None, fits: bool
) -> None:
    one = {"type": "object", "x-leveret-buffer": given}
    other = {"type": "object"} if taken is None else {"type": "object", "x-leveret-buffer": taken}
    assert (misfit(one, other) == "") is fits


def test_a_schema_that_refers_to_nothing_or_to_itself_says_nothing() -> None:
    assert misfit({"$ref": "#/$defs/gone"}, {"type": "string"}) == ""
    assert misfit({"$ref": "#"}, {"type": "string"}) == ""


# -- every value ---------------------------------------------------------------------------------


class Twins(msgspec.Struct):
    """A type that refers to itself twice: looking at all of it has no end."""

    left: Twins | None = None
    right: Twins | None = None
    size: int = 0


class OtherTwins(msgspec.Struct):
    left: OtherTwins | None = None
    right: OtherTwins | None = None
    size: str = ""


class Cat(msgspec.Struct, tag=True):
    lives: int


class Dog(msgspec.Struct, tag=True):
    name: str


class NewCat(msgspec.Struct, tag="Cat"):
    lives: Annotated[int, Meta(le=9)]


def said(given: Any, taken: Any) -> list[str]:
    one, other = (it if isinstance(it, dict) else schema(it) for it in (given, taken))
    return [f"{it.why}: {it.text}" for it in misfits(Typed(one, one), Typed(other, other))]


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        (int, int),
        (int, float),
        (int, Any),
        (Literal["red"], str),
        (Literal["red"], Literal["red", "blue"]),
        (Annotated[int, Meta(ge=5)], Annotated[int, Meta(gt=3)]),
        (int, int | None),
        (tuple[int, int], list[int]),
        (Point, Point),
        (Twins, Twins),
        (Cat | Dog, Cat | Dog),
        (Point, dict[str, int]),
        (dict[str, int], dict[str, float]),
        ({"x-leveret-buffer": {"kind": "Table"}}, {"x-leveret-buffer": {"kind": "Table"}}),
    ],
)
def test_where_every_value_fits_nothing_is_said(given: Any, taken: Any) -> None:
    assert said(given, taken) == []


@pytest.mark.parametrize(
    ("given", "taken", "why"),
    [
        (Any, int, "wider: anything may be other than integer"),
        (int, Annotated[int, Meta(ge=5)], "wider: $ may be less than 5"),
        (str, Literal["red"], "wider: string may be none of ['red']"),
        (Literal["red", "blue"], Literal["red"], "wider: string may be 'blue'"),
        (list[int], tuple[int, int], "wider: $ may have fewer than 2 items"),
        (dict[str, int], Point, "absent: $ may lack 'x'"),
        (Place, Point, "unread: $ has 'name', which nobody reads"),
        (Spot, Point, "unread: $ has 'more', which nobody reads"),
        (Twins, OtherTwins, "never: $.size, integer, is not string"),
        (Cat | Dog, NewCat | Dog, "wider: $.lives may be more than 9"),
        (Spot, dict[str, int], "never: $.more, array, is not integer"),
        (tuple[int, str], list[int], "never: $[...], string, is not integer"),
        (
            {"x-leveret-buffer": {"kind": "ndarray"}},
            {"x-leveret-buffer": {"kind": "ndarray", "dtype": ["int8"]}},
            "never: a ndarray is not a ndarray",
        ),
    ],
)
def test_what_may_not_fit_is_said(given: Any, taken: Any, why: str) -> None:
    assert why in said(given, taken)


def test_a_member_that_may_be_left_out_is_not_one_that_is_there() -> None:
    optional = {"type": "object", "properties": {"x": {"type": "integer"}}}
    assert said(optional, {**optional, "required": ["x"]}) == ["absent: $ may lack 'x'"]
    assert said({**optional, "required": ["x"]}, optional) == []


def test_a_pipe_of_types_that_refer_to_themselves_twice_is_checked_at_once() -> None:
    assert misfit(schema(Twins), schema(Twins)) == ""
    assert misfit(schema(Twins), schema(OtherTwins)) == "$.size, integer, is not string"


def test_types_that_are_very_deep_are_followed_as_far_as_it_is_of_use() -> None:
    one: dict[str, Any] = {"type": "integer"}
    other: dict[str, Any] = {"type": "string"}
    for _ in range(100):
        one, other = ({"type": "array", "items": it} for it in (one, other))
    assert misfit(one, other) == ""


def test_alternatives_that_nothing_tells_apart_are_judged_together() -> None:
    union = {"anyOf": [{"type": "string", "maxLength": 1}, {"type": "string", "minLength": 9}]}
    assert said({"type": "string"}, union) == ["never: string is none of them"]
