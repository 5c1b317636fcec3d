"""JSON Schema of methods and services."""

from __future__ import annotations

import json
from datetime import date
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from leveret.annotations import Hook
from leveret.contract import Service, fingerprint, method, method_schema, service_schema, spec_of
from leveret.errors import DeclaredError

DIALECT = "https://json-schema.org/draft/2020-12/schema"


class Item(msgspec.Struct):
    """Something to sell."""

    sku: str


class Tree(msgspec.Struct):
    children: list[Tree] = []


class Scan(msgspec.Struct):
    path: str = "caf\udce9"  # as a file's name is read that is no UTF-8


class OutOfStock(DeclaredError):
    """There are not enough of them."""

    sku: str
    left: int = 0


class Shop(Service):
    """Sells items."""

    @method(timeout=5, idempotent=True, raises=[OutOfStock], priority_levels=3)
    async def price(self, item: Item, count: Annotated[int, Meta(ge=1)] = 1) -> float:
        """Return the price."""
        return 0.0

    @method(name="plant")
    async def grow(self, tree: Tree) -> Tree:
        return tree


def test_arguments_are_one_object_that_takes_no_others() -> None:
    assert method_schema(spec_of(Shop).methods["price"])["arguments"] == {
        "$schema": DIALECT,
        "title": "price",
        "type": "object",
        "properties": {
            "item": {"$ref": "#/$defs/Item"},
            "count": {"type": "integer", "minimum": 1, "default": 1},
        },
        "required": ["item"],
        "additionalProperties": False,
        "$defs": {
            "Item": {
                "title": "Item",
                "description": "Something to sell.",
                "type": "object",
                "properties": {"sku": {"type": "string"}},
                "required": ["sku"],
            }
        },
    }


def test_the_result_and_each_declared_error_have_a_schema() -> None:
    schema = method_schema(spec_of(Shop).methods["price"])
    assert schema["result"] == {"$schema": DIALECT, "type": "number"}
    assert list(schema["errors"]) == ["OUT_OF_STOCK"]
    assert schema["errors"]["OUT_OF_STOCK"]["properties"] == {
        "sku": {"type": "string"},
        "left": {"type": "integer", "default": 0},
    }


def test_a_type_that_refers_to_itself_keeps_its_definition() -> None:
    result = method_schema(spec_of(Shop).methods["grow"])["result"]
    assert result["$ref"] == "#/$defs/Tree"
    children = result["$defs"]["Tree"]["properties"]["children"]
    assert children["items"] == {"$ref": "#/$defs/Tree"}


def test_every_reference_leads_to_a_definition_of_the_same_schema() -> None:
    def references(tree: Any) -> list[str]:
        if isinstance(tree, dict):
            own = [tree["$ref"]] if "$ref" in tree else []
            return own + [found for branch in tree.values() for found in references(branch)]
        return (
            [found for part in tree for found in references(part)] if isinstance(tree, list) else []
        )

    for spec in spec_of(Shop).methods.values():
        schemas = method_schema(spec)
        for schema in (schemas["arguments"], schemas["result"], *schemas["errors"].values()):
            for reference in references(schema):
                assert reference.removeprefix("#/$defs/") in schema["$defs"]


def test_a_service_is_described_by_wire_names_in_plain_json() -> None:
    description = service_schema(Shop)
    assert json.loads(json.dumps(description)) == description
    assert (description["service"], description["doc"]) == ("shop", "Sells items.")
    assert list(description["methods"]) == ["price", "plant"]
    price = description["methods"]["price"]
    assert price["key"] == "shop.price"
    assert price["queue"] == "leveret.shop.price"
    assert price["doc"] == "Return the price."
    assert (price["timeout"], price["idempotent"], price["priority_levels"]) == (5.0, True, 3)
    assert price["arguments"]["title"] == "price"


def test_a_service_is_described_from_its_class_an_instance_or_its_specification() -> None:
    assert service_schema(Shop) == service_schema(Shop()) == service_schema(spec_of(Shop))


class Money:
    def __str__(self) -> str:
        return "1 EUR"


class Till(Service, types=[Hook(Money, str, encode=str, decode=lambda _: Money())]):
    @method
    async def take(
        self,
        money: Annotated[
            Money, Meta(examples=[Money(), b"a", date(2026, 1, 2), {(1, 2): [{None: Money()}]}])
        ],
    ) -> None: ...


def test_examples_are_told_in_json_whatever_they_are() -> None:
    described = service_schema(Till)
    assert json.loads(msgspec.json.encode(described)) == described
    take = described["methods"]["take"]
    assert take["arguments"]["properties"]["money"]["examples"] == [
        "1 EUR",
        "YQ==",
        "2026-01-02",
        {"(1, 2)": [{"None": "1 EUR"}]},
    ]
    assert fingerprint(take)


def test_a_description_is_text_that_travels_whatever_stands_in_a_class() -> None:
    class Scans(Service):
        @method
        async def add(
            self, scan: Scan, note: Annotated[str, Meta(description="\udce9")]
        ) -> None: ...

    described = service_schema(Scans)
    assert msgspec.json.decode(msgspec.json.encode(described)) == described
    arguments = described["methods"]["add"]["arguments"]
    assert arguments["$defs"]["Scan"]["properties"]["path"]["default"] == "caf?"
