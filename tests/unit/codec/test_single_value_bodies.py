"""Text and raw bodies: one value, bare."""

from __future__ import annotations

import contextlib
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, Flag, IntEnum
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Meta

from leveret.codec import DECODE_ERRORS, ENCODE_ERRORS, RAW, TEXT, MethodCodec, method_codec
from leveret.errors import ContractError


class Colour(Enum):
    RED = "red"


class Level(IntEnum):
    LOW = 1


class Rights(Flag):
    READ = 1
    WRITE = 2


def parameter(annotation: Any) -> type[msgspec.Struct]:
    return msgspec.defstruct("parameters", [("value", annotation)], forbid_unknown_fields=True)


def codec_of(content_type: str, annotation: Any) -> MethodCodec:
    return method_codec(content_type, parameter(annotation), annotation)


def test_the_tutorials_bodies_are_the_bare_numbers() -> None:
    parameters = parameter(Annotated[int, Meta(ge=0)])
    codec = method_codec(TEXT, parameters, int)
    assert codec.encode_arguments(parameters(30)) == b"30"
    assert codec.decode_arguments(b"30") == parameters(30)
    assert codec.encode_result(832_040) == b"832040"
    assert codec.decode_result(b"832040") == 832_040


@pytest.mark.parametrize(
    ("annotation", "value", "body"),
    [
        (str, " a\n", b" a\n"),
        (str, "", b""),
        (int, -(10**40), b"-1" + b"0" * 40),
        (float, 1.5, b"1.5"),
        (float, float("inf"), b"inf"),
        (bool, True, b"True"),
        (Decimal, Decimal("1.50"), b"1.50"),
        (UUID, UUID(int=1), b"00000000-0000-0000-0000-000000000001"),
        (datetime, datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), b"2026-01-02T03:04:05Z"),
        (date, date(2026, 1, 2), b"2026-01-02"),
        (time, time(3, 4), b"03:04:00"),
        (timedelta, timedelta(days=1), b"P1D"),
        (Colour, Colour.RED, b"red"),
        (Level, Level.LOW, b"1"),
        (Rights, Rights.READ, b"1"),
        (Rights, Rights.READ | Rights.WRITE, b"3"),
        (Literal["a", "b"], "a", b"a"),
        (None, None, b""),
    ],
    ids=str,
)
def test_a_scalar_travels_as_its_text(annotation: Any, value: Any, body: bytes) -> None:
    codec = method_codec(TEXT, parameter(str), annotation)
    assert codec.encode_result(value) == body
    assert codec.decode_result(body) == value


@pytest.mark.parametrize("body", [b"true", b"True", b"1"])
def test_a_bool_is_read_as_python_and_as_others_write_it(body: bytes) -> None:
    assert codec_of(TEXT, bool).decode_result(body) is True


def test_space_around_a_number_does_not_matter() -> None:
    assert codec_of(TEXT, int).decode_result(b" 30\r\n") == 30


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (str, 3),
        (str, ["a"]),
        (str, "\ud800"),
        (int, "3"),
        (int, True),
        (Annotated[int, Meta(ge=0)], -1),
        (Annotated[str, Meta(max_length=2)], "abc"),
        (Colour, "blue"),
        (None, ""),
        (float, b"1.5"),
    ],
    ids=str,
)
def test_text_that_does_not_fit_is_refused_by_the_encoder(annotation: Any, value: Any) -> None:
    with pytest.raises(ENCODE_ERRORS):
        method_codec(TEXT, parameter(str), annotation).encode_result(value)


@pytest.mark.parametrize(
    ("annotation", "body"),
    [
        (int, b"thirty"),
        (int, b""),
        (int, b"\xff"),
        (int, b"1" * 5_000),
        (str, b"\xff"),
        (Annotated[int, Meta(ge=0)], b"-1"),
        (Annotated[str, Meta(min_length=1)], b""),
        (Level, b"7"),
        (None, b"None"),
    ],
    ids=str,
)
def test_text_that_does_not_fit_is_refused_by_the_decoder(annotation: Any, body: bytes) -> None:
    with pytest.raises((msgspec.DecodeError, UnicodeDecodeError, ValueError)):
        method_codec(TEXT, parameter(str), annotation).decode_result(body)


def test_raw_bytes_travel_untouched() -> None:
    codec = codec_of(RAW, bytes)
    parameters = type(codec.decode_arguments(b""))
    assert codec.encode_arguments(parameters(b"\x00\xff")) == b"\x00\xff"
    assert codec.decode_arguments(b"\x00\xff") == parameters(b"\x00\xff")
    assert codec.encode_result(b"") == b""
    assert codec.decode_result(b"\xff") == b"\xff"


def test_the_bounds_of_raw_bytes_are_checked_on_both_sides() -> None:
    codec = codec_of(RAW, Annotated[bytes, Meta(max_length=2)])
    with pytest.raises(ENCODE_ERRORS, match="length <= 2"):
        codec.encode_result(b"abc")
    with pytest.raises(DECODE_ERRORS, match="length <= 2"):
        codec.decode_result(b"abc")


@pytest.mark.parametrize("value", ["YQ==", None, 3, [1]])
def test_raw_encoding_takes_bytes_only(value: Any) -> None:
    with pytest.raises(TypeError, match="Expected `bytes`"):
        codec_of(RAW, bytes).encode_result(value)


def test_keyword_only_parameters_are_filled_in_too() -> None:
    parameters = msgspec.defstruct("parameters", [("value", int)], kw_only=True)
    assert method_codec(TEXT, parameters, int).decode_arguments(b"3") == parameters(value=3)


@pytest.mark.parametrize("content_type", [TEXT, RAW])
def test_a_method_without_parameters_is_sent_an_empty_body(content_type: str) -> None:
    nothing = msgspec.defstruct("nothing", [])
    codec = method_codec(content_type, nothing, bytes if content_type == RAW else int)
    assert codec.encode_arguments(nothing()) == b""
    assert codec.decode_arguments(b"") == nothing()
    with pytest.raises(ValueError, match="Expected an empty body, got 1 bytes"):
        codec.decode_arguments(b"3")


@pytest.mark.parametrize(
    ("content_type", "fields", "result", "reason"),
    [
        (TEXT, [("a", int), ("b", int)], int, "one parameter at most, and there are 2"),
        (TEXT, [("a", list[int])], int, "text/plain cannot carry parameter 'a'"),
        (TEXT, [("a", int | None)], int, "text/plain cannot carry parameter 'a'"),
        (TEXT, [("a", int)], dict[str, int], "text/plain cannot carry its result"),
        (RAW, [("a", str)], bytes, "application/octet-stream cannot carry parameter 'a'"),
        (RAW, [("a", bytes)], str, "application/octet-stream cannot carry its result"),
        (RAW, [("a", bytes), ("b", bytes)], bytes, "one parameter at most"),
    ],
)
def test_a_method_that_does_not_fit_the_content_type_is_refused(
    content_type: str, fields: list[tuple[str, Any]], result: Any, reason: str
) -> None:
    parameters = msgspec.defstruct("parameters", fields)
    with pytest.raises(ContractError, match=reason):
        method_codec(content_type, parameters, result)


@pytest.mark.parametrize("annotation", [str, int, float, bool, Decimal, UUID, datetime, Level])
@settings(deadline=None)  # the machine may be busy
@given(body=st.binary(max_size=50) | st.text(max_size=50).map(lambda text: text.encode()))
def test_any_text_is_a_value_or_a_readable_error(annotation: Any, body: bytes) -> None:
    codec = codec_of(TEXT, annotation)
    with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError):
        normal = codec.encode_arguments(codec.decode_arguments(body))
        assert codec.encode_arguments(codec.decode_arguments(bytes(normal))) == normal


@settings(deadline=None)  # the machine may be busy
@given(value=st.integers() | st.floats(allow_nan=False) | st.text() | st.booleans())
def test_what_is_sent_as_text_reads_back_the_same(value: Any) -> None:
    codec = codec_of(TEXT, type(value))
    assert codec.decode_result(bytes(codec.encode_result(value))) == value
