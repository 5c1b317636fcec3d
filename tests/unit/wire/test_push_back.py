"""`Busy.retry_after` travels, whatever a handler wrote into it."""

from __future__ import annotations

import json
import pickle
from typing import Any

import pytest

from leveret.errors import Busy
from leveret.wire.failures import decode_failure, encode_failure


def travelled(retry_after: Any) -> Any:
    """What the caller finds."""
    error = decode_failure(encode_failure(Busy("x", retry_after=retry_after)), {}, "a.b")
    assert isinstance(error, Busy)
    assert (error.message, error.method, error.executed) == ("x", "a.b", "no")
    return error.retry_after


@pytest.mark.parametrize("seconds", [0, 0.25, 2, 86_400, -1])
def test_seconds_arrive_as_they_are(seconds: float) -> None:
    assert travelled(seconds) == seconds


def test_none_is_not_sent() -> None:
    assert "retry_after" not in json.loads(encode_failure(Busy("x")))
    assert travelled(None) is None


@pytest.mark.parametrize(
    ("given", "found"),
    [(-99, -1), (float("inf"), 1e9), (float("-inf"), -1), (10**400, 1e9), (float("nan"), -1)],
    ids=str,
)
def test_what_json_has_no_number_for_is_cut_to_one(given: Any, found: float) -> None:
    assert travelled(given) == found


@pytest.mark.parametrize("given", ["2", object(), [1]], ids=lambda given: type(given).__name__)
def test_what_is_no_number_is_left_out(given: Any) -> None:
    assert travelled(given) is None


def test_an_error_from_a_worker_process_keeps_it() -> None:
    assert pickle.loads(pickle.dumps(Busy("x", retry_after=3))).retry_after == 3
