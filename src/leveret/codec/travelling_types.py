"""Judges annotations: whether their values can travel in a body, in JSON and in MessagePack.

msgspec builds a decoder for any class, and fails only at the first value. This file walks a whole
annotation beforehand, so a service that cannot work is refused when it is defined.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import inspect as shapes

from leveret.errors import ContractError

__all__ = ["check_type", "is_bytes", "is_scalar", "is_string", "reads_null_for_numbers"]

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
_UNHASHABLE = (
    shapes.ListType,
    shapes.SetType,
    shapes.DictType,
    shapes.TypedDictType,
    shapes.ByteArrayType,
)


def check_type(annotation: Any) -> None:
    """Check that values of this type can be encoded and decoded, in JSON and in MessagePack.

    :raises ContractError: when they cannot; the message tells why and what to write instead.
    """
    try:
        msgspec.json.Decoder(annotation)
        msgspec.msgpack.Decoder(annotation)
        shape = shapes.type_info(annotation)
    except (TypeError, NameError, AttributeError, ValueError) as error:
        raise ContractError(str(error)) from error
    for part in _parts(shape):
        reason = _reason_against(part)
        if reason:
            raise ContractError(reason)


def reads_null_for_numbers(annotation: Any) -> bool:
    """Whether a number or `null` may stand anywhere in values of this type."""
    return any(
        isinstance(part, shapes.AnyType | shapes.RawType)
        or {shapes.FloatType, shapes.NoneType} <= set(map(type, map(_inner, _alternatives(part))))
        for part in _parts(shapes.type_info(annotation))
    )


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


def _reason_against(part: shapes.Type) -> str:
    """Why this type itself cannot travel; "" if it can."""
    if isinstance(part, shapes.CustomType):
        return (
            f"{part.cls.__module__}.{part.cls.__qualname__} cannot be encoded; use a "
            "msgspec.Struct, a dataclass, a TypedDict, or Python's own value and container types"
        )
    if isinstance(part, shapes.ExtType):
        return "msgspec.msgpack.Ext exists in MessagePack only; use bytes"
    if isinstance(part, shapes.DictType) and any(
        isinstance(key, _NO_KEYS) for key in _alternatives(part.key_type)
    ):
        return "a dict's keys must be strings, numbers, enums, dates or UUIDs; use a list of pairs"
    if isinstance(part, shapes.SetType | shapes.FrozenSetType) and not _hashable(part.item_type):
        return "a set's items must be hashable; use a list, or a frozen struct"
    return ""


def _alternatives(shape: shapes.Type) -> tuple[shapes.Type, ...]:
    shape = _inner(shape)
    return shape.types if isinstance(shape, shapes.UnionType) else (shape,)


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
        if isinstance(part, shapes.StructType | shapes.DataclassType) and _eq_only(part.cls):
            return False
        if isinstance(part, shapes.TupleType) and not all(map(_hashable, part.item_types)):
            return False
        if isinstance(part, shapes.VarTupleType) and not _hashable(part.item_type):
            return False
    return True
