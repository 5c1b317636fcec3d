"""A JSON Schema as a type: what it refers to, its alternatives, its JSON types, its words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, TypeAlias

__all__ = ["ANYTHING", "FORMS", "Schema", "Typed"]

Schema: TypeAlias = dict[str, Any]

ANYTHING: Final = frozenset({"null", "boolean", "integer", "number", "string", "array", "object"})
"""The JSON types, all of which a schema allows that names none."""
FORMS: Final = ("format", "contentEncoding")
"""What makes strings of different types: a date is no text, though JSON writes it so."""
_LONGEST: Final = 32
"""How many references are followed that lead to another one. Anybody may write a schema."""
_ALL: Final[Schema] = {}
"""What `true` is as a schema, and what refers to nothing."""
_NOTHING: Final[Schema] = {"enum": []}
"""What `false` is as a schema."""


class Typed:
    """A schema inside another, which has its definitions."""

    __slots__ = ("_whole", "schema")

    def __init__(self, schema: object, whole: Schema) -> None:
        self._whole = whole
        found = _plain(schema)
        for _ in range(_LONGEST):
            if "$ref" not in found:
                break
            found = _definition(whole, str(found["$ref"]))
        self.schema: Schema = found

    def part(self, schema: object) -> Typed:
        """A schema that stands in this one."""
        return Typed(schema, self._whole)

    def parts(self, word: str) -> dict[str, Typed]:
        """The schemas by name that stand under a keyword, as `properties`."""
        found = self.schema.get(word)
        if not isinstance(found, Mapping):
            return {}
        return {name: self.part(schema) for name, schema in found.items()}

    def alternatives(self) -> list[Typed]:
        """The schemas of which a value has to have one."""
        found = self.schema.get("anyOf") or self.schema.get("oneOf")
        if not isinstance(found, list) or not found:
            return [self]
        return [one for entry in found for one in self.part(entry).alternatives()]

    def types(self) -> frozenset[str]:
        """The JSON types that a value may be of."""
        named = self.schema.get("type")
        if isinstance(named, str):
            return frozenset({named})
        if isinstance(named, list):
            return frozenset(named)
        values = self.values()
        return ANYTHING if values is None else frozenset(map(_type_of, values))

    def values(self) -> list[Any] | None:
        """The values that there can be, where they are listed."""
        found = self.schema.get("enum", [self.schema["const"]] if "const" in self.schema else None)
        return found if isinstance(found, list) else None

    def in_words(self) -> str:
        """What people call it."""
        schema = self.schema
        form = next((str(schema[form]) for form in FORMS if form in schema), "")
        types = self.types()
        name = "anything" if types == ANYTHING else " or ".join(sorted(types))
        if "properties" in schema and "title" in schema:
            return f"a {schema['title']}"
        if isinstance(schema.get("x-leveret-buffer"), Mapping):
            return f"a {schema['x-leveret-buffer'].get('kind', 'buffer')}"
        return f"{name} ({form})" if form else name

    def required(self) -> Iterator[str]:
        """The members of an object that have to be there."""
        found = self.schema.get("required")
        return iter(found if isinstance(found, list) else ())


def _plain(schema: object) -> Schema:
    """A schema that is not one of the two that are truth values."""
    if schema is False:
        return _NOTHING
    return schema if isinstance(schema, dict) else _ALL


def _definition(whole: Schema, reference: str) -> Schema:
    found: Any = whole
    for name in reference.removeprefix("#").strip("/").split("/"):
        if name and isinstance(found, dict):
            found = found.get(name, _ALL)
    return found if isinstance(found, dict) and found.get("$ref") != reference else _ALL


def _type_of(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int():
            return "integer"
        case float():
            return "number"
        case str():
            return "string"
    return "object"
