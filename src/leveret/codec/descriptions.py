"""JSON Schema of what travels, by whoever reads it: msgspec or pydantic."""

from __future__ import annotations

from typing import Any

import msgspec

from leveret.codec.date_formats import schema_of
from leveret.codec.pydantic_values import PydanticType, pydantic_type
from leveret.codec.with_pydantic import pydantic_fields, schema_struct

__all__ = ["describe"]


def describe(annotation: Any, reference: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the schema of a type, and by name those of the classes that it refers to.

    :param reference: how a schema refers to a class, with `{name}` in it.
    """
    definitions: dict[str, Any] = {}

    def theirs(kind: PydanticType) -> dict[str, Any]:
        schema = kind.schema(reference.replace("{name}", "{model}"))
        definitions.update(schema.pop("$defs", {}))
        return schema

    stand_ins: dict[type, PydanticType] = {}
    if isinstance(annotation, type) and issubclass(annotation, msgspec.Struct):
        fields = pydantic_fields(annotation)
        if fields:
            annotation, stand_ins = schema_struct(annotation, fields)
    elif whole := pydantic_type(annotation):
        return theirs(whole), definitions
    schema, ours = schema_of(annotation, reference, lambda cls: theirs(stand_ins[cls]))
    return schema, {**definitions, **ours}
