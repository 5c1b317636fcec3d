"""Judges annotations: whether their values can travel in a body, in JSON and in MessagePack.

msgspec builds a decoder for any class, and fails only at the first value. This file walks a whole
annotation beforehand, so a service that cannot work is refused when it is defined.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

import msgspec
from msgspec import inspect as shapes

from leveret.annotations import hooks_of, of_pydantic
from leveret.codec.buffered_types import buffered_in, check_buffered, kind_of
from leveret.codec.hook_table import HookTable, hook_table
from leveret.codec.pydantic_values import pydantic_type
from leveret.errors import ContractError

__all__ = [
    "Traits",
    "check_type",
    "is_bytes",
    "is_known",
    "is_scalar",
    "is_string",
    "may_be_none",
    "traits",
]

_SCALARS = (
    shapes.BoolType,
    shapes.DateTimeType,
    shapes.DateType,
    shapes.DecimalType,
    shapes.EnumType,
    shapes.FloatType,
    shapes.IntType,
    shapes.LiteralType,
    shapes.StrType,
    shapes.TimeDeltaType,
    shapes.TimeType,
    shapes.UUIDType,
)
# JSON writes keys as strings; a bool or None has no such form in msgspec, nor has a tuple.
_NO_KEYS = (
    shapes.BoolType,
    shapes.NoneType,
    shapes.CollectionType,
    shapes.TupleType,
    shapes.DictType,
    shapes.DataclassType,
    shapes.StructType,
    shapes.NamedTupleType,
    shapes.TypedDictType,
    shapes.ByteArrayType,
    shapes.MemoryViewType,
)
_UNKNOWN = (shapes.AnyType, shapes.RawType)
# JSON writes all of these as text, and a dict's keys as well.
_TEXTS = (
    shapes.StrType,
    shapes.BytesType,
    shapes.ByteArrayType,
    shapes.MemoryViewType,
    shapes.DecimalType,
    shapes.DictType,
)
_WITH_FIELDS = (
    shapes.DataclassType,
    shapes.NamedTupleType,
    shapes.StructType,
    shapes.TypedDictType,
)
_CLASSES = (shapes.StructType, shapes.DataclassType, shapes.CustomType)
_NUMBER_KEYS = (shapes.IntType, shapes.FloatType, shapes.DecimalType)
_UNHASHABLE = (
    shapes.ListType,
    shapes.SetType,
    shapes.DictType,
    shapes.TypedDictType,
    shapes.ByteArrayType,
)


def check_type(annotation: Any) -> None:
    """Check that values of this type can be encoded and decoded, in JSON and in MessagePack.

    Or in MessagePack beside which arrays and tables travel.

    :raises ContractError: when they cannot; the message tells why and what to write instead.
    """
    if buffered_in(annotation) and (of_pydantic(annotation) or hooks_of(annotation)):
        raise ContractError(
            "it has arrays or tables, and what is pydantic's or has a hook, in one; make them two"
        )
    if pydantic_type(annotation) is not None:
        return
    check_buffered(annotation)
    try:
        table = hook_table(annotation)
        if table is not None:
            annotation = table.annotation
        msgspec.json.Decoder(annotation)
        msgspec.msgpack.Decoder(annotation)
        found = list(_all_parts(annotation, table))
    except RecursionError as error:
        raise ContractError(
            "a field is of a `type` that means something with itself inside, which only a class "
            "may; write a msgspec.Struct or a dataclass, or Any"
        ) from error
    except (TypeError, NameError, AttributeError, ValueError, NotImplementedError) as error:
        raise ContractError(_said(error)) from error
    wire = _no_wire if table is None else table.wire
    for part in found:
        reason = _reason_against(part, wire)
        if reason:
            raise ContractError(reason)


def is_known(cls: type) -> bool:
    """Whether encoders and decoders know a class, so that they never ask a hook about it."""
    if pydantic_type(cls) is not None or kind_of(cls) is not None:
        return True
    try:
        return not isinstance(shapes.type_info(cls), shapes.CustomType)
    except (TypeError, NameError, AttributeError, ValueError, NotImplementedError):
        return True


def may_be_none(annotation: Any) -> bool:
    """Whether None is a value of a type that `check_type` lets through, and the type says so."""
    return any(isinstance(part, shapes.NoneType) for part in _alternatives(_bare(annotation)))


class Traits(msgspec.Struct, frozen=True, kw_only=True):
    """What has to be looked at in JSON bodies of a type, as JSON itself does not tell."""

    numbers_or_null: bool
    """Whether a number or `null` may stand somewhere: JSON writes `null` for NaN."""
    numbers: bool
    """Whether a floating-point number may stand anywhere."""
    texts: bool
    """Whether anything of it is text in JSON that is not always text in Python, as bytes are."""
    offsets: bool
    """Whether a date or a time with an offset from UTC may stand anywhere."""
    flat: bool
    """Whether all in it are containers and values of Python's own, and no class with fields."""


def traits(annotation: Any, table: HookTable | None = None) -> Traits:
    """Look at all of an annotation that `check_type` lets through.

    :param table: the hooks that hold in it.
    """
    if table is not None:
        return _traits(table.annotation, table)
    try:
        return _kept_traits(annotation)
    except TypeError:  # it has no hash, as a Meta with examples may have none
        return _traits(annotation)


def _traits(annotation: Any, table: HookTable | None = None) -> Traits:
    found = list(_all_parts(annotation, table))
    return Traits(
        numbers_or_null=any(
            isinstance(part, _UNKNOWN)
            or {shapes.FloatType, shapes.NoneType}
            <= set(map(type, map(_inner, _travelling(part, table))))
            for part in found
        ),
        numbers=any(isinstance(part, (*_UNKNOWN, shapes.FloatType)) for part in found),
        texts=any(isinstance(part, _TEXTS) for part in found)
        and not any(isinstance(part, shapes.RawType) for part in found),
        offsets=any(isinstance(part, shapes.DateTimeType | shapes.TimeType) for part in found),
        flat=not any(isinstance(part, _WITH_FIELDS) for part in found[1:]),
    )


_kept_traits = lru_cache(1024)(_traits)


def is_scalar(annotation: Any) -> bool:
    """Whether values of this type have a text form that reads back: no containers, no None."""
    return isinstance(_bare(annotation), _SCALARS)


def is_string(annotation: Any) -> bool:
    """Whether values of this type are `str`, with or without bounds."""
    return isinstance(_bare(annotation), shapes.StrType)


def is_bytes(annotation: Any) -> bool:
    """Whether values of this type are `bytes`, with or without bounds."""
    return isinstance(_bare(annotation), shapes.BytesType)


def _bare(annotation: Any) -> shapes.Type:
    return _inner(shapes.type_info(annotation))


def _inner(shape: shapes.Type) -> shapes.Type:
    """Return a type without its metadata."""
    while isinstance(shape, shapes.Metadata):
        shape = shape.type
    return shape


def _all_parts(annotation: Any, table: HookTable | None) -> Iterator[shapes.Type]:
    """Yield all types inside an annotation, and inside of what travels for those with hooks."""
    left, seen = [annotation], set[type]()
    while left:
        for part in _parts(shapes.type_info(left.pop())):
            yield part
            if table is None or not isinstance(part, shapes.CustomType) or part.cls in seen:
                continue
            seen.add(part.cls)
            wire = table.wire(part.cls)
            if wire is not None:
                left.append(wire)


def _no_wire(_cls: type) -> None:
    """What travels for types where there are no hooks."""


def _said(error: Exception) -> str:
    """What msgspec says of an annotation that it cannot read."""
    text = str(error)
    if "containing a custom type" in text:
        return (
            f"{text}. A type with a hook may stand in a union with others where a method's "
            "signature says so, not in a field of a class: give the field a type of its own, and "
            "that a hook"
        )
    return text


def _parts(shape: shapes.Type) -> Iterator[shapes.Type]:
    """Yield the type and all types inside it, each once: types may refer to themselves."""
    seen: set[int] = set()
    left: list[Any] = [shape]
    while left:
        node = left.pop()
        if isinstance(node, shapes.Field):
            left.append(node.type)
        elif isinstance(node, tuple | list):
            left.extend(node)
        elif isinstance(node, shapes.Type) and id(node) not in seen:
            seen.add(id(node))
            yield node
            left.extend(getattr(node, name) for name in node.__struct_fields__)


def _reason_against(part: shapes.Type, wire: Callable[[type], Any]) -> str:
    """Why this type itself cannot travel; "" if it can.

    :param wire: gives what travels for a type with a hook.
    """
    if isinstance(part, shapes.CustomType) and part.cls is object:
        return "any value is an object; write Any, for the values that the content type has"
    if isinstance(part, shapes.CustomType) and wire(part.cls) is None and kind_of(part.cls) is None:
        return (
            f"{part.cls.__module__}.{part.cls.__qualname__} cannot be encoded; use a "
            "msgspec.Struct, a dataclass, a TypedDict, or Python's own value and container types; "
            f"or say how it travels: types=[leveret.Hook({part.cls.__qualname__}, str, "
            "encode=..., decode=...)] of the service"
        )
    if isinstance(part, shapes.ExtType):
        return "msgspec.msgpack.Ext exists in MessagePack only; use bytes"
    if isinstance(part, shapes.DictType):
        return _reason_against_keys(_alternatives(part.key_type), wire)
    if isinstance(part, shapes.SetType | shapes.FrozenSetType) and not _hashable(part.item_type):
        return "a set's items must be hashable; use a list, or a frozen struct"
    return ""


def _reason_against_keys(keys: tuple[shapes.Type, ...], wire: Callable[[type], Any]) -> str:
    if any(isinstance(key, _NO_KEYS) for key in keys):
        return "a dict's keys must be strings, numbers, enums, dates or UUIDs; use a list of pairs"
    if any(isinstance(key, shapes.CustomType) and not is_string(wire(key.cls)) for key in keys):
        return "a dict's keys may have a hook if they travel as `str`; use a list of pairs"
    if _merges(keys):
        return (
            "a dict's keys are text in JSON, where 1 and '1' are the same key; use keys of one "
            "type, or a list of pairs"
        )
    return ""


def _alternatives(shape: shapes.Type) -> tuple[shapes.Type, ...]:
    shape = _inner(shape)
    return shape.types if isinstance(shape, shapes.UnionType) else (shape,)


def _travelling(shape: shapes.Type, table: HookTable | None) -> Iterator[shapes.Type]:
    """Yield the alternatives of what travels for a type."""
    for part in _alternatives(shape):
        wire = table.wire(part.cls) if table and isinstance(part, shapes.CustomType) else None
        yield from (part,) if wire is None else _travelling(shapes.type_info(wire), table)


def _merges(keys: tuple[shapes.Type, ...]) -> bool:
    """Whether two keys that differ may be one text."""
    values = [value for key in keys for value in _values(key)]
    if len(set(map(str, values))) < len(values):
        return True
    as_numbers = [isinstance(key, _NUMBER_KEYS) for key in keys]
    return any(as_numbers) and not all(as_numbers)


def _values(key: shapes.Type) -> tuple[Any, ...]:
    """Return the values that a key may have, where they are known."""
    if isinstance(key, shapes.LiteralType):
        return key.values
    if isinstance(key, shapes.EnumType):
        return tuple(member.value for member in key.cls)
    return ()


def _eq_only(cls: type) -> bool:
    """Whether a class compares by value without being frozen, so that it has no hash."""
    if issubclass(cls, msgspec.Struct):
        return cls.__struct_config__.eq and not cls.__struct_config__.frozen
    return getattr(cls, "__hash__", None) is None


def _hashable(shape: shapes.Type) -> bool:
    """Whether values of this type, and all they hold, can be in a set."""
    for part in _alternatives(shape):
        if isinstance(part, _UNHASHABLE):
            return False
        if isinstance(part, _CLASSES) and _eq_only(part.cls):
            return False
        if isinstance(part, shapes.TupleType) and not all(map(_hashable, part.item_types)):
            return False
        if isinstance(part, shapes.VarTupleType) and not _hashable(part.item_type):
            return False
    return True
