"""JSON Schemas as types of TypeScript: what JSON carries, not what Python makes of it."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

__all__ = ["comment", "members", "property_name", "type_of"]

_PLAIN: Final[Mapping[str, str]] = {
    "null": "null",
    "boolean": "boolean",
    "integer": "number",
    "number": "number",
    "string": "string",
}
_DEEPEST: Final = 32
"""How deep a type is written. Anybody may write a schema."""
_IDENTIFIER: Final = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]*")


def type_of(schema: object, depth: int = 0) -> str:  # noqa: PLR0911 - a keyword, a type
    """The type, as in `Item[] | null`; `unknown` where the schema says nothing."""
    if not isinstance(schema, Mapping) or depth > _DEEPEST:
        return "unknown"
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    for word, glue in (("anyOf", " | "), ("oneOf", " | "), ("allOf", " & ")):
        if isinstance(schema.get(word), list):
            return _joined((type_of(part, depth + 1) for part in schema[word]), glue)
    if isinstance(schema.get("enum"), list):
        return _joined(map(json.dumps, schema["enum"]), " | ")
    if "const" in schema:
        return json.dumps(schema["const"])
    kind = schema.get("type")
    if isinstance(kind, list):
        return _joined((type_of({**schema, "type": one}, depth + 1) for one in kind), " | ")
    if kind == "array":
        return _array(schema, depth)
    if kind == "object":
        return _object(schema, depth)
    return _PLAIN.get(str(kind), "unknown")


def members(schema: Mapping[str, Any], depth: int = 0) -> list[str]:
    """The members of an object, a line or two each; one that may be left out has a `?`."""
    required = schema.get("required", ())
    lines = []
    for name, member in schema.get("properties", {}).items():
        about = member.get("description") if isinstance(member, Mapping) else None
        if isinstance(about, str) and "properties" not in member:
            lines += comment(about)
        mark = "" if name in required else "?"
        lines.append(f"{property_name(name)}{mark}: {type_of(member, depth + 1)};")
    return lines


def property_name(name: object) -> str:
    """A name as a member has it: in quotes, unless it is an identifier."""
    return str(name) if _IDENTIFIER.fullmatch(str(name)) else json.dumps(str(name))


def comment(text: str) -> list[str]:
    """Lines of a comment that documents what follows; none for no text."""
    lines = [line.rstrip().replace("*/", "*\\/") for line in inspect.cleandoc(text).splitlines()]
    if len(lines) < 2:
        return [f"/** {line} */" for line in lines]
    return ["/**", *(f" * {line}".rstrip() for line in lines), " */"]


def _array(schema: Mapping[str, Any], depth: int) -> str:
    first = schema.get("prefixItems")
    if isinstance(first, list):
        return f"[{', '.join(type_of(item, depth + 1) for item in first)}]"
    item = type_of(schema.get("items"), depth + 1)
    return f"({item})[]" if " " in item else f"{item}[]"


def _object(schema: Mapping[str, Any], depth: int) -> str:
    if isinstance(schema.get("properties"), Mapping):
        inside = " ".join(line for line in members(schema, depth) if not line.startswith("/"))
        return f"{{ {inside.removesuffix(';')} }}" if inside else "Record<string, never>"
    return f"Record<string, {type_of(schema.get('additionalProperties'), depth + 1)}>"


def _joined(types: Iterable[str], glue: str) -> str:
    found = list(dict.fromkeys(types))
    if "unknown" in found or not found:
        return "unknown"
    return glue.join(f"({one})" if glue == " & " and " | " in one else one for one in found)
