"""Whether what one method gives is what another one takes, as their JSON Schemas say. Pure.

Two stages of a pipe may be of services that know nothing of each other, and their classes may have
the same name and other fields, or other names and the same fields. So the schemas are compared, as
they travel. Only what can never fit is a misfit: bounds, patterns and sizes are for the server to
check, which sees the value.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, TypeAlias

__all__ = ["misfit"]

Schema: TypeAlias = dict[str, Any]

_DEEPEST: Final = 32
"""How far types are followed that refer to themselves or are very deep."""
_ANYTHING: Final = frozenset({"null", "boolean", "integer", "number", "string", "array", "object"})
_FORMS: Final = ("format", "contentEncoding")
"""What makes strings of different types: a date is no text, though JSON writes it so."""


def misfit(given: Schema, taken: Schema) -> str:
    """Why a value of one schema can never be one of another, "" if it can.

    :param given: the schema of what is given, with its definitions in it.
    :param taken: the schema of what is taken, likewise.
    """
    return _misfit(_Typed(given, given), _Typed(taken, taken), "$", 0)


class _Typed:
    """A schema inside another, which has its definitions."""

    __slots__ = ("_whole", "schema")

    def __init__(self, schema: Schema, whole: Schema) -> None:
        self._whole = whole
        while "$ref" in schema:
            schema = _definition(whole, schema["$ref"])
        self.schema = schema

    def part(self, schema: Schema) -> _Typed:
        """A schema that stands in this one."""
        return _Typed(schema, self._whole)

    def alternatives(self) -> list[_Typed]:
        """The schemas of which a value has to have one."""
        found = self.schema.get("anyOf") or self.schema.get("oneOf")
        if not found:
            return [self]
        return [one for entry in found for one in self.part(entry).alternatives()]

    def types(self) -> frozenset[str]:
        """The JSON types that a value may be of."""
        named = self.schema.get("type")
        if isinstance(named, str):
            return frozenset({named})
        if isinstance(named, list):
            return frozenset(named)
        values = self.schema.get("enum", [self.schema["const"]] if "const" in self.schema else None)
        return _ANYTHING if values is None else frozenset(map(_type_of, values))


def _definition(whole: Schema, reference: str) -> Schema:
    found: Any = whole
    for name in reference.removeprefix("#").strip("/").split("/"):
        found = found.get(name, {}) if name else found
    return found if isinstance(found, dict) and found.get("$ref") != reference else {}


def _misfit(given: _Typed, taken: _Typed, where: str, depth: int) -> str:
    if depth > _DEEPEST:
        return ""
    takes = taken.alternatives()
    for one in given.alternatives():
        reasons = [_misfit_of_one(one, other, where, depth) for other in takes]
        if all(reasons):
            return reasons[0] if len(reasons) == 1 else f"{_named(one, where)} is none of them"
    return ""


def _misfit_of_one(given: _Typed, taken: _Typed, where: str, depth: int) -> str:
    """The same for schemas without alternatives."""
    one, other = given.schema, taken.schema
    gives, takes = given.types(), taken.types()
    if "number" in takes:
        takes |= {"integer"}
    if gives != _ANYTHING and not gives <= takes:
        return f"{_named(given, where)} is not {_in_words(taken)}"
    if gives == _ANYTHING or takes >= _ANYTHING:
        return ""
    buffers = one.get("x-leveret-buffer"), other.get("x-leveret-buffer")
    if any(buffers) and not _same_buffer(*buffers):
        return f"{_named(given, where)} is not {_in_words(taken)}"
    if "string" in gives and any(one.get(form) != other.get(form) for form in _FORMS):
        return f"{_named(given, where)} is not {_in_words(taken)}"
    allowed = other.get("enum", [other["const"]] if "const" in other else None)
    values = one.get("enum", [one["const"]] if "const" in one else None)
    if allowed is not None and values is not None and not all(v in allowed for v in values):
        return f"{_named(given, where)} may be none of {allowed}"
    return next(filter(None, _misfits_inside(given, taken, where, depth)), "")


def _misfits_inside(given: _Typed, taken: _Typed, where: str, depth: int) -> Iterator[str]:
    one, other = given.schema, taken.schema
    if isinstance(one.get("items"), dict) and isinstance(other.get("items"), dict):
        inside = given.part(one["items"]), taken.part(other["items"])
        yield _misfit(*inside, f"{where}[...]", depth + 1)
    for entries in zip(one.get("prefixItems", ()), other.get("prefixItems", ()), strict=False):
        yield _misfit(given.part(entries[0]), taken.part(entries[1]), f"{where}[...]", depth + 1)
    properties, wanted = one.get("properties"), other.get("properties")
    if properties is None or wanted is None:
        maps = one.get("additionalProperties"), other.get("additionalProperties")
        if isinstance(maps[0], dict) and isinstance(maps[1], dict):
            yield _misfit(given.part(maps[0]), taken.part(maps[1]), f"{where}[...]", depth + 1)
        return
    for name in other.get("required", ()):
        if name not in properties:
            yield f"{where} has no {name!r}"
    for name, entry in properties.items():
        if name in wanted:
            part = given.part(entry), taken.part(wanted[name])
            yield _misfit(*part, f"{where}.{name}", depth + 1)
        elif other.get("additionalProperties") is False:
            yield f"{where} may have {name!r}, which is not known there"


def _same_buffer(one: Schema | None, other: Schema | None) -> bool:
    if one is None or other is None or one.get("kind") != other.get("kind"):
        return False
    types, allowed = one.get("dtype"), other.get("dtype")
    return not types or not allowed or bool(set(types) & set(allowed))


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


def _named(typed: _Typed, where: str) -> str:
    words = _in_words(typed)
    return words if where == "$" else f"{where}, {words},"


def _in_words(typed: _Typed) -> str:
    schema = typed.schema
    form = next((str(schema[form]) for form in _FORMS if form in schema), "")
    types = typed.types()
    name = "anything" if types == _ANYTHING else " or ".join(sorted(types))
    if "properties" in schema and "title" in schema:
        return f"a {schema['title']}"
    if "x-leveret-buffer" in schema:
        return f"a {schema['x-leveret-buffer'].get('kind', 'buffer')}"
    return f"{name} ({form})" if form else name
