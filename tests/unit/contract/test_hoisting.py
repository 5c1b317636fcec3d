"""The classes in the schemas of a service as definitions of one document."""

from __future__ import annotations

from typing import Any

import pytest

from leveret.contract.hoisting import Hoisted

ITEM = {"type": "object", "properties": {"n": {"type": "integer"}}}
OTHER = {"type": "object", "properties": {"n": {"type": "string"}}}


def schema(item: Any, **more: Any) -> dict[str, Any]:
    return {"$schema": "x", "$ref": "#/$defs/Item", "$defs": {"Item": item, **more}}


def test_a_class_is_once_in_the_document() -> None:
    hoisted = Hoisted("#/there/")
    for _ in range(2):
        assert hoisted.schema(schema(ITEM)) == {"$ref": "#/there/Item"}
    assert hoisted.definitions == {"Item": ITEM}


def test_another_class_of_that_name_has_another_name() -> None:
    hoisted = Hoisted()
    hoisted.schema(schema(ITEM))
    assert hoisted.schema(schema(OTHER)) == {"$ref": "#/$defs/Item_2"}
    assert hoisted.definitions == {"Item": ITEM, "Item_2": OTHER}


def test_a_class_is_another_one_if_what_it_refers_to_is() -> None:
    hoisted = Hoisted()
    tree = {"properties": {"item": {"$ref": "#/$defs/Part"}, "left": {"$ref": "#/$defs/Item"}}}
    first = hoisted.schema(schema(tree, Part=ITEM))
    assert hoisted.schema(schema(tree, Part=ITEM)) == first
    assert hoisted.schema(schema(tree, Part=OTHER)) != first
    names = hoisted.definitions["Item_2"]["properties"]
    assert names == {"item": {"$ref": "#/$defs/Part_2"}, "left": {"$ref": "#/$defs/Item_2"}}


def test_names_are_what_a_document_can_have() -> None:
    hoisted = Hoisted()
    page = {"$ref": "#/$defs/Page%5BA~1B%5D", "$defs": {"Page[A/B]": ITEM, "": OTHER}}
    assert hoisted.schema(page) == {"$ref": "#/$defs/Page_A_B_"}
    assert hoisted.definitions.keys() == {"Page_A_B_", "_"}


def test_references_that_lead_nowhere_are_left_out() -> None:
    found = Hoisted().schema({"items": {"$ref": "#/$defs/Gone", "default": 1}, "$defs": 5})
    assert found == {"items": {"default": 1}}


def test_a_member_may_be_called_as_a_keyword() -> None:
    found = Hoisted().schema({"properties": {"$ref": {"type": "string"}}})
    assert found == {"properties": {"$ref": {"type": "string"}}}


def test_a_schema_without_end_is_refused() -> None:
    deep: dict[str, Any] = {}
    for _ in range(100):
        deep = {"items": deep}
    with pytest.raises(ValueError, match="nested too deeply"):
        Hoisted().schema(deep)
