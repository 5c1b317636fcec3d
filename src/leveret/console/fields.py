"""A form made of a JSON Schema: a tree of fields, each filled with a part of a value. Pure.

The browser makes JSON text of the fields again, and never a number of its own: JavaScript would
round integers above 2^53. For the same reason a field holds the text of a number.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final, TypeAlias

from msgspec import Struct, structs

__all__ = ["ABSENT", "Field", "form", "json_text", "read_json"]

Schema: TypeAlias = Mapping[str, Any]

_DEPTH: Final = 6
"""How deep types are inside each other before a field is plain JSON: some refer to themselves."""
_FORMATS: Final = {
    "date": "date",
    "date-time": "datetime",
    "time": "time",
    "duration": "duration",
    "uuid": "uuid",
    "decimal": "decimal",
}
_HINTS: Final = {
    "datetime": "2026-11-27T09:30:00+01:00",
    "time": "09:30:00",
    "duration": "PT1H30M",
    "uuid": "123e4567-e89b-12d3-a456-426614174000",
    "decimal": "12.50",
}
_BOUNDS: Final = (
    ("minimum", "≥ {}"),
    ("exclusiveMinimum", "> {}"),
    ("maximum", "≤ {}"),
    ("exclusiveMaximum", "< {}"),
    ("multipleOf", "a multiple of {}"),
    ("minLength", "at least {} characters"),
    ("maxLength", "at most {} characters"),
    ("pattern", "like {}"),
    ("minItems", "at least {}"),
    ("maxItems", "at most {}"),
)


class _Absent:
    """No value is there."""


ABSENT: Final = _Absent()


class Field(Struct, frozen=True, kw_only=True):
    """One field of a form."""

    kind: str
    """integer, number, decimal, text, boolean, bytes, date, datetime, time, duration, uuid, choice,
    constant, object, map, list, tuple, union, or json."""
    name: str = ""
    """The member of the object that it is; "" for an item or a branch."""
    label: str = ""
    """What people read beside it: its type."""
    doc: str = ""
    """What its contract says of it."""
    bounds: str = ""
    """What its value must be."""
    hint: str = ""
    """How a value looks."""
    required: bool = True
    """Whether it may not be left out."""
    nullable: bool = False
    """Whether it may be null."""
    state: str = "value"
    """What it has: "value", "null" or "absent"."""
    text: str = ""
    """The value of a field that a person types."""
    options: Sequence[tuple[str, str]] = ()
    """Of a choice: the JSON text of each value, and what people read."""
    fields: Sequence[Field] = ()
    """What is inside: members, items, the parts of a tuple, the branches of a union."""
    item: Field | None = None
    """Of a list or map: what another item is like."""
    branch: int = 0
    """Of a union: which branch the value is of."""


def form(schema: Schema, value: object = ABSENT) -> Field:
    """The form for the arguments of a method.

    :param schema: that of the arguments, with all that it refers to.
    :param value: what it is filled with, as `read_json` reads it.
    """
    return _field(schema, value, _Definitions(schema), 0)


def read_json(text: str) -> Any:
    """Read JSON, every number exactly.

    :raises ValueError: if it is none.
    """
    try:
        return json.loads(text, parse_float=Decimal)
    except RecursionError:
        raise ValueError("too much inside of each other") from None


def json_text(value: object) -> str:
    """The JSON text of a value that `read_json` gave."""
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, dict):
        members = (f"{json.dumps(str(key))}: {json_text(its)}" for key, its in value.items())
        return "{" + ", ".join(members) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(json_text, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


class _Definitions:
    """What a schema refers to."""

    def __init__(self, schema: Schema) -> None:
        found = schema.get("$defs", {})
        self._found: Mapping[str, Schema] = found if isinstance(found, dict) else {}

    def resolved(self, schema: Schema) -> Schema:
        """A schema itself instead of a reference to it; what stands beside the reference holds."""
        for _ in range(_DEPTH):
            reference = schema.get("$ref")
            if not isinstance(reference, str):
                break
            there = self._found.get(reference.rpartition("/")[2], {})
            beside = {key: its for key, its in schema.items() if key != "$ref"}
            schema = {**there, **beside}
        return schema


def _field(schema: Schema, value: object, definitions: _Definitions, depth: int) -> Field:
    schema = definitions.resolved(schema)
    branches = schema.get("anyOf") or schema.get("oneOf")
    if isinstance(branches, list):
        return _union(schema, branches, value, definitions, depth)
    kind = _kind(schema, depth)
    field = Field(
        kind=kind,
        label=str(schema.get("title") or ("any JSON" if kind == "json" else kind)),
        doc=str(schema.get("description", "")),
        bounds=", ".join(text.format(schema[name]) for name, text in _BOUNDS if name in schema)
        if kind != "tuple"
        else "",
        hint=_HINTS.get(kind, ""),
        state="null" if value is None and kind not in ("json", "choice") else "value",
    )
    return _filled(field, schema, value, definitions, depth)


def _kind(schema: Schema, depth: int) -> str:  # noqa: PLR0911 - a line for each type
    if "const" in schema:
        return "constant"
    if isinstance(schema.get("enum"), list):
        return "choice" if len(schema["enum"]) != 1 else "constant"
    given = schema.get("type")
    if given == "string":
        return (
            "bytes"
            if "contentEncoding" in schema
            else _FORMATS.get(schema.get("format", ""), "text")
        )
    if given in ("integer", "number", "boolean"):
        return str(given)
    if depth < _DEPTH and given == "array":
        if "prefixItems" in schema:
            return "tuple"
        return "list" if isinstance(schema.get("items", {}), dict) else "json"
    if depth < _DEPTH and given == "object":
        if "properties" in schema:
            return "object"
        return "map" if isinstance(schema.get("additionalProperties", {}), dict) else "json"
    return "json"


def _filled(  # noqa: PLR0911 - a case for each kind
    field: Field, schema: Schema, value: object, definitions: _Definitions, depth: int
) -> Field:
    """A field with its value, and with the fields inside of it."""
    inside = depth + 1
    match field.kind:
        case "constant":
            only = schema["const"] if "const" in schema else schema["enum"][0]
            return structs.replace(field, text=json_text(only), label="constant")
        case "choice":
            options = [(json_text(its), _shown(its)) for its in schema["enum"]]
            text = "" if value is ABSENT else json_text(value)
            return structs.replace(field, options=options, text=text)
        case "object":
            return structs.replace(field, fields=_members(schema, value, definitions, inside))
        case "tuple":
            parts = schema["prefixItems"]
            values = value if isinstance(value, list) else []
            values = values + [ABSENT] * (len(parts) - len(values))
            fields = [
                _field(part, its, definitions, inside)
                for part, its in zip(parts, values, strict=False)
            ]
            return structs.replace(field, fields=fields)
        case "list":
            of = schema.get("items", {})
            items = value if isinstance(value, list) else []
            return structs.replace(
                field,
                fields=[_field(of, its, definitions, inside) for its in items],
                item=_field(of, ABSENT, definitions, inside),
            )
        case "map":
            of = schema.get("additionalProperties", {})
            entries = value if isinstance(value, dict) else {}
            return structs.replace(
                field,
                fields=[
                    structs.replace(_field(of, its, definitions, inside), name=name)
                    for name, its in entries.items()
                ],
                item=_field(of, ABSENT, definitions, inside),
            )
        case "json":
            return structs.replace(field, text="" if value is ABSENT else json_text(value))
    if value is ABSENT or value is None:
        return field
    return structs.replace(field, text=value if isinstance(value, str) else json_text(value))


def _members(schema: Schema, value: object, definitions: _Definitions, depth: int) -> list[Field]:
    required = set(schema.get("required", ()))
    values: Mapping[str, object] = value if isinstance(value, dict) else {}
    found: list[Field] = []
    for name, its in schema["properties"].items():
        is_required = name in required
        given = values.get(name, ABSENT)
        resolved = definitions.resolved(its)
        shown = given
        if given is ABSENT and "default" in resolved:
            shown = resolved["default"]
        member = structs.replace(
            _field(resolved, shown, definitions, depth), name=name, required=is_required
        )
        if given is ABSENT and not is_required:
            member = structs.replace(member, state="absent")
        found.append(member)
    return found


def _union(
    schema: Schema,
    branches: Sequence[Schema],
    value: object,
    definitions: _Definitions,
    depth: int,
) -> Field:
    """A choice between types. One that is only about null is the field of the other type."""
    resolved = [definitions.resolved(branch) for branch in branches]
    others = [branch for branch in resolved if branch.get("type") != "null"]
    nullable = len(others) < len(resolved)
    doc = str(schema.get("description", ""))
    if len(others) == 1:
        field = _field(others[0], value, definitions, depth)
        state = "null" if value is None else field.state
        return structs.replace(field, nullable=nullable, state=state, doc=doc or field.doc)
    if depth >= _DEPTH:
        text = "" if value is ABSENT else json_text(value)
        return Field(kind="json", label="any JSON", doc=doc, text=text, nullable=nullable)
    chosen = next((index for index, it in enumerate(others) if _fits(it, value)), 0)
    fields = [
        _field(branch, value if index == chosen else ABSENT, definitions, depth + 1)
        for index, branch in enumerate(others)
    ]
    return Field(
        kind="union",
        label=" or ".join(field.label for field in fields),
        doc=doc,
        fields=[structs.replace(field, state="value") for field in fields],
        branch=chosen,
        nullable=nullable,
        state="null" if value is None else "value",
    )


def _fits(schema: Schema, value: object) -> bool:  # noqa: PLR0911 - a line for each type
    """Whether a value is of a branch, by its type and its constant members."""
    match schema.get("type"):
        case "object" if isinstance(value, dict):
            for name, its in schema.get("properties", {}).items():
                allowed = [its["const"]] if "const" in its else its.get("enum")
                if allowed is not None and value.get(name) not in allowed:
                    return False
            return all(name in value for name in schema.get("required", ()))
        case "array":
            return isinstance(value, list)
        case "string":
            return isinstance(value, str)
        case "boolean":
            return isinstance(value, bool)
        case "integer":
            return isinstance(value, int) and not isinstance(value, bool)
        case "number":
            return isinstance(value, int | Decimal) and not isinstance(value, bool)
    return value in schema.get("enum", ())


def _shown(value: object) -> str:
    return value if isinstance(value, str) else json_text(value)
