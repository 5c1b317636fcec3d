from __future__ import annotations

from typing import Any

import pytest

from leveret.broker.model.header_matching import check_match_kind, matches
from leveret.broker.refusals import Refused


@pytest.mark.parametrize(
    ("arguments", "headers", "wanted"),
    [
        ({}, {}, True),
        ({"x-match": "any"}, {"a": 1}, False),
        ({"a": 1}, {"a": 1, "b": 2}, True),
        ({"a": 1, "b": 2}, {"a": 1}, False),
        ({"x-match": "any", "a": 1, "b": 2}, {"b": 2}, True),
        ({"x-match": "all", "a": 1, "x-b": 2}, {"a": 1}, True),
        ({"x-match": "all-with-x", "a": 1, "x-b": 2}, {"a": 1}, False),
        ({"x-match": "any", "x-b": 2}, {"x-b": 2}, False),
        ({"x-match": "any-with-x", "x-b": 2}, {"x-b": 2}, True),
        ({"a": None}, {"a": "whatever"}, True),
        ({"a": "1"}, {"a": 1}, False),
        ({"a": True}, {"a": 1}, False),
        ({"a": 1.0}, {"a": 1}, True),
    ],
)
def test_headers_match_as_rabbitmq_matches_them(
    arguments: dict[str, Any], headers: dict[str, Any], wanted: bool
) -> None:
    assert matches(arguments, headers) is wanted


@pytest.mark.parametrize("kind", ["some", 5])
def test_an_unknown_x_match_is_refused(kind: Any) -> None:
    with pytest.raises(Refused, match="PRECONDITION_FAILED - Invalid x-match field"):
        check_match_kind({"x-match": kind})
