"""What two servers must agree on, and how a difference reads."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from leveret import Meta, Service, method, service_schema
from leveret.contract import differences, fingerprint


class One(Service, name="shop"):
    """A shop."""

    @method(timeout=5)
    async def find(self, title: str) -> list[str]:
        """Find things."""
        return []


class InOtherWords(Service, name="shop"):
    """Another docstring."""

    @method(timeout=9)
    async def find(self, title: Annotated[str, Meta(description="Words.")]) -> list[str]:
        """Search for things."""
        return []


class Other(Service, name="shop"):
    @method(idempotent=True)
    async def find(self, title: str, description: str = "") -> list[int]:
        return []


def find(service: type[Service]) -> dict[str, Any]:
    found: dict[str, Any] = service_schema(service)["methods"]["find"]
    return found


def test_words_for_people_and_default_timeouts_make_no_difference() -> None:
    assert fingerprint(find(One)) == fingerprint(find(InOtherWords))
    assert list(differences(find(One), find(InOtherWords))) == []


def test_a_hash_is_the_same_for_what_came_over_the_wire() -> None:
    sent = msgspec.json.decode(msgspec.json.encode(find(One)))
    assert fingerprint(sent) == fingerprint(find(One))
    assert len(fingerprint(sent)) == 16


def test_a_parameter_named_like_a_keyword_counts() -> None:
    assert fingerprint(find(One)) != fingerprint(find(Other))
    assert list(differences(find(One), find(Other))) == [
        'arguments.properties.description is missing here and {"type":"string","default":""} there',
        "idempotent is false here and true there",
        'result.items.type is "string" here and "integer" there',
    ]


def test_a_large_difference_is_cut_and_a_strange_schema_is_compared_all_the_same() -> None:
    (words,) = differences({}, {"arguments": "x" * 100})
    assert words == f'arguments is null here and "{"x" * 59}... there'
    assert list(differences({"errors": {"title": 1}}, {"errors": {"title": 2}})) == [
        "errors.title is 1 here and 2 there"
    ]
