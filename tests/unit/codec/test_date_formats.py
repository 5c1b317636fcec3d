"""Dates and times have their format in JSON Schema, and flags all their values, wherever they
stand in a type."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time
from enum import Flag, IntFlag
from typing import Annotated, Any, Generic, NamedTuple, TypedDict, TypeVar

import msgspec
import pytest
from msgspec import Meta

from leveret.codec import describe

DATE_TIME = {"type": "string", "format": "date-time"}
T = TypeVar("T")


class Visit(msgspec.Struct, tag=True):
    begins: datetime
    note: str = ""


class Trip(msgspec.Struct, tag=True, array_like=True):
    stops: list[datetime]


class Tree(msgspec.Struct):
    planted: datetime | None
    children: list[Tree] = []


class Box(msgspec.Struct, Generic[T]):
    content: T


@dataclass
class Shift:
    begins: time


class Span(NamedTuple):
    begins: datetime
    days: int


class Note(TypedDict):
    written: datetime


def described(annotation: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    return describe(annotation, "#/$defs/{name}")


@pytest.mark.parametrize(
    ("annotation", "schema"),
    [
        (datetime, DATE_TIME),
        (date, {"type": "string", "format": "date"}),
        (time, {"type": "string", "format": "time"}),
        (str, {"type": "string"}),
        (Annotated[datetime, Meta(description="when")], {**DATE_TIME, "description": "when"}),
        (
            Annotated[datetime, Meta(extra_json_schema={"format": "x"})],
            {"type": "string", "format": "x"},
        ),
        (list[datetime], {"type": "array", "items": DATE_TIME}),
        (dict[str, datetime], {"type": "object", "additionalProperties": DATE_TIME}),
        (datetime | None, {"anyOf": [DATE_TIME, {"type": "null"}]}),
        (
            list[datetime] | int,
            {"anyOf": [{"type": "array", "items": DATE_TIME}, {"type": "integer"}]},
        ),
    ],
)
def test_a_date_has_its_format(annotation: Any, schema: dict[str, Any]) -> None:
    found, definitions = described(annotation)
    if "anyOf" in schema:
        assert sorted(map(str, found["anyOf"])) == sorted(map(str, schema["anyOf"]))
    else:
        assert found == schema
    assert definitions == {}


def test_a_tuple_has_it_in_its_place() -> None:
    schema, _ = described(tuple[int, datetime])
    assert schema["prefixItems"] == [{"type": "integer"}, DATE_TIME]


def test_fields_of_every_kind_of_class_have_it() -> None:
    _, found = described(list[Visit | int] | None)
    assert found["Visit"]["properties"]["begins"] == DATE_TIME
    assert found["Visit"]["properties"]["note"]["type"] == "string"
    assert "format" not in found["Visit"]["properties"]["note"]
    assert described(Shift)[1]["Shift"]["properties"]["begins"]["format"] == "time"
    assert described(Trip)[1]["Trip"]["prefixItems"][-1]["items"] == DATE_TIME
    assert described(Span)[1]["Span"]["prefixItems"] == [DATE_TIME, {"type": "integer"}]
    assert described(Note)[1]["Note"]["properties"]["written"] == DATE_TIME
    (box,) = described(Box[datetime])[1].values()
    assert box["properties"]["content"] == DATE_TIME
    (tree,) = described(Tree)[1].values()
    assert DATE_TIME in tree["properties"]["planted"]["anyOf"]


class Rights(Flag):
    """What somebody may do."""

    READ = 1
    WRITE = 4
    ALL = 13


class Options(IntFlag):
    LOUD = 1


class Door(msgspec.Struct):
    rights: list[Rights] = []
    options: Options | None = None


def test_combined_flags_are_values_as_single_ones_are() -> None:
    _, found = described(dict[str, Door])
    assert found["Rights"] == {
        "title": "Rights",
        "description": "What somebody may do.\n\nA sum of READ = 1, WRITE = 4, ALL = 13.",
        "type": "integer",
        "minimum": 0,
        "maximum": 13,
    }
    assert found["Options"] == {
        "title": "Options",
        "description": "A sum of LOUD = 1.",
        "type": "integer",
    }
    assert described(Rights)[1] == {"Rights": found["Rights"]}
