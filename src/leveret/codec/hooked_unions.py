"""Unions some of whose types have hooks: what travels tells which of them a value is of."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any, Final, TypeAlias, Union

import msgspec
from msgspec import inspect as shapes

from leveret.annotations import Hook

__all__ = ["Convert", "HookedUnion"]

Convert: TypeAlias = Callable[[Any, Any], Any]
"""From plain values and an annotation to values of that; raises `msgspec.ValidationError`."""

_ANY: Final = frozenset({"null", "boolean", "number", "text", "array", "object"})
"""The kinds of values that JSON has."""
_KINDS: Final[dict[type[shapes.Type], str]] = {
    shapes.NoneType: "null",
    shapes.BoolType: "boolean",
    shapes.IntType: "number",
    shapes.FloatType: "number",
    shapes.DictType: "object",
    shapes.TypedDictType: "object",
    shapes.DataclassType: "object",
    shapes.NamedTupleType: "array",
    shapes.TupleType: "array",
}


class HookedUnion:
    """One type for msgspec, which refuses unions of types that it does not know.

    :param hooked: the hooks of those that have one, each with what travels, as msgspec reads it.
    :param rest: the other types.
    :raises TypeError: if what travels does not tell which of them it is of.
    """

    def __init__(self, hooked: list[tuple[Hook[Any], Any]], rest: list[Any]) -> None:
        _refuse_alike(hooked, rest)
        self._hooked = hooked
        self.wire: Any = reduce(_or, (*(wire for _, wire in hooked), *rest))
        """The annotation of what travels."""
        names = [_name(part) for part in (*(hook.type for hook, _ in hooked), *rest)]
        self.cls: type = _AnyInstance(" | ".join(names), (), {})
        """What stands for the union."""

    def read(self, found: Any, converted: Any, convert: Convert) -> Any:
        """Return the value for what travelled.

        :param converted: the same, as `wire` has it.
        """
        for hook, wire in self._hooked:
            try:
                mine = convert(found, wire)
            except msgspec.ValidationError:
                continue
            return hook.read(mine)
        return converted


class _AnyInstance(type):
    """The class of classes of which any value is an instance, as msgspec asks that."""

    def __instancecheck__(cls, value: object) -> bool:
        return True


def _kinds(shape: shapes.Type) -> frozenset[str]:
    """Return the kinds of JSON that values of a type may be; all, where it may be anything."""
    match shape:
        case shapes.Metadata():
            found = _kinds(shape.type)
        case shapes.UnionType():
            found = frozenset().union(*map(_kinds, shape.types))
        case shapes.LiteralType():
            found = frozenset(map(_kind_of, shape.values))
        case shapes.EnumType():
            found = frozenset(_kind_of(member.value) for member in shape.cls)
        case shapes.StructType():
            found = frozenset({"array" if shape.array_like else "object"})
        case shapes.CollectionType():
            found = frozenset({"array"})
        case shapes.AnyType() | shapes.RawType():
            found = _ANY
        case shapes.CustomType():
            found = frozenset()  # msgspec refuses it beside others
        case _:
            found = frozenset({_KINDS.get(type(shape), "text")})
    return found


def _kind_of(value: object) -> str:
    if isinstance(value, str):
        return "text"
    return "null" if value is None else "number"


def _refuse_alike(hooked: list[tuple[Hook[Any], Any]], rest: list[Any]) -> None:
    """Refuse types that travel as the same, unless none of the two has a hook."""
    members = [(_name(hook.type), wire, True) for hook, wire in hooked]
    members += [(_name(part), part, False) for part in rest]
    taken: dict[str, str] = {}
    for name, annotation, is_hooked in members:
        of_member = _kinds(shapes.type_info(annotation))
        for kind in sorted(of_member):
            if kind in taken:
                raise TypeError(
                    f"{taken[kind]} and {name} both travel as a JSON {kind}, so nothing tells them "
                    f"apart; let {taken[kind]} travel as something else, or name it in a struct"
                )
        if is_hooked:
            taken.update(dict.fromkeys(of_member, name))


def _or(left: Any, right: Any) -> Any:
    return Union[left, right]  # noqa: UP007 - made of what is not known here


def _name(annotation: Any) -> str:
    if annotation is type(None):
        return "None"
    return annotation.__name__ if isinstance(annotation, type) else str(annotation)
