"""A JSON Schema as a type."""

from __future__ import annotations

from typing import Any

import pytest

from leveret.contract.typed_schema import ANYTHING, Typed

WHOLE: dict[str, Any] = {
    "$defs": {"Item": {"title": "Item", "type": "object", "properties": {"n": {"type": "integer"}}}}
}


def typed(schema: object) -> Typed:
    return Typed(schema, WHOLE)


def test_a_reference_is_what_it_refers_to() -> None:
    item = typed({"$ref": "#/$defs/Item"})
    assert item.in_words() == "a Item"
    assert item.parts("properties")["n"].types() == {"integer"}
    assert item.parts("required") == {}


def test_references_in_a_circle_lead_nowhere() -> None:
    circle = {"$defs": {"A": {"$ref": "#/$defs/B"}, "B": {"$ref": "#/$defs/A"}}}
    assert Typed({"$ref": "#/$defs/A"}, circle).types() == ANYTHING
    assert Typed({"$ref": "#/$defs/A/b"}, {"$defs": {"A": 1}}).types() == ANYTHING


def test_a_schema_may_be_a_truth_value() -> None:
    assert typed(True).types() == ANYTHING
    assert typed(False).values() == []


def test_alternatives_inside_of_each_other_are_one_list() -> None:
    union = {"anyOf": [{"type": "null"}, {"oneOf": [{"type": "string"}, {"type": "integer"}]}]}
    assert [one.in_words() for one in typed(union).alternatives()] == ["null", "string", "integer"]


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({}, "anything"),
        ({"type": ["string", "null"]}, "null or string"),
        ({"type": "string", "format": "date"}, "string (date)"),
        ({"enum": [1, "a"]}, "integer or string"),
        ({"x-leveret-buffer": {"kind": "Table"}}, "a Table"),
    ],
)
def test_people_have_words_for_it(schema: object, words: str) -> None:
    assert typed(schema).in_words() == words


def test_what_must_be_there_is_told() -> None:
    assert list(typed({"required": ["a"]}).required()) == ["a"]
    assert list(typed({"required": "a"}).required()) == []
