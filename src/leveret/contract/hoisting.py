"""The classes in the schemas of a service as definitions of one document. Pure.

Each schema of `service_schema` is complete, with the classes that it refers to inside it. A
document has each class once. Different classes with the same name get different names there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import unquote

import msgspec

__all__ = ["Hoisted"]

_INSIDE: Final = "#/$defs/"
_DEEPEST: Final = 64
"""How deep a schema may be, as strangers may write one."""


class Hoisted:
    """The definitions of a document, while schemas are added to it.

    :param reference: the prefix of a definition's name in a reference.
    """

    def __init__(self, reference: str = _INSIDE) -> None:
        self.definitions: dict[str, dict[str, Any]] = {}
        """The classes, by their names in the document."""
        self._reference = reference
        self._named: dict[tuple[str, bytes], str] = {}
        """The names in the document, by the name in a schema and the whole definition."""

    def schema(self, schema: Mapping[str, Any]) -> dict[str, Any]:
        """A schema that refers to the document's definitions, to which its own are added.

        :raises ValueError: if it is deeper than a schema can be.
        """
        inside: Any = schema.get("$defs")
        definitions = inside if isinstance(inside, dict) else {}
        names = {name: self._name(name, _reached(name, definitions)) for name in definitions}
        for name, named in names.items():
            if named not in self.definitions:
                self.definitions[named] = self._turned(definitions[name], names, 0)
        own = {key: value for key, value in schema.items() if key not in ("$schema", "$defs")}
        turned: dict[str, Any] = self._turned(own, names, 0)
        return turned

    def _name(self, name: str, reached: bytes) -> str:
        found = self._named.get((name, reached))
        if found is None:
            plain = re.sub(r"[^A-Za-z0-9_.-]", "_", name) or "_"
            taken = set(self._named.values())
            found, number = plain, 1
            while found in taken:
                number += 1
                found = f"{plain}_{number}"
            self._named[name, reached] = found
        return found

    def _turned(self, tree: Any, names: Mapping[str, str], depth: int) -> Any:
        if depth > _DEEPEST:
            raise ValueError("a schema that is nested too deeply")
        if isinstance(tree, list):
            return [self._turned(part, names, depth + 1) for part in tree]
        if not isinstance(tree, dict):
            return tree
        turned = {key: self._turned(part, names, depth + 1) for key, part in tree.items()}
        reference = tree.get("$ref")
        if isinstance(reference, str):
            name = _referred(reference)
            if name not in names:
                del turned["$ref"]  # which leads nowhere
            else:
                turned["$ref"] = f"{self._reference}{names[name]}"
        return turned


def _referred(reference: str) -> str:
    """The name of the definition that a reference points to (RFC 6901, section 6)."""
    name = unquote(reference.removeprefix(_INSIDE))
    return name.replace("~1", "/").replace("~0", "~")


def _reached(name: str, definitions: Mapping[str, Any]) -> bytes:
    """A definition with all definitions that it refers to."""
    found: dict[str, Any] = {}
    left = [name]
    while left:
        name = left.pop()
        if name in definitions and name not in found:
            found[name] = definitions[name]
            left.extend(map(_referred, _references(definitions[name])))
    return msgspec.json.encode(found, order="deterministic")


def _references(tree: Any) -> Iterator[str]:
    """All references in a schema."""
    left = [tree]
    while left:
        branch = left.pop()
        if isinstance(branch, dict):
            if isinstance(branch.get("$ref"), str):
                yield branch["$ref"]
            left.extend(branch.values())
        elif isinstance(branch, list):
            left.extend(branch)
