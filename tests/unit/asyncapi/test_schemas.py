"""JSON Schemas of 2020-12 as draft-07."""

from __future__ import annotations

from typing import Any

import pytest

from leveret.asyncapi.schemas import as_draft_07

REFERENCE = {"$ref": "#/components/schemas/A"}


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        (True, True),
        ({"type": "string"}, {"type": "string"}),
        (
            {"prefixItems": [{"type": "string"}], "items": False},
            {"items": [{"type": "string"}], "additionalItems": False},
        ),
        ({"prefixItems": [{}]}, {"items": [{}]}),
        ({"items": {"prefixItems": [{}]}}, {"items": {"items": [{}]}}),
        (REFERENCE, REFERENCE),
        ({**REFERENCE, "default": 1}, {"default": 1, "allOf": [REFERENCE]}),
        ({"anyOf": [{}], "discriminator": {"propertyName": "type"}}, {"anyOf": [{}]}),
        # What users chose is no keyword.
        (
            {"properties": {"discriminator": {"prefixItems": [{}]}}},
            {"properties": {"discriminator": {"items": [{}]}}},
        ),
        ({"default": {"prefixItems": []}}, {"default": {"prefixItems": []}}),
    ],
)
def test_keywords_are_those_of_the_older_draft(schema: Any, expected: Any) -> None:
    assert as_draft_07(schema) == expected
