"""A JSON Schema as a type: its references, alternatives, JSON types and name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, TypeAlias

__all__ = ["ANYTHING", "FORMS", "Schema", "Typed"]

Schema: TypeAlias = dict[str, Any]

ANYTHING: Final = frozenset({"null", "boolean", "integer", "number", "string", "array", "object"})
"""The JSON types. A schema that names none allows all."""
FORMS: Final = ("format", "contentEncoding")
"""Keywords that make strings different types: a date is not a text, though both are JSON
strings."""
_LONGEST: Final = 32
"""How many references in a row are followed, as strangers may write a schema."""
_ALL: Final[Schema] = {}
"""The schema that stands for `true`, and for a reference to nothing."""
_NOTHING: Final[Schema] = {"enum": []}
"""The schema that stands for `false`."""


class Typed:
    """A schema inside a document, which has its definitions."""

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
        """A schema inside this one."""
        return Typed(schema, self._whole)

    def parts(self, word: str) -> dict[str, Typed]:
        """The schemas under a keyword such as `properties`, by name."""
        found = self.schema.get(word)
        if not isinstance(found, Mapping):
            return {}
        return {name: self.part(schema) for name, schema in found.items()}

    def alternatives(self) -> list[Typed]:
        """The alternative schemas, one of which a value must have."""
        found = self.schema.get("anyOf") or self.schema.get("oneOf")
        if not isinstance(found, list) or not found:
            return [self]
        return [one for entry in found for one in self.part(entry).alternatives()]

    def types(self) -> frozenset[str]:
        """The JSON types that a value may have."""
        named = self.schema.get("type")
        if isinstance(named, str):
            return frozenset({named})
        if isinstance(named, list):
            return frozenset(named)
        values = self.values()
        return ANYTHING if values is None else frozenset(map(_type_of, values))

    def values(self) -> list[Any] | None:
        """The possible values, if they are listed."""
        found = self.schema.get("enum", [self.schema["const"]] if "const" in self.schema else None)
        return found if isinstance(found, list) else None

    def in_words(self) -> str:
        """Its name for people."""
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
        """The required members of an object."""
        found = self.schema.get("required")
        return iter(found if isinstance(found, list) else ())


def _plain(schema: object) -> Schema:
    """A schema as an object, also for `true` and `false`."""
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
