"""The trace of a call, by what its caller sent."""

from __future__ import annotations

import pytest

from leveret.wire.trace_ids import trace_id_of

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def test_it_is_that_of_the_traceparent() -> None:
    assert trace_id_of({"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}) == TRACE


@pytest.mark.parametrize(
    "metadata",
    [
        None,
        {},
        {"traceparent": 7},
        {"traceparent": ""},
        {"traceparent": TRACE},
        {"traceparent": f"00-{'0' * 32}-00f067aa0ba902b7-01"},
        {"traceparent": f"ff-{TRACE}-00f067aa0ba902b7-01"},
        {"traceparent": f"00-{TRACE.upper()}-00f067aa0ba902b7-01"},
    ],
)
def test_there_is_none_where_the_caller_says_none(metadata: dict[str, object] | None) -> None:
    assert trace_id_of(metadata) == ""
