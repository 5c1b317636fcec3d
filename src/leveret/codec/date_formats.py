"""JSON Schema by msgspec, with the `format` of dates and times, and with all values of flags.

msgspec leaves the format out where a date or a time may come with a zone or without. JSON Schema
has one format for either (2020-12, "Validation", section 7.3.1), and most readers want to know that
it is a date at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import Flag
from typing import Any, TypeAlias, get_origin

import msgspec.inspect as mi

from leveret.annotations.parts import field_hints
from leveret.codec.flag_schemas import describe_flags
from leveret.codec.kindred import plain
from leveret.codec.schema_components import components

__all__ = ["schema_of"]

_Named: TypeAlias = mi.StructType | mi.DataclassType | mi.TypedDictType | mi.NamedTupleType
"""What has a definition of its own in a schema, and fields."""


def schema_of(
    annotation: Any,
    reference: str,
    hook: Callable[[type], dict[str, Any]],
    add_to: Callable[[Any, Any], None] = lambda _annotation, _schema: None,
    known: Callable[[Any], Any] = plain,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the schema of a type, and by name those of the classes that it refers to.

    :param reference: how a schema refers to a class, with `{name}` in it.
    :param hook: gives the schema of a class that msgspec does not know.
    :param add_to: adds to a schema what the brackets of such a class say: called with the
        annotation and the schema of the whole and of each field.
    :param known: makes known values of others, as the encoder has it.
    """
    whole = mi.type_info(annotation)
    named: dict[Any, _Named | mi.EnumType] = {}
    _collect(whole, named)
    # The schema of a class is a reference to its definition: so each class tells its name.
    (schema, *references), definitions = components([annotation, *named], reference, hook, known)
    _mark(whole, schema)
    add_to(annotation, schema)
    before = reference.partition("{name}")[0]
    for kind, its in zip(named.values(), references, strict=True):
        definition = definitions[its["$ref"].removeprefix(before)]
        if isinstance(kind, mi.EnumType):
            describe_flags(kind.cls, definition)
            continue
        hints = field_hints(get_origin(kind.cls) or kind.cls)
        for field, field_schema in _fields(kind, definition):
            _mark(field.type, field_schema)
            add_to(hints.get(field.name), field_schema)
    return schema, definitions


def _collect(kind: mi.Type, named: dict[Any, _Named | mi.EnumType]) -> None:
    """Find the classes with fields, and those of flags, in a type and in their fields."""
    kind = _bare(kind)
    if isinstance(kind, mi.EnumType) and issubclass(kind.cls, Flag):
        named[kind.cls] = kind
    if isinstance(kind, _Named):
        if kind.cls in named:
            return
        named[kind.cls] = kind
        for field in kind.fields:
            _collect(field.type, named)
    for inner in _inside(kind):
        _collect(inner, named)


def _inside(kind: mi.Type) -> tuple[mi.Type, ...]:
    if isinstance(kind, mi.UnionType):
        return kind.types
    if isinstance(kind, mi.TupleType):
        return kind.item_types
    if isinstance(kind, mi.CollectionType):
        return (kind.item_type,)
    return (kind.key_type, kind.value_type) if isinstance(kind, mi.DictType) else ()


def _fields(kind: _Named, definition: dict[str, Any]) -> Iterator[tuple[mi.Field, Any]]:
    """Each field with its schema, in an object or, behind a tag, in an array."""
    if not kind.fields:
        return
    if "prefixItems" in definition:
        schemas = definition["prefixItems"][-len(kind.fields) :]
    else:
        schemas = [definition["properties"][field.encode_name] for field in kind.fields]
    yield from zip(kind.fields, schemas, strict=True)


def _mark(kind: mi.Type, schema: Any) -> None:
    """Give the schema of each date and time in a type its format, unless it has one."""
    kind = _bare(kind)
    if isinstance(kind, mi.DateTimeType):
        schema.setdefault("format", "date-time")
    elif isinstance(kind, mi.TimeType):
        schema.setdefault("format", "time")
    for inner, its in _parts(kind, schema):
        _mark(inner, its)


def _parts(kind: mi.Type, schema: Any) -> Iterator[tuple[mi.Type, Any]]:
    """The types inside a type, with their schemas; classes are references, and not among them."""
    if isinstance(kind, mi.UnionType):
        for inner in kind.types:
            # A union has at most one type of each kind of JSON.
            wanted = _json_type(_bare(inner))
            yield from ((inner, one) for one in schema["anyOf"] if one.get("type") == wanted)
    elif isinstance(kind, mi.TupleType):
        yield from zip(kind.item_types, schema.get("prefixItems", ()), strict=True)
    elif isinstance(kind, mi.CollectionType):
        yield kind.item_type, schema.get("items", {})
    elif isinstance(kind, mi.DictType):
        yield kind.value_type, schema.get("additionalProperties", {})


def _json_type(kind: mi.Type) -> str:
    """The type in JSON of what may be or hold a date; "" of all else."""
    if isinstance(kind, mi.DateTimeType | mi.TimeType):
        return "string"
    if isinstance(kind, mi.DictType):
        return "object"
    return "array" if isinstance(kind, mi.CollectionType | mi.TupleType) else ""


def _bare(kind: mi.Type) -> mi.Type:
    """The type without what its annotation adds to its schema."""
    while isinstance(kind, mi.Metadata):
        kind = kind.type
    return kind
