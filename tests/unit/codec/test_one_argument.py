"""One argument of a method of which only the parameter's name is known."""

from __future__ import annotations

import pytest

from leveret.codec import argument_codec
from leveret.errors import ContractError


@pytest.mark.parametrize(
    ("content_type", "value", "body"),
    [
        ("application/json", 5, b'{"n":5}'),
        ("application/msgpack", 5, b"\x81\xa1n\x05"),
        ("text/plain", 5, b"5"),
    ],
)
def test_a_value_becomes_the_argument_in_each_content_type(
    content_type: str, value: int, body: bytes
) -> None:
    codec, arguments = argument_codec("n", content_type, int)
    assert codec.encode_arguments(arguments(value)) == body


def test_a_content_type_that_cannot_carry_the_value_is_refused() -> None:
    with pytest.raises(ContractError, match="annotate it as bytes"):
        argument_codec("n", "application/octet-stream", int)
    with pytest.raises(ContractError, match="unknown content type"):
        argument_codec("n", "image/png", int)


@pytest.mark.parametrize("name", ["", "a b", "__dict__", "class", "1"])
def test_a_name_that_no_parameter_has_is_refused(name: str) -> None:
    with pytest.raises(ContractError, match="no parameter is named"):
        argument_codec(name, "application/json", int)
