"""JSON Schemas as Python would have them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
import pytest

from leveret import Meta
from leveret.documents.python_types import PythonTypes

TYPES = PythonTypes()


class Item(msgspec.Struct):
    n: int


def schema(annotation: Any) -> Any:
    return annotation if isinstance(annotation, Mapping) else msgspec.json.schema(annotation)


@pytest.mark.parametrize(
    ("annotation", "text"),
    [
        (int, "int"),
        (float, "float"),
        (bool, "bool"),
        (None, "None"),
        (str, "str"),
        (bytes, "bytes"),
        ({"type": "string", "format": "date-time"}, "datetime"),
        (timedelta, "timedelta"),
        (UUID, "UUID"),
        (Decimal, "Decimal"),
        (Any, "Any"),
        (None | int, "int | None"),
        (int | str | None, "int | str | None"),
        (Literal["a", 1], "Literal[1, 'a']"),
        (list[int], "list[int]"),
        (set[int], "set[int]"),
        (tuple[int, str], "tuple[int, str]"),
        (dict[str, list[float]], "dict[str, list[float]]"),
        (list[Item], "list[Item]"),
        ({"const": 5}, "Literal[5]"),
        ({"type": ["string", "null"]}, "str | None"),
        ({"type": "array"}, "list[Any]"),
        ({"type": "object"}, "dict[str, Any]"),
        ({"type": "object", "properties": {}, "title": "Order"}, "Order"),
        ({"type": "object", "properties": {}}, "dict[str, Any]"),
        ({"allOf": [{"type": "integer"}]}, "int"),
        ({"oneOf": [{"type": "integer"}, {}]}, "Any"),
        ({"x-leveret-buffer": {"kind": "ndarray"}}, "numpy.ndarray"),
        ({"x-leveret-buffer": {"kind": "DataFrame"}}, "DataFrame"),
        ({"x-leveret-buffer": 1}, "Any"),
        ({"type": "strange"}, "Any"),
        ({"$ref": "#/$defs/Item"}, "Item"),
    ],
)
def test_a_schema_is_a_type(annotation: Any, text: str) -> None:
    assert TYPES.text(schema(annotation)) == text


def test_a_schema_without_end_is_shown_as_far_as_it_is_of_use() -> None:
    deep: dict[str, Any] = {}
    for _ in range(500):
        deep = {"type": "array", "items": deep, "minItems": 1}
    assert "Any" in TYPES.text(deep)
    assert TYPES.bounds(deep).startswith("at least 1 item, each at least")


@pytest.mark.parametrize(
    ("annotation", "words"),
    [
        (int, ""),
        (Annotated[int, Meta(ge=0, le=9)], "0 to 9"),
        (Annotated[int, Meta(ge=0)], "at least 0"),
        (Annotated[float, Meta(le=0.5)], "at most 0.5"),
        (Annotated[float, Meta(gt=0, lt=1)], "above 0, below 1"),
        (Annotated[int, Meta(multiple_of=5)], "a multiple of 5"),
        (Annotated[str, Meta(min_length=1, max_length=9)], "1 to 9 characters"),
        (Annotated[str, Meta(min_length=2, max_length=2)], "2 characters"),
        (Annotated[str, Meta(min_length=2)], "at least 2 characters"),
        (Annotated[list[int], Meta(max_length=3)], "at most 3 items"),
        (Annotated[str, Meta(pattern="^a$")], "matching ^a$"),
        (list[Annotated[int, Meta(ge=0)]], "each at least 0"),
        (dict[str, Annotated[int, Meta(ge=0)]], "each at least 0"),
        (Annotated[int, Meta(ge=0)] | None, "at least 0"),
        (tuple[int, int], ""),
        (list[Item], ""),
    ],
)
def test_bounds_have_words(annotation: Any, words: str) -> None:
    assert TYPES.bounds(schema(annotation)) == words


def test_defaults_and_values_are_as_python_has_them() -> None:
    assert TYPES.default({"default": "a"}) == "'a'"
    assert TYPES.default({"default": None}) == "None"
    assert TYPES.default({}) is None
    assert TYPES.default(True) is None
    assert TYPES.values({"enum": ["a", 1]}) == ("'a'", "1")
    assert TYPES.values({"enum": 1}) == TYPES.values(True) == ()
