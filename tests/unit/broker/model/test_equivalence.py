from __future__ import annotations

from typing import Any

import pytest

from leveret.broker.model.equivalence import check_equal, check_same_arguments
from leveret.broker.refusals import Refused


def test_equal_values_are_no_complaint() -> None:
    check_equal("durable", "queue 'q'", True, True)


def test_a_complaint_shows_both_values_as_erlang_writes_them() -> None:
    with pytest.raises(Refused) as refused:
        check_equal("durable", "queue 'q'", True, False)
    assert refused.value.reply_text.endswith(
        "inequivalent arg 'durable' for queue 'q': received 'true' but current is 'false'"
    )


@pytest.mark.parametrize(
    ("received", "current"),
    [
        ({"x": 1}, {"x": 1}),
        ({}, {}),
        ({"x-queue-type": "classic"}, {}),
        ({"other": 1}, {"other": 2}),
    ],
)
def test_arguments_that_are_the_same(received: dict[str, Any], current: dict[str, Any]) -> None:
    check_same_arguments(("x", "x-queue-type"), "queue 'q'", received, current)


@pytest.mark.parametrize(
    ("received", "current", "text"),
    [
        ({"x": 1}, {"x": 2}, "received '1' but current is '2'"),
        ({"x": 1}, {"x": 1.0}, "received '1' but current is '1.0'"),
        ({"x": 1}, {"x": True}, "received '1' but current is 'true'"),
        ({}, {"x": 2}, "received none but current is the value '2' of type 'long'"),
        ({"x": "a"}, {}, "received the value 'a' of type 'longstr' but current is none"),
    ],
)
def test_arguments_that_differ(
    received: dict[str, Any], current: dict[str, Any], text: str
) -> None:
    with pytest.raises(Refused) as refused:
        check_same_arguments(("x",), "queue 'q'", received, current)
    assert text in str(refused.value)
