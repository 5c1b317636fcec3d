"""Bodies of methods some of whose parameters are of special types, and the rest msgspec's.

What is of a special type travels inside the same object as the rest. msgspec reads it as raw bytes,
and the type reads those.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final, TypeVar

import msgspec
from msgspec import UNSET

from leveret.codec.checked import Coder
from leveret.codec.content_type import JSON
from leveret.codec.special_types import SpecialType, special_type

__all__ = [
    "arguments_coder",
    "joined_coder",
    "schema_struct",
    "special_fields",
    "wire_struct",
]

B = TypeVar("B")

_LEFT_OUT: Final = msgspec.Raw(b"")


def special_fields(parameters: type[msgspec.Struct]) -> dict[str, SpecialType]:
    """Return the fields of a struct that are of special types, by name."""
    found = {field.name: special_type(field.type) for field in msgspec.structs.fields(parameters)}
    return {name: kind for name, kind in found.items() if kind is not None}


def arguments_coder(
    content_type: str,
    parameters: type[msgspec.Struct],
    special: Mapping[str, SpecialType],
    coder_of: Callable[[str, Any], Coder],
) -> Coder:
    """Return the checking encoder and the decoder of arguments.

    :param special: those of special types, by name.
    :param coder_of: makes the checking encoder and the decoder of what msgspec reads.
    """
    ours = [name for name in parameters.__struct_fields__ if name not in special]
    own = _like(parameters, ours)
    check_ours = coder_of(content_type, own)[0] if ours else None
    wire = wire_struct(parameters, special)
    module: Any = msgspec.json if content_type == JSON else msgspec.msgpack
    write = module.Encoder().encode

    def write_checked(value: msgspec.Struct) -> bytes:
        if check_ours is not None:
            check_ours(own(**{name: getattr(value, name) for name in ours}))
        return bytes(write(value))

    return joined_coder(
        content_type, parameters, special, (write_checked, module.Decoder(wire).decode)
    )


def wire_struct(parameters: type[msgspec.Struct], special: Iterable[str]) -> type[msgspec.Struct]:
    """Return the struct that travels: with raw bytes for the fields of special types."""
    return _like(parameters, parameters.__struct_fields__, dict.fromkeys(special, msgspec.Raw))


def joined_coder(
    content_type: str,
    parameters: type[msgspec.Struct],
    special: Mapping[str, SpecialType],
    coder: tuple[Callable[[msgspec.Struct], B], Callable[[bytes], Any]],
) -> tuple[Callable[[msgspec.Struct], B], Callable[[bytes], msgspec.Struct]]:
    """Return the encoder and the decoder of arguments, by those of what travels.

    :param content_type: that of the fields of special types.
    :param coder: the checking encoder and the decoder of the `wire_struct`.
    """
    ours = [name for name in parameters.__struct_fields__ if name not in special]
    wire = wire_struct(parameters, special)
    write, read = coder
    coders = {name: kind.coder(content_type, f"$.{name}") for name, kind in special.items()}

    def encode(value: msgspec.Struct) -> B:
        values = {name: getattr(value, name) for name in ours}
        for name, (encode_one, _) in coders.items():
            one = getattr(value, name)
            values[name] = UNSET if one is UNSET else msgspec.Raw(encode_one(one))
        return write(wire(**values))

    def decode(body: bytes) -> msgspec.Struct:
        found = read(body)
        values = {name: getattr(found, name) for name in ours}
        for name, (_, decode_one) in coders.items():
            one = bytes(getattr(found, name))
            if one:
                values[name] = decode_one(one)
        return parameters(**values)

    return encode, decode


def schema_struct(
    parameters: type[msgspec.Struct], special: Mapping[str, SpecialType]
) -> tuple[type[msgspec.Struct], dict[type, SpecialType]]:
    """Return a struct that msgspec can describe, and what its unknown types stand for."""
    types = {name: type(name, (), {}) for name in special}
    struct = _like(parameters, parameters.__struct_fields__, types)
    return struct, {types[name]: kind for name, kind in special.items()}


def _like(
    parameters: type[msgspec.Struct],
    names: Iterable[str],
    types: Mapping[str, type] = MappingProxyType({}),
) -> type[msgspec.Struct]:
    """Make a struct with some of the fields of another, some of which are of other types."""
    of_name = {field.name: field for field in msgspec.structs.fields(parameters)}
    made: list[Any] = []
    for name in names:
        field = of_name[name]
        if field.required:
            made.append((name, types.get(name, field.type)))
        elif name in types:
            made.append((name, types[name], msgspec.field(default_factory=_left_out)))
        elif field.default is not msgspec.NODEFAULT:
            made.append((name, field.type, field.default))
        else:
            factory = msgspec.field(default_factory=field.default_factory)
            made.append((name, field.type, factory))
    return msgspec.defstruct(
        parameters.__name__,
        made,
        forbid_unknown_fields=parameters.__struct_config__.forbid_unknown_fields,
        kw_only=True,
    )


def _left_out() -> msgspec.Raw:
    return _LEFT_OUT
