"""Types that are made of JSON Schema: they check what it says, and take it for data only."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Generic, Literal, TypedDict, TypeVar
from uuid import UUID

import msgspec
import pytest
from msgspec import Meta, Struct

from leveret.codec import DescribedTypes, as_plain, describe, is_argument, is_name

T = TypeVar("T")


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Node(Struct):
    value: bytes
    inner: list[Node] = []


class Point(Struct, array_like=True):
    x: int
    y: float = 0.5
    z: bytes | None = None


class Kebab(Struct, rename="kebab", forbid_unknown_fields=True):
    first_name: str
    born: date = date(2000, 1, 1)


class Cat(Struct, tag=True):
    name: str


class Dog(Struct, tag=True):
    age: int


class Page(Struct, Generic[T]):
    items: list[T]


class Partial(TypedDict, total=False):
    picture: bytes


def schema_of(annotation: Any) -> dict[str, Any]:
    schema, definitions = describe(annotation, "#/$defs/{name}")
    return {**schema, "$defs": definitions}


def described(annotation: Any) -> Any:
    schema = schema_of(annotation)
    return DescribedTypes(schema, "here").of(schema)


SIMPLE: list[Any] = [
    int,
    Annotated[int, Meta(ge=0)],
    Annotated[int, Meta(ge=0, le=10, multiple_of=2)],
    Annotated[float, Meta(gt=0.5)],
    str,
    bool,
    bytes,
    datetime,
    date,
    time,
    timedelta,
    UUID,
    Decimal,
    Annotated[str, Meta(pattern="^a")],
    list[bytes],
    tuple[int, bytes],
    Literal["a", "b"],
    int | None,
    bytes | int | None,
]


@pytest.mark.parametrize("annotation", SIMPLE, ids=str)
def test_simple_types_are_what_they_were(annotation: Any) -> None:
    assert described(annotation) == annotation


@pytest.mark.parametrize(
    ("annotation", "body", "value"),
    [
        (Colour, b'"red"', "red"),
        (set[int], b"[1]", [1]),
        (dict[str, bytes], b'{"a":"YQ=="}', {"a": b"a"}),
        (Node, b'{"value":"YQ==","inner":[{"value":"Yg=="}]}', None),
        (Point, b"[1]", [1, 0.5, None]),
        (list[Point], b'[[1,2.0,"YQ=="]]', [[1, 2.0, b"a"]]),
        (Kebab, b'{"first-name":"Ann"}', {"first-name": "Ann", "born": date(2000, 1, 1)}),
        (Cat | Dog, b'{"type":"Dog","age":3}', {"type": "Dog", "age": 3}),
        (list[Cat | Dog] | None, b"null", None),
        (Partial, b'{"picture":"YQ=="}', {"picture": b"a"}),
        (Partial, b"{}", {}),
        (Any, b'{"a":[1]}', {"a": [1]}),
    ],
    ids=str,
)
def test_values_are_plain_with_bytes_and_dates_inside(
    annotation: Any, body: bytes, value: Any
) -> None:
    if annotation is Node:
        value = {"value": b"a", "inner": [{"value": b"b", "inner": []}]}
    assert as_plain(msgspec.json.decode(body, type=described(annotation))) == value


@pytest.mark.parametrize(
    ("annotation", "body"),
    [
        (Kebab, b'{"first-name":"Ann","x":1}'),
        (Kebab, b"{}"),
        (Node, b'{"value":"YQ==","inner":[{}]}'),
        (Point, b"[]"),
        (Cat | Dog, b'{"type":"Fish"}'),
        (Colour, b'"green"'),
        (Annotated[list[Node], Meta(max_length=1)], b'[{"value":""},{"value":""}]'),
        (Annotated[bytes, Meta(max_length=3)], b'"YWFhYWFhYQ=="'),
        (Annotated[bytes, Meta(min_length=4)], b'"YQ=="'),
    ],
    ids=str,
)
def test_what_the_class_forbids_its_description_forbids(annotation: Any, body: bytes) -> None:
    for kind in (annotation, described(annotation)):
        with pytest.raises(msgspec.ValidationError):
            msgspec.json.decode(body, type=kind)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 6])
def test_bounds_of_bytes_are_no_narrower_than_they_were(size: int) -> None:
    exact = Annotated[bytes, Meta(min_length=size, max_length=size)]
    body = msgspec.json.encode(b"a" * size)
    assert msgspec.json.decode(body, type=described(exact)) == b"a" * size


UNKNOWN: list[Any] = [
    True,
    None,
    7,
    {},
    {"type": "file"},
    {"type": 7},
    {"$ref": "#/$defs/Missing"},
    {"$ref": "https://example.org/schema"},
    {"$ref": 7},
    {"anyOf": []},
    {"anyOf": "x"},
    {"anyOf": [{"type": "string"}, {"type": "string", "format": "date"}]},
    {"anyOf": [{"type": "object", "properties": {}}, {"type": "object"}]},
    {"allOf": [{"type": "string"}, {"type": "integer"}]},
    {"enum": [1.5]},
    {"enum": "x"},
    {"const": True},
    {"$ref": "#/$defs/Loop"},
]


@pytest.mark.parametrize("schema", UNKNOWN, ids=str)
def test_what_is_not_said_or_not_known_is_any(schema: Any) -> None:
    whole = {"$defs": {"Loop": {"anyOf": [{"$ref": "#/$defs/Loop"}]}}}
    assert DescribedTypes(whole, "here").of(schema) is Any


@pytest.mark.parametrize(
    ("schema", "annotation"),
    [
        ({"type": ["integer", "null"]}, int | None),
        ({"oneOf": [{"type": "integer"}, {"type": "string"}]}, int | str),
        ({"allOf": [{"type": "integer"}]}, int),
        ({"const": "a"}, Literal["a"]),
        ({"type": "string", "pattern": "("}, str),
        ({"type": "string", "minLength": -1, "maxLength": "x"}, str),
        ({"type": "integer", "minimum": 10**30, "maximum": 5}, Annotated[int, Meta(le=5)]),
        ({"type": "string", "format": "email"}, str),
        ({"type": "string", "format": "binary"}, str),
        ({"type": "null"}, None),
    ],
    ids=str,
)
def test_schemas_of_others_are_read_as_far_as_they_go(schema: Any, annotation: Any) -> None:
    assert DescribedTypes({}, "here").of(schema) == annotation


def test_an_object_with_members_of_any_name_is_a_dict() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    extras: tuple[dict[str, Any], ...] = (
        {"additionalProperties": True},
        {"patternProperties": {"^b": {}}},
    )
    for more in extras:
        found = DescribedTypes({}, "here").of({**schema, **more})
        assert msgspec.json.decode(b'{"a":1,"b":2}', type=found) == {"a": 1, "b": 2}


def test_a_default_is_of_the_type_that_it_has() -> None:
    types = DescribedTypes({}, "here")
    assert types.default({"default": "2024-02-29"}, date) == date(2024, 2, 29)
    assert types.default({"default": "YQ=="}, bytes) == b"a"
    for default, annotation in (("soon", date), (None, float)):
        with pytest.raises(KeyError):
            types.default({"default": default}, annotation)
    with pytest.raises(KeyError):
        types.default({}, int)


def test_the_members_of_objects_are_told() -> None:
    schema = schema_of(Cat)
    types = DescribedTypes(schema, "here")
    assert types.of(schema) is types.of(schema)
    assert types.objects == {"Cat": {"type": Literal["Cat"], "name": str}}


def test_an_object_of_a_generic_class_has_a_name_too() -> None:
    schema = schema_of(Page[Cat])
    types = DescribedTypes(schema, "here")
    assert types.of(schema).__name__ == "Page_Cat"
    assert set(types.objects) == {"Cat", "Page_Cat"}


def test_what_can_be_a_name_in_python() -> None:
    assert is_name("fib")
    assert not any(map(is_name, ["", "_fib", "class", "a-b", "1a", 7, None, "__class__"]))


@pytest.mark.parametrize("name", ["a", "_a", "_", "größe", "self"])
def test_an_argument_may_have_any_name_that_python_has(name: str) -> None:
    assert is_argument(name)


@pytest.mark.parametrize("name", ["", "1", "a-b", "a.b", "class", "__class__", "a\u202e", 1, None])
def test_nothing_else_is_the_name_of_an_argument(name: object) -> None:
    assert not is_argument(name)
