"""JSON Schemas as Python would have them: types, defaults, and bounds in words."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

__all__ = ["PythonTypes"]

_FORMATS: Final[Mapping[str, str]] = {
    "date-time": "datetime",
    "date": "date",
    "time": "time",
    "duration": "timedelta",
    "uuid": "UUID",
    "decimal": "Decimal",
}
_PLAIN: Final[Mapping[str, str]] = {
    "null": "None",
    "boolean": "bool",
    "integer": "int",
    "number": "float",
}
_BUFFERS: Final[Mapping[str, str]] = {"ndarray": "numpy.ndarray", "Table": "pyarrow.Table"}
_DEEPEST: Final = 32
"""How deep a type is shown. Anybody may write a schema."""
_SIZES: Final = (
    ("minLength", "maxLength", "character", "characters"),
    ("minItems", "maxItems", "item", "items"),
    ("minProperties", "maxProperties", "entry", "entries"),
)


class PythonTypes:
    """Reads schemas; what they refer to has its name."""

    def __init__(self) -> None:
        self._words: dict[str, Callable[[Any, int], str]] = {
            "$ref": lambda reference, _depth: _referred(reference),
            "anyOf": self._union,
            "oneOf": self._union,
            "allOf": self._union,
            "enum": lambda values, _depth: f"Literal[{', '.join(map(repr, values))}]",
            "const": lambda value, _depth: f"Literal[{value!r}]",
            "x-leveret-buffer": lambda buffer, _depth: _buffer(buffer),
        }
        """What tells all of a type, by the keyword that it follows."""
        self._kinds: dict[str, Callable[[Mapping[str, Any], int], str]] = {
            "string": lambda schema, _depth: _text(schema),
            "array": self._array,
            "object": self._object,
        }
        """The type of each kind of JSON that has several."""

    def text(self, schema: object, depth: int = 0) -> str:
        """The type, as in `list[Item] | None`."""
        if not isinstance(schema, Mapping) or depth > _DEEPEST:
            return "Any"
        for word, read in self._words.items():
            if word in schema:
                return read(schema[word], depth + 1)
        kind = schema.get("type")
        if isinstance(kind, list):
            return self._union([{**schema, "type": one} for one in kind], depth + 1)
        if kind in self._kinds:
            return self._kinds[kind](schema, depth + 1)
        return _PLAIN.get(str(kind), "Any")

    def _union(self, schemas: Iterable[object], depth: int) -> str:
        texts = dict.fromkeys(self.text(schema, depth) for schema in schemas)
        return "Any" if "Any" in texts else " | ".join(sorted(texts, key="None".__eq__))

    def _array(self, schema: Mapping[str, Any], depth: int) -> str:
        first = schema.get("prefixItems")
        if isinstance(first, list):
            return f"tuple[{', '.join(self.text(item, depth) for item in first)}]"
        name = "set" if schema.get("uniqueItems") is True else "list"
        return f"{name}[{self.text(schema.get('items'), depth)}]"

    def _object(self, schema: Mapping[str, Any], depth: int) -> str:
        if isinstance(schema.get("properties"), Mapping) and "title" in schema:
            return str(schema["title"])
        return f"dict[str, {self.text(schema.get('additionalProperties'), depth)}]"

    def bounds(self, schema: object, depth: int = 0) -> str:
        """The bounds in words, as in "1 to 20 characters"; "" for none."""
        if not isinstance(schema, Mapping) or "$ref" in schema or depth > _DEEPEST:
            return ""
        found = [*_number_bounds(schema), *_size_bounds(schema)]
        if "pattern" in schema:
            found.append(f"matching {schema['pattern']}")
        for word in ("anyOf", "oneOf"):
            if isinstance(schema.get(word), list):
                found += [self.bounds(part, depth + 1) for part in schema[word]]
        for word in ("items", "additionalProperties"):
            of_each = self.bounds(schema.get(word), depth + 1)
            if of_each:
                found.append(of_each if of_each.startswith("each ") else f"each {of_each}")
        return ", ".join(filter(None, found))

    @staticmethod
    def default(schema: object) -> str | None:
        """The default, as Python would have it; None if there is none, or it is not told."""
        if not isinstance(schema, Mapping) or "default" not in schema:
            return None
        return repr(schema["default"])

    @staticmethod
    def values(schema: object) -> tuple[str, ...]:
        """The values of an enum, as Python has them."""
        found = schema.get("enum") if isinstance(schema, Mapping) else None
        return tuple(map(repr, found)) if isinstance(found, list) else ()


def _referred(reference: object) -> str:
    return str(reference).rpartition("/")[2]


def _buffer(buffer: object) -> str:
    kind = str(buffer.get("kind")) if isinstance(buffer, Mapping) else "Any"
    return _BUFFERS.get(kind, kind)


def _text(schema: Mapping[str, Any]) -> str:
    if schema.get("contentEncoding") == "base64":
        return "bytes"
    return _FORMATS.get(str(schema.get("format")), "str")


def _number_bounds(schema: Mapping[str, Any]) -> list[str]:
    least, most = schema.get("minimum"), schema.get("maximum")
    if least is not None and most is not None:
        found = [f"{_shown(least)} to {_shown(most)}"]
    else:
        found = [
            f"{words} {_shown(bound)}"
            for words, bound in (("at least", least), ("at most", most))
            if bound is not None
        ]
    for words, word in (("above", "exclusiveMinimum"), ("below", "exclusiveMaximum")):
        if word in schema:
            found.append(f"{words} {_shown(schema[word])}")
    if "multipleOf" in schema:
        found.append(f"a multiple of {_shown(schema['multipleOf'])}")
    return found


def _size_bounds(schema: Mapping[str, Any]) -> list[str]:
    found = []
    for least_word, most_word, one, several in _SIZES:
        if one == "item" and "prefixItems" in schema:
            continue  # the type tells
        least, most = schema.get(least_word), schema.get(most_word)
        what = one if 1 in (most, None if most is not None else least) else several
        if least and most is not None:
            count = _shown(least) if least == most else f"{_shown(least)} to {_shown(most)}"
            found.append(f"{count} {what}")
        elif least:
            found.append(f"at least {_shown(least)} {what}")
        elif most is not None:
            found.append(f"at most {_shown(most)} {what}")
    return found


def _shown(bound: object) -> str:
    return json.dumps(bound)
