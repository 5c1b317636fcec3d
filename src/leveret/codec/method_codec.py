"""The codec of one method: four functions between its Python values and its message bodies.

Encoder and decoder both check values against the method's annotations, bounds included. So the
decoder of the other side accepts whatever an encoder lets through.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

import msgspec

from leveret.body_parts import Body
from leveret.codec import single_value, structured, with_buffers
from leveret.codec.buffered_types import buffered_in
from leveret.codec.content_type import BUFFERS, JSON, MSGPACK, TEXT, normal_content_type
from leveret.codec.not_finite import refuse_not_finite
from leveret.codec.odd_offsets import refuse_odd_offsets
from leveret.codec.pydantic_values import plain_model
from leveret.codec.special_fields import special_fields
from leveret.errors import ContractError

__all__ = [
    "DECODE_ERRORS",
    "ENCODE_ERRORS",
    "FieldsCodec",
    "ItemCodec",
    "MethodCodec",
    "UntypedCodec",
    "check_value",
    "fields_codec",
    "item_codec",
    "method_codec",
    "untyped_codec",
]

# Types run code of their own while they are encoded and decoded (`__post_init__`, properties,
# `Enum._missing_`), and that may raise anything; every other failure is among msgspec's
# ValidationError and DecodeError, ValueError (of which UnicodeError), TypeError, OverflowError and
# RecursionError. So only `Exception` covers all. Keep nothing but the one codec call in the `try`.
ENCODE_ERRORS: Final[tuple[type[Exception], ...]] = (Exception,)
"""What an encoder raises for values that do not fit the annotations or the content type."""

DECODE_ERRORS: Final[tuple[type[Exception], ...]] = (Exception,)
"""What a decoder raises for bytes that are malformed or do not fit the annotations."""


class MethodCodec(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Encodes and decodes one method's arguments and results in one content type."""

    content_type: str
    """One of `CONTENT_TYPES`."""
    encode_arguments: Callable[[msgspec.Struct], Body]
    """From an instance of the method's parameters struct; checks it; raises `ENCODE_ERRORS`."""
    decode_arguments: Callable[[bytes], msgspec.Struct]
    """To an instance of the method's parameters struct; raises `DECODE_ERRORS`."""
    encode_result: Callable[[Any], Body]
    """From what the handler returned, or one item of it; checks it; raises `ENCODE_ERRORS`."""
    decode_result: Callable[[bytes], Any]
    """To a value of the result's type; raises `DECODE_ERRORS`."""


class ItemCodec(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Encodes and decodes the items of one stream in one content type, each a body of its own."""

    content_type: str
    """One of `CONTENT_TYPES`."""
    encode: Callable[[Any], Body]
    """From an item; checks it; raises `ENCODE_ERRORS`."""
    decode: Callable[[bytes], Any]
    """To an item; raises `DECODE_ERRORS`."""


class FieldsCodec(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Encodes and decodes the fields of a declared error, always as JSON."""

    encode: Callable[[msgspec.Struct], bytes]
    """From an instance of the struct of its fields; checks it; raises `ENCODE_ERRORS`."""
    decode: Callable[[bytes], msgspec.Struct]
    """To an instance of it, from what other versions of it may send; raises `DECODE_ERRORS`."""


class UntypedCodec(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Encodes and decodes plain Python values, for a caller without a contract."""

    content_type: str
    """One of `CONTENT_TYPES`."""
    encode_arguments: Callable[[dict[str, Any]], Body]
    """From the arguments by name; raises `ENCODE_ERRORS`."""
    decode_result: Callable[[bytes], Any]
    """To dicts, lists, strings, numbers, booleans and None; raises `DECODE_ERRORS`."""


def method_codec(
    content_type: str | None, parameters: type[msgspec.Struct], result: Any
) -> MethodCodec:
    """Build the codec of a method with these `parameters` and this `result` type.

    Takes some 20 microseconds: keep what you get, per method and content type.

    :raises ContractError: when the content type is unknown or cannot carry this method.
    """
    normal = normal_content_type(content_type)
    if normal == BUFFERS:
        return _buffers_codec(parameters, result)
    _refuse_buffered(normal, parameters, result)
    if normal in (JSON, MSGPACK):
        make_arguments, make_result = structured.argument_coder, structured.result_coder
    else:
        make_arguments, make_result = single_value.argument_coder, single_value.result_coder
    encode_arguments, decode_arguments = make_arguments(normal, parameters)
    encode_result, decode_result = make_result(normal, result)
    return MethodCodec(
        content_type=normal,
        encode_arguments=encode_arguments,
        decode_arguments=decode_arguments,
        encode_result=encode_result,
        decode_result=decode_result,
    )


def item_codec(content_type: str | None, item: Any) -> ItemCodec:
    """Build the codec of a stream of items of this type.

    Where results stream, the codec of the method has the same for them: `encode_result` and
    `decode_result`.

    :raises ContractError: when the content type is unknown or cannot carry them.
    """
    normal = normal_content_type(content_type)
    encode: Callable[[Any], Body]
    if normal == BUFFERS:
        encode, decode = with_buffers.result_coder(item)
        return ItemCodec(content_type=normal, encode=encode, decode=decode)
    if buffered_in(item):
        raise ContractError(_no_buffers(normal, "what is uploaded"))
    made = structured if normal in (JSON, MSGPACK) else single_value
    encode, decode = made.result_coder(normal, item)
    return ItemCodec(content_type=normal, encode=encode, decode=decode)


def _no_buffers(content_type: str, what: str) -> str:
    return (
        f"{content_type} cannot carry {what}: arrays and tables travel as {BUFFERS}, which is the"
        " content type where none is given"
    )


def _buffers_codec(parameters: type[msgspec.Struct], result: Any) -> MethodCodec:
    encode_arguments, decode_arguments = with_buffers.argument_coder(parameters)
    encode_result, decode_result = with_buffers.result_coder(result)
    return MethodCodec(
        content_type=BUFFERS,
        encode_arguments=encode_arguments,
        decode_arguments=decode_arguments,
        encode_result=encode_result,
        decode_result=decode_result,
    )


def _refuse_buffered(content_type: str, parameters: type[msgspec.Struct], result: Any) -> None:
    """Refuse arrays and tables where they cannot travel.

    :raises ContractError: if there is one.
    """
    for what, annotation in _types(parameters, result):
        if buffered_in(annotation):
            raise ContractError(_no_buffers(content_type, what))


def _types(parameters: type[msgspec.Struct], result: Any) -> Iterator[tuple[str, Any]]:
    """Yield what each type of a method is that of, and the type."""
    for field in msgspec.structs.fields(parameters):
        yield f"parameter {field.name!r}", field.type
    yield "its result", result


def check_value(content_type: str, annotation: Any, value: Any) -> None:
    """Check that a value of this type arrives as what it is.

    :raises Exception: any of `ENCODE_ERRORS`, if it does not.
    """
    if buffered_in(annotation):
        encode, _ = with_buffers.coder(annotation)
        encode(value)
    else:
        structured.check_value(
            MSGPACK if content_type == BUFFERS else content_type, annotation, value
        )


def fields_codec(fields: type[msgspec.Struct]) -> FieldsCodec:
    """Build the codec of a declared error with these fields.

    :raises ContractError: when they cannot travel.
    """
    encode, decode = structured.argument_coder(JSON, fields)
    if special_fields(fields):
        return FieldsCodec(encode=encode, decode=decode)
    return FieldsCodec(encode=encode, decode=msgspec.json.Decoder(fields, strict=False).decode)


def untyped_codec(content_type: str | None) -> UntypedCodec:
    """Build the codec of calls made by name only.

    Text and raw bodies hold one value, so they take exactly one argument, and give a `str` or
    `bytes` back.

    :raises ContractError: for an unknown content type.
    """
    normal = normal_content_type(content_type)
    if normal == JSON:
        return UntypedCodec(
            content_type=normal,
            encode_arguments=_encode_json,
            decode_result=msgspec.json.Decoder().decode,
        )
    if normal == MSGPACK:
        return UntypedCodec(
            content_type=normal,
            encode_arguments=_encode_msgpack,
            decode_result=msgspec.msgpack.Decoder().decode,
        )
    if normal == BUFFERS:
        encode, decode = with_buffers.any_coder(plain_model)
        return UntypedCodec(content_type=normal, encode_arguments=encode, decode_result=decode)
    if normal == TEXT:
        return UntypedCodec(
            content_type=normal,
            encode_arguments=single_value.text_of_only_argument,
            decode_result=single_value.text_of_body,
        )
    return UntypedCodec(
        content_type=normal,
        encode_arguments=single_value.bytes_of_only_argument,
        decode_result=bytes,
    )


def _encode_json(arguments: dict[str, Any]) -> bytes:
    body = msgspec.json.encode(arguments, enc_hook=plain_model)
    if b"null" in body:
        refuse_not_finite(msgspec.to_builtins(arguments, enc_hook=plain_model))
    refuse_odd_offsets(JSON, body, arguments, plain_model)
    return body


def _encode_msgpack(arguments: dict[str, Any]) -> bytes:
    body = msgspec.msgpack.encode(arguments, enc_hook=plain_model)
    refuse_odd_offsets(MSGPACK, body, arguments, plain_model)
    return body
