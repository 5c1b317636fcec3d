"""Forms of JSON Schemas: each kind of type, each state of a value."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import uuid
from typing import Annotated, Any, Literal

import msgspec
import pytest

from leveret import Service, method, service_schema
from leveret.console.fields import ABSENT, Field, form, json_text, read_json


class Colour(enum.Enum):
    RED = "red"
    GREEN = "green"


class Address(msgspec.Struct):
    """Where somebody lives."""

    street: str
    zip: str | None = None


class Cat(msgspec.Struct, tag="cat"):
    lives: int


class Dog(msgspec.Struct, tag="dog"):
    name: str


class Node(msgspec.Struct):
    value: int
    next: Node | None = None


class Kinds(Service):
    @method
    async def every(
        self,
        big: int,
        ratio: float,
        text: str,
        flag: bool,
        raw: bytes,
        price: decimal.Decimal,
        day: dt.date,
        at: dt.datetime,
        hour: dt.time,
        span: dt.timedelta,
        ident: uuid.UUID,
        colour: Colour,
        one: Literal["a"],
        address: Address,
        pet: Cat | Dog,
        either: int | str,
        tags: list[str],
        pair: tuple[int, str],
        table: dict[str, int],
        node: Node,
        anything: Any,
        nullable: int | None,
        small: Annotated[int, msgspec.Meta(ge=0, le=10, description="A small one.")],
        opt: int | None = None,
        dflt: str = "x",
    ) -> None: ...


SCHEMA = service_schema(Kinds)["methods"]["every"]["arguments"]


def fields(value: object = ABSENT) -> dict[str, Field]:
    return {field.name: field for field in form(SCHEMA, value).fields}


def test_each_type_has_a_field_of_its_kind() -> None:
    assert {name: field.kind for name, field in fields().items()} == {
        "big": "integer",
        "ratio": "number",
        "text": "text",
        "flag": "boolean",
        "raw": "bytes",
        "price": "decimal",
        "day": "date",
        "at": "datetime",
        "hour": "time",
        "span": "duration",
        "ident": "uuid",
        "colour": "choice",
        "one": "constant",
        "address": "object",
        "pet": "union",
        "either": "union",
        "tags": "list",
        "pair": "tuple",
        "table": "map",
        "node": "object",
        "anything": "json",
        "nullable": "integer",
        "small": "integer",
        "opt": "integer",
        "dflt": "text",
    }


def test_absent_and_null_are_two_things() -> None:
    empty = fields()
    assert (empty["opt"].required, empty["opt"].nullable, empty["opt"].state) == (
        *(False, True),
        "absent",
    )
    assert (empty["nullable"].required, empty["nullable"].state) == (True, "value")
    assert fields({"opt": None})["opt"].state == "null"
    assert fields({"opt": 3})["opt"].state == "value"
    assert fields({"nullable": None})["nullable"].state == "null"
    assert (empty["dflt"].state, empty["dflt"].text) == ("absent", "x")


def test_what_a_contract_says_is_read_beside_the_field() -> None:
    small = fields()["small"]
    assert (small.bounds, small.doc) == ("≥ 0, ≤ 10", "A small one.")
    assert fields()["address"].label == "Address"


def test_numbers_are_kept_as_they_were_typed() -> None:
    text = '{"big": 12345678901234567890123, "ratio": 0.10000000000000000005, "text": "\u00e4"}'
    value = read_json(text)
    assert json_text(value) == text
    filled = fields(value)
    assert filled["big"].text == "12345678901234567890123"
    assert filled["ratio"].text == "0.10000000000000000005"


def test_a_value_fills_all_that_is_inside() -> None:
    filled = fields(
        {
            "flag": True,
            "colour": "red",
            "address": {"street": "High"},
            "pet": {"type": "dog", "name": "Rex"},
            "either": "word",
            "tags": ["a", "b"],
            "pair": [1],
            "table": {"k": 7},
            "anything": {"deep": [1]},
        }
    )
    assert filled["flag"].text == "true"
    assert filled["colour"].text == '"red"'
    street, postcode = filled["address"].fields
    assert (street.text, postcode.state) == ("High", "absent")
    assert filled["pet"].branch == 1
    assert filled["pet"].fields[1].fields[1].text == "Rex"
    assert filled["pet"].fields[0].label == "Cat"
    assert filled["either"].branch == 1
    assert [item.text for item in filled["tags"].fields] == ["a", "b"]
    assert filled["tags"].item is not None
    assert [part.text for part in filled["pair"].fields] == ["1", ""]
    assert [(entry.name, entry.text) for entry in filled["table"].fields] == [("k", "7")]
    assert filled["anything"].text == '{"deep": [1]}'
    assert filled["one"].text == '"a"'


def test_a_type_that_refers_to_itself_ends_as_json() -> None:
    field = fields()["node"]
    for _ in range(20):
        inner = [it for it in field.fields if it.name == "next"]
        if not inner:
            break
        field = inner[0]
    assert field.kind == "json"


@pytest.mark.parametrize(
    ("branch", "value"),
    [
        ({"type": "array"}, []),
        ({"type": "boolean"}, True),
        ({"type": "integer"}, 3),
        ({"type": "number"}, decimal.Decimal("0.5")),
        ({"enum": ["x"]}, "x"),
        ({"type": "string"}, "x"),
    ],
)
def test_the_branch_of_a_union_is_that_of_the_value(branch: dict[str, Any], value: object) -> None:
    schema = {"anyOf": [{"type": "object", "properties": {}, "required": ["a"]}, branch]}
    assert form(schema, value).branch == 1
    assert form(schema, {"a": 1}).branch == 0
    assert form({"oneOf": [branch, {"type": "null"}]}, None).state == "null"


def test_what_no_form_is_made_for_is_json() -> None:
    for schema in (
        {},
        {"type": "object", "additionalProperties": False},
        {"type": "array", "items": False},
        {"$ref": "#/$defs/Nowhere"},
        {"type": ["string", "null"]},
    ):
        assert form(schema).kind == "json"
    assert form({"const": 3}).text == "3"


def test_json_that_is_too_deep_is_refused() -> None:
    with pytest.raises(ValueError, match="inside of each other"):
        read_json("[" * 100_000)
