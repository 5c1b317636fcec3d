"""Whether what one method gives is what another takes, by their JSON Schemas."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from enum import Enum
from typing import Annotated, Any, Literal

import msgspec
import pytest

from leveret import Meta
from leveret.contract.fitting import misfit


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
