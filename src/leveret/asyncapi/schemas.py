"""JSON Schemas as AsyncAPI reads them: draft-07, with what AsyncAPI calls otherwise left out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

__all__ = ["as_draft_07"]

_NAMED: Final = frozenset({"properties", "patternProperties"})
"""Below these stand names that users chose, and no keywords."""
_VALUES: Final = frozenset({"default", "const", "enum", "examples"})
"""Below these stand values, and no schemas."""


def as_draft_07(schema: Any) -> Any:
    """A schema of 2020-12 in draft-07, of which AsyncAPI's Schema Object is a superset.

    Tuples have other keywords there. Beside a reference nothing else counts. And `discriminator` is
    OpenAPI's object; AsyncAPI has text under that name, and the members of a union tell it anyway.
    """
    if not isinstance(schema, Mapping):
        return schema
    found = {name: _part(name, part) for name, part in schema.items() if name != "discriminator"}
    if "prefixItems" in found:
        rest = found.pop("items", True)
        found["items"] = found.pop("prefixItems")
        if rest is not True:
            found["additionalItems"] = rest
    if "$ref" in found and len(found) > 1:
        found["allOf"] = [{"$ref": found.pop("$ref")}]
    return found


def _part(name: str, part: Any) -> Any:
    if name in _VALUES:
        return part
    if name in _NAMED and isinstance(part, Mapping):
        return {key: as_draft_07(schema) for key, schema in part.items()}
    if isinstance(part, list):
        return [as_draft_07(schema) for schema in part]
    return as_draft_07(part)
