"""JSON Schema of what travels, by whoever reads it: msgspec or a special type."""

from __future__ import annotations

from typing import Any

import msgspec

from leveret.codec.buffered_types import add_brackets, buffered_schema
from leveret.codec.date_formats import schema_of
from leveret.codec.special_fields import schema_struct, special_fields
from leveret.codec.special_types import SpecialType, special_type

__all__ = ["describe"]


def describe(annotation: Any, reference: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the schema of a type, and by name those of the classes that it refers to.

    :param reference: how a schema refers to a class, with `{name}` in it.
    """
    definitions: dict[str, Any] = {}

    def theirs(kind: SpecialType) -> dict[str, Any]:
        schema = kind.schema(reference)
        definitions.update(schema.pop("$defs", {}))
        return schema

    stand_ins: dict[type, SpecialType] = {}
    if isinstance(annotation, type) and issubclass(annotation, msgspec.Struct):
        fields = special_fields(annotation)
        if fields:
            annotation, stand_ins = schema_struct(annotation, fields)
    elif whole := special_type(annotation):
        return theirs(whole), definitions

    def unknown(cls: type) -> dict[str, Any]:
        return theirs(stand_ins[cls]) if cls in stand_ins else buffered_schema(cls)

    schema, ours = schema_of(annotation, reference, unknown, add_brackets)
    return schema, {**definitions, **ours}
