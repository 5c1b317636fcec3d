"""Types made of JSON Schema, for callers that have a description in place of classes.

They check what the description says, with the words that the classes themselves would have, and
know where bytes, dates, decimals and UUIDs are. What the description does not say, or msgspec
cannot check, is `Any`: then the server alone checks it. Whoever describes a service may be anybody,
so nothing in a schema is taken for more than data.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from functools import reduce
from keyword import iskeyword
from operator import or_
from types import GenericAlias
from typing import Annotated, Any, Final, Literal, TypeAlias
from urllib.parse import unquote
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta

from leveret.codec.buffered_types import described_buffered
from leveret.codec.described_values import as_plain

__all__ = ["DescribedTypes", "is_argument", "is_name"]

Schema: TypeAlias = Mapping[str, Any]

_FORMATS: Final[Mapping[str, type]] = {
    "date-time": datetime,
    "date": date,
    "time": time,
    "duration": timedelta,
    "uuid": UUID,
    "decimal": Decimal,
}
_NUMBER_BOUNDS: Final[Mapping[str, str]] = {
    "minimum": "ge",
    "exclusiveMinimum": "gt",
    "maximum": "le",
    "exclusiveMaximum": "lt",
    "multipleOf": "multiple_of",
}
_TEXT_BOUNDS: Final[Mapping[str, str]] = {
    "minLength": "min_length",
    "maxLength": "max_length",
    "pattern": "pattern",
}
_FORWARD: Final = "#/$defs/"
_BASE64: Final = 4
"""Characters of base64 for each three bytes."""


def is_argument(text: object) -> bool:
    """Whether Python can have an argument of this name. What Python itself reads is none."""
    return (
        isinstance(text, str)
        and text.isidentifier()
        and not text.startswith("__")
        and not iskeyword(text)
    )


def is_name(text: object) -> bool:
    """Whether it is a plain name for a class or a method."""
    return (
        isinstance(text, str)
        and re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", text) is not None
        and not iskeyword(text)
    )


class DescribedTypes:
    """Makes the types of one schema, which has all that it refers to inside it.

    :param whole: the schema.
    :param module: what the types of its objects are said to be from.
    """

    def __init__(self, whole: Schema, module: str) -> None:
        definitions = whole.get("$defs")
        self._definitions: Schema = definitions if isinstance(definitions, Mapping) else {}
        self._module = module
        self._made: dict[str, Any] = {}
        """What stands for each definition; `Any` while it is being made."""
        self.objects: dict[str, dict[str, Any]] = {}
        """The objects in the types: the annotations of their members, by name."""
        self._words: dict[str, Callable[[Any], tuple[Any, frozenset[str]]]] = {
            "$ref": self._referred,
            "anyOf": self._union,
            "oneOf": self._union,
            "allOf": lambda schemas: self._union(schemas) if _is_one(schemas) else _ANYTHING,
            "const": lambda value: _literal([value]),
            "enum": _literal,
        }
        """What tells all of a type, by the keyword that it follows."""
        self._kinds: dict[str, Callable[[Schema], Any]] = {
            "null": lambda _schema: None,
            "boolean": lambda _schema: bool,
            "integer": self._number,
            "number": self._number,
            "string": self._text,
            "array": self._array,
            "object": self._dict,
        }
        """The type of each kind of JSON."""

    def of(self, schema: object) -> Any:
        """Return the type of what a schema describes."""
        return self._of(schema)[0]

    def default(self, schema: object, annotation: Any) -> Any:
        """Return the default in a schema as a plain value.

        :raises KeyError: if it has none, or one that is none of its values: JSON, for example, has
            `null` for an infinity.
        """
        found = schema.get("default", UNSET) if isinstance(schema, Mapping) else UNSET
        if found is UNSET:
            raise KeyError("default")
        try:
            return as_plain(msgspec.convert(found, annotation))
        except (TypeError, ValueError, msgspec.MsgspecError) as error:
            raise KeyError("default") from error

    # A type comes with what it is in JSON, as a union can tell only such kinds apart.

    def _of(self, schema: object) -> tuple[Any, frozenset[str]]:
        if not isinstance(schema, Mapping):
            return _ANYTHING
        for word, make in self._words.items():
            if word in schema:
                return make(schema[word])
        out_of_band = described_buffered(schema)
        if out_of_band is not None:
            return out_of_band, _OUT_OF_BAND
        kind = schema.get("type")
        if isinstance(kind, list):
            return self._union([{**schema, "type": one} for one in kind])
        if not isinstance(kind, str) or kind not in self._kinds:
            return _ANYTHING
        return self._kinds[kind](schema), frozenset({kind})

    def _referred(self, reference: object) -> tuple[Any, frozenset[str]]:
        if not (isinstance(reference, str) and reference.startswith(_FORWARD)):
            return _ANYTHING
        name = unquote(reference.removeprefix(_FORWARD)).replace("~1", "/").replace("~0", "~")
        if name not in self._made:
            self._made[name] = _ANYTHING
            definition = self._definitions.get(name)
            if isinstance(definition, Mapping) and _is_object(definition):
                self._object(definition, lambda made: self._made.update({name: (made, _OBJECT)}))
            else:
                self._made[name] = self._of(definition)
        found: tuple[Any, frozenset[str]] = self._made[name]
        return found

    def _union(self, schemas: object) -> tuple[Any, frozenset[str]]:
        if not isinstance(schemas, list):
            return _ANYTHING
        found = [self._of(schema) for schema in schemas]
        kinds = [kind for _, ones in found for kind in ones]
        if not found or any(annotation is Any for annotation, _ in found):
            return _ANYTHING
        if "buffer" in kinds and set(kinds) != {"buffer", "null"}:
            return _ANYTHING
        objects = [annotation for annotation, ones in found if "object" in ones]
        twice = {kind for kind in kinds if kinds.count(kind) > 1}
        if twice - {"object"} or (twice and not _tell_apart(objects)):
            return _ANYTHING
        return reduce(or_, (annotation for annotation, _ in found)), frozenset(kinds)

    # -- each kind of JSON ---------------------------------------------------------------------

    def _number(self, schema: Schema) -> Any:
        return _bounded(int if schema["type"] == "integer" else float, schema, _NUMBER_BOUNDS)

    def _text(self, schema: Schema) -> Any:
        if schema.get("contentEncoding") == "base64":
            return _bounded(bytes, _in_bytes(schema), _TEXT_BOUNDS)
        found = _FORMATS.get(str(schema.get("format")))
        return found or _bounded(str, schema, _TEXT_BOUNDS)

    def _array(self, schema: Schema) -> Any:
        first = schema.get("prefixItems")
        if not isinstance(first, list):
            bounds = {"minItems": "min_length", "maxItems": "max_length"}
            return _bounded(GenericAlias(list, self.of(schema.get("items"))), schema, bounds, list)
        least = schema.get("minItems", 0)
        if schema.get("maxItems") == len(first) == least:
            return GenericAlias(tuple, tuple(self.of(item) for item in first))
        required = [str(at) for at in range(least)] if isinstance(least, int) else []
        members = {str(at): item for at, item in enumerate(first)}
        return self._object({**schema, "properties": members, "required": required})

    def _dict(self, schema: Schema) -> Any:
        if _is_object(schema):
            return self._object(schema)
        bounds = {"minProperties": "min_length", "maxProperties": "max_length"}
        values: Any = self.of(schema.get("additionalProperties"))
        if isinstance(schema.get("properties"), Mapping):
            values = Any  # beside members of which each has a type of its own
        return _bounded(GenericAlias(dict, (Any, values)), schema, bounds, list)

    def _object(self, schema: Schema, register: Callable[[Any], object] = lambda _: None) -> Any:
        """Make the struct of an object; it may refer to itself once it is registered."""
        members: dict[str, Any] = dict(schema["properties"])
        required = _texts(schema.get("required"))
        is_array = schema.get("type") == "array"
        tag, value = (None, None) if is_array else _tag(members)
        if tag is not None:
            del members[tag]
        defaults: dict[str, Any] = {}
        fields = [
            (f"f{at}", Any)
            if name in required
            else (f"f{at}", Any, msgspec.field(default_factory=_Default(defaults, name)))
            for at, name in enumerate(members)
        ]
        name = _name(schema.get("title"))
        made = msgspec.defstruct(
            name,
            fields,
            module=self._module,
            forbid_unknown_fields=schema.get("additionalProperties") is False,
            rename=dict(zip((field[0] for field in fields), members, strict=True)),
            array_like=is_array,
            kw_only=not is_array,
            tag=value,
            tag_field=tag,
        )
        register(made)
        types = {name: self.of(member) for name, member in members.items()}
        for at, (member, annotation) in enumerate(types.items()):
            made.__annotations__[f"f{at}"] = annotation
            if member not in required:
                try:
                    defaults[member] = self.default(members[member], annotation)
                except KeyError:
                    defaults[member] = None if is_array else UNSET
        if name != "Object":
            self.objects[name] = ({tag: Literal[value]} if tag else {}) | types
        return made


class _Default:
    """Makes the default of one member of an object, which is found after its class is made."""

    def __init__(self, defaults: Mapping[str, Any], name: str) -> None:
        self._defaults = defaults
        self._name = name

    def __call__(self) -> Any:
        return copy.deepcopy(self._defaults[self._name])


_ANYTHING: Final[tuple[Any, frozenset[str]]] = (Any, frozenset())
_OBJECT: Final = frozenset({"object"})
_OUT_OF_BAND: Final = frozenset({"buffer"})
"""What has no kind of JSON: an array of numpy, a table."""
_JSON: Final[Mapping[type, str]] = {
    type(None): "null",
    bool: "boolean",
    int: "integer",
    str: "string",
}


def _is_object(schema: object) -> bool:
    """Whether a schema lists the members of an object, and there are no others of a known type."""
    return (
        isinstance(schema, Mapping)
        and schema.get("type") == "object"
        and isinstance(schema.get("properties"), Mapping)
        and not schema.get("additionalProperties")
        and not schema.get("patternProperties")
    )


def _name(title: object) -> str:
    """Return the name of a class with this title, as `Page_Item` of "Page[Item]"."""
    name = "_".join(re.findall(r"\w+", title)) if isinstance(title, str) else ""
    return name if is_name(name) else "Object"


def _is_one(schemas: object) -> bool:
    return isinstance(schemas, list) and len(schemas) == 1


def _literal(values: object) -> tuple[Any, frozenset[str]]:
    if not isinstance(values, list):
        return _ANYTHING
    kinds = frozenset(_JSON.get(type(value), "") for value in values)
    if not values or not kinds <= {"null", "integer", "string"}:
        return _ANYTHING  # which msgspec has no literals of
    return Literal[tuple(values)], kinds


def _tag(members: Schema) -> tuple[str | None, str | int | None]:
    """Return the first member that has only one value, with that value; None if there is none."""
    for name, schema in members.items():
        if isinstance(schema, Mapping):
            values = schema.get("enum", [schema["const"]] if "const" in schema else [])
            if isinstance(values, list) and len(values) == 1 and type(values[0]) in (str, int):
                return name, values[0]
    return None, None


def _tell_apart(objects: Iterable[Any]) -> bool:
    """Whether msgspec can tell these objects apart by a tag."""
    tags = set()
    fields = set()
    count = 0
    for one in objects:
        if not (isinstance(one, type) and issubclass(one, msgspec.Struct)):
            return False
        count += 1
        fields.add(one.__struct_config__.tag_field)
        tags.add(one.__struct_config__.tag)
    return len(fields) == 1 and None not in fields and len(tags) == count


def _bounded(kind: Any, schema: Schema, names: Mapping[str, str], like: Any = None) -> Any:
    """Return a type with those of its bounds that msgspec has.

    :param like: a type that may have the same bounds. A decoder of the type itself would read
        objects inside it that are still being made.
    """
    bounds: dict[str, Any] = {}
    for word, name in names.items():
        if word in schema:
            more = {**bounds, name: schema[word]}
            try:
                msgspec.json.Decoder(Annotated[like or kind, Meta(**more)])
            except (TypeError, ValueError, re.error, OverflowError):
                continue
            bounds = more
    return Annotated[kind, Meta(**bounds)] if bounds else kind


def _in_bytes(schema: Schema) -> Schema:
    """The bounds of base64 text as bounds of the bytes: no narrower than they are."""
    found: dict[str, Any] = {}
    least, most = schema.get("minLength"), schema.get("maxLength")
    if isinstance(least, int) and least > 0:
        found["minLength"] = max(0, 3 * (least // _BASE64) - 2)
    if isinstance(most, int):
        found["maxLength"] = 3 * most // _BASE64
    return found


def _texts(value: object) -> frozenset[str]:
    found = value if isinstance(value, list) else ()
    return frozenset(one for one in found if isinstance(one, str))
