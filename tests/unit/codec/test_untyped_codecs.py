"""Calls by name only: plain values out, plain values back."""

from __future__ import annotations

import contextlib
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leveret.codec import (
    CONTENT_TYPES,
    ENCODE_ERRORS,
    JSON,
    MSGPACK,
    RAW,
    TEXT,
    untyped_codec,
)
from leveret.errors import ContractError


def test_json_arguments_are_one_object_and_results_plain_values() -> None:
    codec = untyped_codec(None)
    assert codec.content_type == JSON
    assert codec.encode_arguments({"n": 30}) == b'{"n":30}'
    assert codec.decode_result(b'{"a":[1,null]}') == {"a": [1, None]}


def test_messagepack_arguments_are_one_map() -> None:
    codec = untyped_codec(MSGPACK)
    assert codec.encode_arguments({"n": 30}) == b"\x81\xa1n\x1e"
    assert codec.decode_result(b"\x93\x01\xc0\xc4\x01a") == [1, None, b"a"]


def test_json_results_keep_large_integers() -> None:
    assert untyped_codec(JSON).decode_result(b"1" + b"0" * 3_000) == 10**3_000


def test_text_is_the_only_argument() -> None:
    codec = untyped_codec("text/plain; charset=utf-8")
    assert codec.encode_arguments({"n": 30}) == b"30"
    assert codec.decode_result(b"832040") == "832040"


def test_raw_is_the_only_argument() -> None:
    codec = untyped_codec(RAW)
    assert codec.encode_arguments({"data": bytearray(b"a")}) == b"a"
    assert codec.decode_result(b"\xff") == b"\xff"


@pytest.mark.parametrize("content_type", [TEXT, RAW])
@pytest.mark.parametrize("arguments", [{}, {"a": b"", "b": b""}])
def test_a_bare_body_takes_exactly_one_argument(
    content_type: str, arguments: dict[str, Any]
) -> None:
    with pytest.raises(ValueError, match="carries one argument"):
        untyped_codec(content_type).encode_arguments(arguments)


@pytest.mark.parametrize("content_type", CONTENT_TYPES)
def test_what_cannot_be_encoded_is_an_encode_error(content_type: str) -> None:
    with pytest.raises(TypeError) as caught:
        untyped_codec(content_type).encode_arguments({"a": object()})
    assert isinstance(caught.value, ENCODE_ERRORS)


@pytest.mark.parametrize("content_type", CONTENT_TYPES)
@settings(deadline=None)  # the machine may be busy
@given(body=st.binary(max_size=200))
def test_any_bytes_are_a_plain_value_or_a_readable_error(content_type: str, body: bytes) -> None:
    codec = untyped_codec(content_type)
    with contextlib.suppress(msgspec.DecodeError, ValueError, RecursionError):
        codec.decode_result(body)


def test_an_unknown_content_type_is_refused() -> None:
    with pytest.raises(ContractError, match="unknown content type"):
        untyped_codec("application/xml")
