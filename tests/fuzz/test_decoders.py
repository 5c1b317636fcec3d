"""Every decoder that strangers' bytes reach, with bytes that are nearly right, and with any."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.decoders import DECODERS
from tests.fuzz.seeds import SEEDS
from tests.fuzz.spoiling import FEW, spoiled


@pytest.mark.parametrize("name", DECODERS)
def test_messages_as_they_should_be_pass(name: str) -> None:
    for seed in SEEDS[name]:
        DECODERS[name](seed)


@pytest.mark.parametrize("name", DECODERS)
def test_spoiled_messages_do_no_harm(name: str) -> None:
    @FEW
    @given(spoiled(SEEDS[name]))
    def harmless(data: bytes) -> None:
        DECODERS[name](data)

    harmless()


@pytest.mark.parametrize("name", DECODERS)
def test_any_bytes_do_no_harm(name: str) -> None:
    @FEW
    @given(st.binary(max_size=300))
    def harmless(data: bytes) -> None:
        DECODERS[name](data)

    harmless()


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("table", b"\x01tT" + b"\xff" * 8),
        ("table", b"\x01dA\x00\x00\x00\x09d\x7f\xe0\x00\x00\x00\x00\x00\x00"),
        ("broker_stream", b"\x05\x01\x00\x22\x00\x00\x00\x01b\xce" + b"\x00" * 20),
        ("failure", b'{"code":"LOADED","message":"m","data":{"even":{"n":3}}}'),
        ("failure", b'{"code":"LOADED","message":"m","data":{"color":"green"}}'),
    ],
    ids=[
        "a time before 1970",
        "a number too large for single precision",
        "a method frame of one byte",
        "a field whose own code fails",
        "an enum whose own code fails",
    ],
)
def test_what_was_found_once_is_found_no_more(name: str, data: bytes) -> None:
    DECODERS[name](data)
