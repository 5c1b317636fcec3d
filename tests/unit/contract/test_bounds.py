"""What the bounds of one schema let through that those of another do not."""

from __future__ import annotations

from typing import Any

import pytest

from leveret.contract.bounds import beyond

INTEGER = {"type": "integer"}


@pytest.mark.parametrize(
    ("given", "taken", "texts"),
    [
        ({}, {}, []),
        ({"minimum": 2}, {"minimum": 1}, []),
        ({"minimum": 1}, {"minimum": 2}, ["be less than 2"]),
        ({}, {"minimum": 0}, ["be less than 0"]),
        ({"minimum": 0}, {"exclusiveMinimum": 0}, ["be 0 or less"]),
        ({"exclusiveMinimum": 0}, {"minimum": 0}, []),
        ({"maximum": 9}, {"maximum": 9.5}, []),
        ({"maximum": 10}, {"maximum": 9.5}, ["be more than 9.5"]),
        ({"maximum": 10}, {"exclusiveMaximum": 10}, ["be 10 or more"]),
        ({**INTEGER, "maximum": 9}, {**INTEGER, "exclusiveMaximum": 10}, []),
        ({**INTEGER, "minimum": 1}, {**INTEGER, "exclusiveMinimum": 0}, []),
        ({"minLength": 1}, {"minLength": 2}, ["be shorter than 2"]),
        ({}, {"minItems": 0}, []),
        ({}, {"minItems": 1}, ["have fewer than 1 items"]),
        ({"maxItems": 3}, {"maxItems": 3}, []),
        ({"maxLength": 3}, {"maxLength": 2}, ["be longer than 2"]),
        ({}, {"maxProperties": 2}, ["have more than 2 entries"]),
        ({"pattern": "a"}, {"pattern": "a"}, []),
        ({"pattern": "a"}, {}, []),
        ({}, {"pattern": "^a$"}, ["be other than ^a$"]),
        ({"multipleOf": 10}, {"multipleOf": 5}, []),
        ({"multipleOf": 5}, {"multipleOf": 10}, ["not be a multiple of 10"]),
        ({}, {"multipleOf": 10}, ["not be a multiple of 10"]),
        ({}, {"minimum": True}, []),
    ],
)
def test_what_is_beyond_a_bound_is_said(
    given: dict[str, Any], taken: dict[str, Any], texts: list[str]
) -> None:
    assert list(beyond(given, taken)) == texts
