"""JSON and MessagePack bodies: the arguments as one object, the result as one value."""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from types import NoneType
from typing import Any, Final, TypeVar

import msgspec
from msgspec import UnsetType

from leveret.codec.content_type import JSON, MSGPACK
from leveret.codec.kindred import plain
from leveret.codec.not_finite import refuse_not_finite
from leveret.codec.pydantic_values import pydantic_type
from leveret.codec.travelling_types import Traits, traits
from leveret.codec.with_pydantic import arguments_coder, pydantic_fields
from leveret.errors import ContractError

__all__ = ["argument_coder", "check_value", "result_coder"]

T = TypeVar("T")

Coder = tuple[Callable[[Any], bytes], Callable[[bytes], Any]]
"""The checking encoder and the decoder of the same values."""

Proof = Callable[[bytes, Any], object]
"""Raises unless a body, which is a value's, decodes to what that was."""

# A value whose class is exactly one of these always decodes to what it was, or fails to encode.
# Not float: JSON has no NaN and no infinities (`not_finite.py`).
_FAITHFUL = frozenset({int, str, bool, bytes, NoneType})
_LEFT_OUT: Final = 64
"""For so many choices of fields that are left out it is kept that they need no check."""
_BYTES: Final = (bytes, bytearray, memoryview)
_LARGE: Final = 2_000
"""Bytes of a body from which on looking at the values is cheaper than packing them."""


def argument_coder(content_type: str, parameters: type[msgspec.Struct]) -> Coder:
    """Return the checking encoder and the decoder of a method's arguments."""
    theirs = pydantic_fields(parameters)
    if theirs:
        return arguments_coder(content_type, parameters, theirs, argument_coder)
    encode, decode = _coder(content_type, parameters)
    prove = _proof(content_type, parameters, decode)
    fields = msgspec.structs.fields(parameters)
    expected = tuple(_faithful_class(field.type) for field in fields)
    if not fields:
        return encode, decode
    if None in expected:
        return _checked(encode, prove), decode
    read = attrgetter(*(field.name for field in fields))
    if len(fields) == 1:
        left_out = None if fields[0].required else UnsetType
        return _checked_unless_exact_field(encode, prove, read, expected[0], left_out), decode
    return _checked_unless_exact_fields(encode, prove, read, expected), decode


def result_coder(content_type: str, result: Any) -> Coder:
    """Return the checking encoder and the decoder of a method's result."""
    theirs = pydantic_type(result)
    if theirs is not None:
        return theirs.coder(content_type)
    encode, decode = _coder(content_type, result)
    prove = _proof(content_type, result, decode)
    exact = _faithful_class(result)
    if exact is None:
        return _checked(encode, prove), decode

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


def _coder(content_type: str, annotation: Any) -> Coder:
    try:
        if content_type == JSON:
            return msgspec.json.Encoder(enc_hook=plain).encode, msgspec.json.Decoder(
                annotation
            ).decode
        return msgspec.msgpack.Encoder(enc_hook=plain).encode, msgspec.msgpack.Decoder(
            annotation
        ).decode
    except (TypeError, NameError) as error:
        raise ContractError(f"{content_type} cannot carry {annotation!r}: {error}") from error


def _proof(content_type: str, annotation: Any, decode: Callable[[bytes], Any]) -> Proof:
    """Return what decodes a body as the receiver will: nothing else checks nested values."""
    if content_type != JSON:
        return lambda body, value: decode(body)
    found = traits(annotation)
    prove = _proof_by_reading(decode, numbers_or_null=found.numbers_or_null)
    return _proof_of_texts(annotation, found, prove) if found.texts else prove


def _proof_by_reading(decode: Callable[[bytes], Any], *, numbers_or_null: bool) -> Proof:
    """Return the proof that reads the JSON body."""

    def prove(body: bytes, value: Any) -> None:
        if numbers_or_null and b"null" in body:
            refuse_not_finite(value)
        try:
            decode(body)
        except msgspec.ValidationError:
            if b"null" in body:
                refuse_not_finite(value)
            raise

    return prove


def _proof_of_texts(annotation: Any, found: Traits, prove_by_reading: Proof) -> Proof:
    """Return the proof of a body that reading it does not give.

    JSON has one kind of text, so `b"abc"` where a `str` must be becomes a `str`, and `"data"` where
    bytes must be is read as base64. MessagePack tells them apart, and costs hardly more than JSON.
    """
    pack, unpack = _coder(MSGPACK, annotation)
    large = _LARGE if found.flat else float("inf")
    numbers = found.numbers

    def prove(body: bytes, value: Any) -> None:
        try:
            if len(body) < large:
                unpack(pack(value))
            else:
                _convert(value, annotation)
        except OverflowError:  # an integer of more than 64 bits, which JSON has
            _convert(value, annotation)
        except msgspec.ValidationError:
            if b"null" in body:
                refuse_not_finite(value)
            raise
        if numbers and b"null" in body:
            prove_by_reading(body, value)

    return prove


def _convert(value: Any, annotation: Any) -> None:
    """Raise unless a value fits, without encoding it: the faster, the fewer objects it makes."""
    builtins = msgspec.to_builtins(value, builtin_types=_BYTES, enc_hook=plain)
    msgspec.convert(builtins, annotation, builtin_types=_BYTES)


def _faithful_class(annotation: Any) -> type | None:
    """Return the class to compare with where that alone proves a value right, else None."""
    found = NoneType if annotation is None else annotation
    return found if isinstance(found, type) and found in _FAITHFUL else None


def _checked(encode: Callable[[T], bytes], prove: Proof) -> Callable[[T], bytes]:
    def encode_checked(value: T) -> bytes:
        body = encode(value)
        prove(body, value)
        return body

    return encode_checked


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
