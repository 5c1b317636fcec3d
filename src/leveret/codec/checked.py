"""Bodies of one annotation in JSON and MessagePack, proved to be what the receiver will read.

An encoder checks no types. So whoever sends a body reads it as well, in one way or another.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

import msgspec

from leveret.codec.content_type import JSON, MSGPACK
from leveret.codec.hook_table import BYTES, HookTable
from leveret.codec.kindred import plain
from leveret.codec.not_finite import refuse_not_finite
from leveret.codec.odd_offsets import refuse_odd_offsets
from leveret.codec.travelling_types import Traits, traits
from leveret.errors import ContractError

__all__ = ["Coder", "Proof", "checked", "coder_and_proof"]

T = TypeVar("T")

Coder = tuple[Callable[[Any], bytes], Callable[[bytes], Any]]
"""The encoder and the decoder of the same values."""

Proof = Callable[[bytes, Any], object]
"""Raises unless a body, which is a value's, decodes to what that was."""

_LARGE: Final = 2_000
"""Bytes of a body from which on looking at the values is cheaper than packing them."""


def coder_and_proof(
    content_type: str, annotation: Any, table: HookTable | None = None
) -> tuple[Callable[[Any], bytes], Callable[[bytes], Any], Proof]:
    """Return an encoder that does not check, the decoder, and what proves an encoded body.

    :param table: the hooks that hold in it.
    :raises ContractError: if values of this type cannot travel.
    """
    encode, decode = _coder(content_type, annotation, table)
    return encode, decode, _proof(content_type, annotation, table, decode)


def checked(encode: Callable[[T], bytes], prove: Proof) -> Callable[[T], bytes]:
    """Return an encoder that proves each body."""

    def encode_checked(value: T) -> bytes:
        body = encode(value)
        prove(body, value)
        return body

    return encode_checked


def _coder(content_type: str, annotation: Any, table: HookTable | None) -> Coder:
    as_json = content_type == JSON
    known, dec_hook, readable = plain, None, annotation
    if table is not None:
        known, readable = table.encode, table.annotation
        dec_hook = table.decoder(as_json=as_json)
    try:
        if as_json:
            json = msgspec.json.Decoder(readable, dec_hook=dec_hook)
            return msgspec.json.Encoder(enc_hook=known).encode, json.decode
        msgpack = msgspec.msgpack.Decoder(readable, dec_hook=dec_hook)
        return msgspec.msgpack.Encoder(enc_hook=known).encode, msgpack.decode
    except (TypeError, NameError) as error:
        raise ContractError(f"{content_type} cannot carry {annotation!r}: {error}") from error


def _proof(
    content_type: str,
    annotation: Any,
    table: HookTable | None,
    decode: Callable[[bytes], Any],
) -> Proof:
    """Return what decodes a body as the receiver will: nothing else checks nested values."""
    found = traits(annotation, table)
    known = plain if table is None else table.encode
    prove: Proof = lambda body, _value: decode(body)  # noqa: E731
    if content_type == JSON:
        prove = _proof_by_reading(decode, known, numbers_or_null=found.numbers_or_null)
        if found.texts:
            prove = _proof_of_texts(annotation, table, found, prove)
    return _proof_of_offsets(content_type, known, prove) if found.offsets else prove


def _proof_of_offsets(content_type: str, known: Callable[[Any], Any], prove: Proof) -> Proof:
    """Return the proof of a body that may have dates and times with offsets."""

    def prove_with_offsets(body: bytes, value: Any) -> None:
        prove(body, value)
        refuse_odd_offsets(content_type, body, value, known)

    return prove_with_offsets


def _proof_by_reading(
    decode: Callable[[bytes], Any], known: Callable[[Any], Any], *, numbers_or_null: bool
) -> Proof:
    """Return the proof that reads the JSON body."""

    def prove(body: bytes, value: Any) -> None:
        if numbers_or_null and b"null" in body:
            refuse_not_finite(value, known)
        try:
            decode(body)
        except msgspec.ValidationError:
            if b"null" in body:
                refuse_not_finite(value, known)
            raise

    return prove


def _proof_of_texts(
    annotation: Any, table: HookTable | None, found: Traits, prove_by_reading: Proof
) -> Proof:
    """Return the proof of a body that reading it does not give.

    JSON has one kind of text, so `b"abc"` where a `str` must be becomes a `str`, and `"data"` where
    bytes must be is read as base64. MessagePack tells them apart, and costs hardly more than JSON.
    """
    pack, unpack = _coder(MSGPACK, annotation, table)
    large = _LARGE if found.flat else float("inf")
    numbers = found.numbers
    known = plain if table is None else table.encode
    convert = _conversion(annotation, table)

    def prove(body: bytes, value: Any) -> None:
        try:
            if len(body) < large:
                unpack(pack(value))
            else:
                convert(value)
        except OverflowError:  # an integer of more than 64 bits, which JSON has
            convert(value)
        except msgspec.ValidationError:
            if b"null" in body:
                refuse_not_finite(value, known)
            raise
        if numbers and b"null" in body:
            prove_by_reading(body, value)

    return prove


def _conversion(annotation: Any, table: HookTable | None) -> Callable[[Any], object]:
    """Return what raises unless a value fits, without encoding it: faster without many objects."""
    known, dec_hook = plain, None
    if table is not None:
        known, dec_hook, annotation = table.encode, table.decoder(as_json=False), table.annotation

    def convert(value: Any) -> None:
        builtins = msgspec.to_builtins(value, builtin_types=BYTES, enc_hook=known)
        msgspec.convert(builtins, annotation, builtin_types=BYTES, dec_hook=dec_hook)

    return convert
