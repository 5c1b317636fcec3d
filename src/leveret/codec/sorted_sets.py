"""Sets in JSON, which has arrays only: they are sorted, by the schema of the value they are in.

Python gives the items of a set in an order that differs from one process to another.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

__all__ = ["sort_sets"]

_ALTERNATIVES: Final = ("anyOf", "oneOf", "allOf")
_BEFORE_NAME: Final = "#/$defs/"


def sort_sets(value: Any, schema: Mapping[str, Any], order: Callable[[Any], str]) -> Any:
    """Return a value with all of its sets sorted, as the schema says where they are.

    :param value: as JSON has it.
    :param schema: has all that it refers to below `$defs`.
    :param order: the text of an item, by which a set is sorted.
    """
    definitions = schema.get("$defs", {})

    def sort(value: Any, schema: Any) -> Any:
        if not isinstance(schema, Mapping) or not isinstance(value, dict | list):
            return value
        if "$ref" in schema:
            value = sort(value, definitions.get(schema["$ref"].removeprefix(_BEFORE_NAME)))
        for word in _ALTERNATIVES:
            for alternative in schema.get(word, ()):
                value = sort(value, alternative)
        if isinstance(value, dict):
            members, other = schema.get("properties", {}), schema.get("additionalProperties")
            return {name: sort(one, members.get(name, other)) for name, one in value.items()}
        first, rest = schema.get("prefixItems", ()), schema.get("items")
        items = [sort(one, first[at] if at < len(first) else rest) for at, one in enumerate(value)]
        return sorted(items, key=order) if schema.get("uniqueItems") is True else items

    return sort(value, schema)
