"""A hash of a call's arguments: the same for the same values, however they travelled.

Of the values as the server decoded them, not of the body's bytes: one call may be repeated in JSON
and then in MessagePack, with its arguments in another order, or by a client that sends a default
which the first one left out. What is equal to its default does not count, so a parameter or a field
that is new, with a default, changes no hash. docs/protocol.md, section Keys, says how another
server computes the same.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import math
import struct
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from datetime import MINYEAR, UTC, datetime
from enum import Enum
from hashlib import sha256
from typing import Any

import msgspec
from msgspec import NODEFAULT, UNSET

from leveret.codec import with_buffers
from leveret.codec.buffered_types import buffered_in
from leveret.codec.content_type import JSON
from leveret.codec.sorted_sets import sort_sets
from leveret.codec.special_fields import special_fields

__all__ = ["ArgumentsHash"]


class ArgumentsHash:
    """Computes the hashes of the arguments of one method.

    :param parameters: the method's parameters struct.
    """

    def __init__(self, parameters: type[msgspec.Struct]) -> None:
        self._encoders = {
            name: (kind.coder(JSON, f"$.{name}")[0], kind.schema("#/$defs/{name}"))
            for name, kind in special_fields(parameters).items()
        }
        self._buffered = {
            field.name: with_buffers.coder(field.type)[0]
            for field in msgspec.structs.fields(parameters)
            if buffered_in(field.type)
        }

    def of(self, arguments: msgspec.Struct) -> str:
        """64 hexadecimal digits.

        :raises TypeError: for values that have no JSON form.
        """
        return sha256(_text(self._argument_values(arguments)).encode(*_UTF8)).hexdigest()

    def _argument_values(self, arguments: msgspec.Struct) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, value, default in _struct_fields(arguments):
            if _is_same(value, default):
                continue
            if name in self._buffered:
                body = bytes(self._buffered[name](value))
                found[name] = {"sha256": sha256(body).hexdigest()}
            elif name in self._encoders:
                encode, schema = self._encoders[name]
                found[name] = sort_sets(json.loads(encode(value)), schema, _text)
            else:
                found[name] = _plain(value)
        return found


_UTF8 = ("utf-8", "surrogatepass")


def _text(value: Any) -> str:
    return json.dumps(_numbers(value), ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def _numbers(value: Any) -> Any:
    """The value with each number in the one form that it has."""
    match value:
        case float():
            if math.isfinite(value) and value.is_integer():
                return int(value)
            return f"float:{struct.pack('>d', value).hex()}"
        case dict():
            return {name: _numbers(one) for name, one in value.items()}
        case list():
            return [_numbers(one) for one in value]
    return value


def _plain(value: Any) -> Any:  # noqa: C901, PLR0911 - a kind, a case
    """A value as JSON has it, but for numbers."""
    match value:
        case Enum():
            return _plain(value.value)
        case None | bool() | int() | float():
            return value
        case str():
            return str(value)
        case bytes() | bytearray() | memoryview():
            return base64.b64encode(value).decode()
        case datetime() if value.tzinfo is not None:
            return _moment(value)
        case Mapping():
            return {_name(name): _plain(one) for name, one in value.items()}
        case AbstractSet():
            return sorted((_plain(one) for one in value), key=_text)
        case list() | tuple():
            return [_plain(one) for one in value]
        case msgspec.Struct():
            return _fields_of(value, _struct_fields(value))
    if dataclasses.is_dataclass(value):
        return _fields_of(value, _dataclass_fields(value))
    if hasattr(value, "__attrs_attrs__"):
        return _fields_of(value, _attrs_fields(value))
    return msgspec.to_builtins(value)


_CYCLE = 400
"""Years after which the calendar repeats, to the weekdays and leap years."""


def _moment(value: datetime) -> str:
    """A time with a zone, in UTC, where it may be of the year 0 or 10000."""
    years = 0
    try:
        found = value.astimezone(UTC)
    except OverflowError:  # Python has no such years
        years = _CYCLE if value.year == MINYEAR else -_CYCLE
        found = value.replace(year=value.year + years).astimezone(UTC)
    text: str = msgspec.to_builtins(found)
    return f"{found.year - years:04}{text[4:]}" if years else text


def _name(key: Any) -> str:
    name = _plain(key)
    return name if isinstance(name, str) else _text(name)


_Field = tuple[str, Any, Any]
"""A field's name on the wire, its value, and its default or `NODEFAULT`."""


def _fields_of(value: Any, fields: Iterator[_Field]) -> dict[str, Any]:
    found = {
        name: _plain(one)
        for name, one, default in fields
        if one is not UNSET and not _is_same(one, default)
    }
    if isinstance(value, msgspec.Struct) and value.__struct_config__.tag is not None:
        found[value.__struct_config__.tag_field or "type"] = value.__struct_config__.tag
    return found


def _struct_fields(value: msgspec.Struct) -> Iterator[_Field]:
    for field in msgspec.structs.fields(value):
        default = field.default
        if field.default_factory is not NODEFAULT:
            default = field.default_factory()
        yield field.encode_name, getattr(value, field.name), default


def _dataclass_fields(value: Any) -> Iterator[_Field]:
    for field in dataclasses.fields(value):
        default = NODEFAULT if field.default is dataclasses.MISSING else field.default
        if field.default_factory is not dataclasses.MISSING:
            default = field.default_factory()
        yield field.name, getattr(value, field.name), default


def _attrs_fields(value: Any) -> Iterator[_Field]:
    for field in value.__attrs_attrs__:
        default = field.default
        if hasattr(default, "factory"):
            default = NODEFAULT if default.takes_self else default.factory()
        elif repr(default) == "NOTHING":
            default = NODEFAULT
        yield field.name, getattr(value, field.name), default


def _is_same(value: Any, default: Any) -> bool:
    try:
        return default is not NODEFAULT and type(value) is type(default) and bool(value == default)
    except Exception:  # noqa: BLE001 - an array, or a class of the user's that cannot be compared
        return False
