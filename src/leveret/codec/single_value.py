"""Text and raw bodies: the body is the one value itself, without any wrapping.

This is what the RabbitMQ tutorial's programs send: `30`, and `832040` back.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Flag
from types import NoneType
from typing import Any

import msgspec

from leveret.annotations import Hook, hooks_of, of_pydantic, without_metadata
from leveret.codec.content_type import TEXT
from leveret.codec.kindred import as_known, plain
from leveret.codec.odd_offsets import refuse_odd_offset
from leveret.codec.travelling_types import is_bytes, is_scalar, is_string
from leveret.errors import ContractError

__all__ = [
    "argument_coder",
    "bytes_of_only_argument",
    "result_coder",
    "text_of_body",
    "text_of_only_argument",
]

Coder = tuple[Callable[[Any], bytes], Callable[[bytes], Any]]
"""The checking encoder and the decoder of the same values."""

_TEXT_NEEDS = "one value with a text form (str, int, float, bool, Decimal, UUID, datetime, enum)"


def argument_coder(content_type: str, parameters: type[msgspec.Struct]) -> Coder:
    """Return the checking encoder and the decoder of a method's one argument, or of none.

    :raises ContractError: if there are more, or it is of a type that the body cannot be.
    """
    fields = msgspec.structs.fields(parameters)
    if len(fields) != 1:
        if not fields:
            return _encode_nothing, lambda body: parameters(**_nothing(body))
        raise ContractError(
            f"{content_type} carries one parameter at most, and there are {len(fields)}; "
            "use application/json"
        )
    name = fields[0].name
    encode_value, decode_value = _coder(content_type, fields[0].type, f"parameter {name!r}")

    def encode_arguments(value: msgspec.Struct) -> bytes:
        return encode_value(getattr(value, name))

    def decode_arguments(body: bytes) -> msgspec.Struct:
        return parameters(**{name: decode_value(body)})

    return encode_arguments, decode_arguments


def result_coder(content_type: str, result: Any) -> Coder:
    """Return the checking encoder and the decoder of a method's result; None is an empty body.

    :raises ContractError: when the body cannot be of the result's type.
    """
    if result is None or result is NoneType:
        return _encode_none, _decode_none
    return _coder(content_type, result, "its result")


def text_of_body(body: bytes) -> str:
    """Read a text body, which is UTF-8."""
    return str(body, "utf-8")


def text_of_only_argument(arguments: dict[str, Any]) -> bytes:
    """Write the only argument as text.

    :raises ValueError: when there is not exactly one.
    """
    return _text(_only(arguments)).encode()


def bytes_of_only_argument(arguments: dict[str, Any]) -> bytes:
    """Return the only argument, which is bytes.

    :raises ValueError: when there is not exactly one.
    :raises TypeError: when it is not bytes.
    """
    value = _only(arguments)
    if not isinstance(value, bytes | bytearray | memoryview):
        raise TypeError(f"application/octet-stream carries bytes, not {type(value).__name__}")
    return bytes(value)


def _only(arguments: dict[str, Any]) -> Any:
    if len(arguments) != 1:
        raise ValueError(f"a body without structure carries one argument, not {len(arguments)}")
    return next(iter(arguments.values()))


def _coder(content_type: str, annotation: Any, what: str) -> Coder:
    if of_pydantic(annotation):
        raise ContractError(f"{content_type} cannot carry {what}: it is pydantic's, and JSON")
    hook = hooks_of(annotation).get(without_metadata(annotation))
    if hook is not None:
        return _hooked(hook, _coder(content_type, hook.wire, what))
    if content_type == TEXT:
        if not is_scalar(annotation):
            raise ContractError(f"{content_type} cannot carry {what}: it carries {_TEXT_NEEDS}")
        return _text_coder(annotation)
    if not is_bytes(annotation):
        raise ContractError(f"{content_type} cannot carry {what}: annotate it as bytes")
    return _raw_coder(annotation)


def _hooked(hook: Hook[Any], coder: Coder) -> Coder:
    encode, decode = coder
    return lambda value: encode(hook.write(value)), lambda body: hook.read(decode(body))


def _text_coder(annotation: Any) -> Coder:
    convert = msgspec.convert

    def encode(value: Any) -> bytes:
        known = value.value if isinstance(value, Flag) else as_known(value)  # it converts no flags
        return _text(convert(known, annotation)).encode()

    def decode(body: bytes) -> Any:
        # Other programs may end their text with a newline, which `int("30\n")` takes too.
        return convert(str(body, "utf-8").strip(), annotation, strict=False)

    def decode_string(body: bytes) -> Any:
        return convert(str(body, "utf-8"), annotation)

    return encode, decode_string if is_string(annotation) else decode


def _raw_coder(annotation: Any) -> Coder:
    convert = msgspec.convert

    def encode(value: Any) -> bytes:
        if not isinstance(value, bytes | bytearray | memoryview):
            raise TypeError(f"Expected `bytes`, got `{type(value).__name__}`")
        return bytes(convert(bytes(value), annotation))

    def decode(body: bytes) -> Any:
        return convert(bytes(body), annotation)

    return encode, decode


def _text(value: Any) -> str:
    """Write a scalar: ISO 8601 for dates, the value of an enum, else `str(value)`."""
    refuse_odd_offset(value)
    return str(msgspec.to_builtins(value, enc_hook=plain))


def _encode_nothing(_arguments: msgspec.Struct) -> bytes:
    return b""


def _nothing(body: bytes) -> dict[str, Any]:
    _decode_none(body)
    return {}


def _encode_none(value: Any) -> bytes:
    if value is not None:
        raise TypeError(f"Expected `None`, got `{type(value).__name__}`")
    return b""


def _decode_none(body: bytes) -> None:
    if body:
        raise ValueError(f"Expected an empty body, got {len(body)} bytes")
