"""How a message's content type is read."""

from __future__ import annotations

import pytest

from leveret.codec import CONTENT_TYPES, JSON, MSGPACK, RAW, TEXT, normal_content_type
from leveret.errors import ContractError


@pytest.mark.parametrize("content_type", CONTENT_TYPES)
def test_each_content_type_is_its_own_normal_form(content_type: str) -> None:
    assert normal_content_type(content_type) == content_type


@pytest.mark.parametrize(
    ("spelling", "normal"),
    [
        (None, JSON),
        ("", JSON),
        ("application/json; charset=utf-8", JSON),
        ('Application/JSON;charset="UTF-8"', JSON),
        ("text/plain; charset=us-ascii", TEXT),
        ("text/plain ; format=flowed", TEXT),
        ("application/x-msgpack", MSGPACK),
        (" application/octet-stream ", RAW),
    ],
)
def test_other_spellings_mean_the_same(spelling: str | None, normal: str) -> None:
    assert normal_content_type(spelling) == normal


@pytest.mark.parametrize("content_type", ["application/xml", "json", ";", "text/plain/x"])
def test_an_unknown_content_type_is_refused_with_the_known_ones(content_type: str) -> None:
    with pytest.raises(ContractError, match="use one of application/json, application/msgpack"):
        normal_content_type(content_type)


def test_another_charset_than_utf8_is_refused_rather_than_misread() -> None:
    with pytest.raises(ContractError, match="UTF-8 only"):
        normal_content_type("text/plain; charset=latin-1")
