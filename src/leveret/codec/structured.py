"""JSON and MessagePack bodies: the arguments as one object, the result as one value."""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from types import NoneType
from typing import Any, Final

import msgspec
from msgspec import UnsetType

from leveret.codec.checked import Coder, Proof, checked, coder_and_proof
from leveret.codec.content_type import JSON, MSGPACK
from leveret.codec.special_fields import arguments_coder, special_fields
from leveret.codec.special_types import special_type

__all__ = ["argument_coder", "check_value", "result_coder"]

# A value whose class is exactly one of these always decodes to what it was, or fails to encode.
# Not float: JSON has no NaN and no infinities (`not_finite.py`).
_FAITHFUL = frozenset({int, str, bool, bytes, NoneType})
_LEFT_OUT: Final = 64
"""For so many choices of fields that are left out it is kept that they need no check."""


def argument_coder(content_type: str, parameters: type[msgspec.Struct]) -> Coder:
    """Return the checking encoder and the decoder of a method's arguments."""
    special = special_fields(parameters)
    if special:
        return arguments_coder(content_type, parameters, special, argument_coder)
    encode, decode, prove = coder_and_proof(content_type, parameters)
    fields = msgspec.structs.fields(parameters)
    expected = tuple(_faithful_class(field.type) for field in fields)
    if not fields:
        return encode, decode
    if None in expected:
        return checked(encode, prove), decode
    read = attrgetter(*(field.name for field in fields))
    if len(fields) == 1:
        left_out = None if fields[0].required else UnsetType
        return _checked_unless_exact_field(encode, prove, read, expected[0], left_out), decode
    return _checked_unless_exact_fields(encode, prove, read, expected), decode


def result_coder(content_type: str, result: Any) -> Coder:
    """Return the checking encoder and the decoder of a method's result."""
    special = special_type(result)
    if special is not None:
        return special.coder(content_type, "$")
    encode, decode, prove = coder_and_proof(content_type, result)
    exact = _faithful_class(result)
    if exact is None:
        return checked(encode, prove), decode

    def encode_unless_exact(value: Any) -> bytes:
        body = encode(value)
        if type(value) is not exact:
            prove(body, value)
        return body

    return encode_unless_exact, decode


def check_value(content_type: str, annotation: Any, value: Any) -> None:
    """Check that a value of this type arrives as what it is.

    :raises Exception: any of `ENCODE_ERRORS`, if it does not.
    """
    encode, _ = result_coder(MSGPACK if content_type == MSGPACK else JSON, annotation)
    encode(value)


def _faithful_class(annotation: Any) -> type | None:
    """Return the class to compare with where that alone proves a value right, else None."""
    found = NoneType if annotation is None else annotation
    return found if isinstance(found, type) and found in _FAITHFUL else None


def _checked_unless_exact_field(
    encode: Callable[[Any], bytes],
    prove: Proof,
    read: Callable[[Any], Any],
    exact: type | None,
    left_out: type | None,
) -> Callable[[msgspec.Struct], bytes]:
    def encode_arguments(value: msgspec.Struct) -> bytes:
        body = encode(value)
        given = type(read(value))
        if given is not exact and given is not left_out:
            prove(body, value)
        return body

    return encode_arguments


def _checked_unless_exact_fields(
    encode: Callable[[Any], bytes],
    prove: Proof,
    read: Callable[[Any], tuple[Any, ...]],
    exact: tuple[type | None, ...],
) -> Callable[[msgspec.Struct], bytes]:
    left_out = set[tuple[type, ...]]()  # of exact types as well, but for fields that are not given

    def encode_arguments(value: msgspec.Struct) -> bytes:
        body = encode(value)
        given = tuple(map(type, read(value)))
        if given != exact and given not in left_out:
            prove(body, value)
            if len(left_out) < _LEFT_OUT and all(
                found in (expected, UnsetType) for found, expected in zip(given, exact, strict=True)
            ):
                left_out.add(given)
        return body

    return encode_arguments
