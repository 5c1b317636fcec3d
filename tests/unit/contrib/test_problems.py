"""What HTTP clients are told of errors: a status, what is meant for them, and no more."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from leveret import (
    Busy,
    CallError,
    CircuitOpen,
    Code,
    ConnectionLost,
    DeadlineExceeded,
    DeclaredError,
    InvalidArgument,
    LeveretError,
    MaybeExecuted,
    NoServer,
    RemoteError,
    TopologyError,
    Unauthenticated,
)
from leveret.contrib.asgi import problem_of


class OutOfStock(DeclaredError):
    """There are not enough of them."""

    sku: str
    again_in: timedelta = timedelta(days=1)


STATUSES = {"OUT_OF_STOCK": 409}
SECRET = "the password of shop-server is 1234"


def told(error: LeveretError, statuses: dict[str, int] | None = None) -> dict[str, Any]:
    members: dict[str, Any] = msgspec.json.decode(problem_of(error, statuses).body)
    return members


@pytest.mark.parametrize(
    ("error", "status", "title"),
    [
        (InvalidArgument(), 400, "Bad Request"),
        (Unauthenticated(), 401, "Unauthorized"),
        (MaybeExecuted(), 409, "Conflict"),
        (Busy(), 429, "Too Many Requests"),
        (CallError(), 500, "Internal Server Error"),
        (NoServer(), 503, "Service Unavailable"),
        (ConnectionLost(), 503, "Service Unavailable"),
        (DeadlineExceeded(), 504, "Gateway Timeout"),
        (TopologyError(), 500, "Internal Server Error"),
    ],
)
def test_each_error_has_the_status_of_its_code_and_https_words_for_it(
    error: LeveretError, status: int, title: str
) -> None:
    problem = problem_of(error)
    assert (problem.status, problem.title) == (status, title)
    assert told(error)["status"] == status


def test_every_code_has_a_status_that_has_words() -> None:
    for code in Code:
        error = CallError()
        error.code = code
        assert problem_of(error).title
        assert problem_of(error).status >= 400


def test_a_status_that_is_given_counts_before_that_of_the_code() -> None:
    assert problem_of(Busy(), {"RESOURCE_EXHAUSTED": 503}).status == 503


@pytest.mark.parametrize(
    "error",
    [
        RemoteError(SECRET, type_name="OSError", remote_traceback=SECRET, data={"a": SECRET}),
        NoServer(SECRET),
        CallError(SECRET),
        TopologyError(SECRET),
        Unauthenticated(SECRET),
        OutOfStock(SECRET),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_is_not_meant_for_strangers_is_not_told(error: LeveretError) -> None:
    assert SECRET.encode() not in problem_of(error).body
    assert problem_of(error).detail


def test_arguments_that_do_not_fit_are_told_of() -> None:
    error = InvalidArgument("Expected `int` >= 1 - at `$.count`")
    assert told(error)["detail"] == "Expected `int` >= 1 - at `$.count`"


def test_a_declared_error_with_a_status_shows_its_message_and_its_fields() -> None:
    members = told(OutOfStock("carrot"), STATUSES)
    assert members["status"] == 409
    assert members["code"] == "OUT_OF_STOCK"
    assert members["detail"].startswith("There are not enough of them. (sku='carrot'")
    assert members["data"] == {"sku": "carrot", "again_in": "P1D"}


def test_a_declared_error_whose_fields_cannot_travel_is_told_without_them() -> None:
    error = OutOfStock("carrot")
    error.sku = b"no text"  # type: ignore[assignment]
    assert "data" not in told(error, STATUSES)


def test_whether_the_handler_ran_and_the_id_for_the_log_are_told() -> None:
    error = DeadlineExceeded(where="handler")
    error.call_id = "4mJ0cVq3uTgA1rXk"
    assert told(error)["executed"] == "yes"
    assert told(error)["call_id"] == "4mJ0cVq3uTgA1rXk"
    assert "call_id" not in told(NoServer())


@pytest.mark.parametrize(
    ("error", "header"),
    [
        (Busy(retry_after=0.2), "1"),
        (Busy(retry_after=3), "3"),
        (CircuitOpen(retry_after=4.5), "5"),
        (Busy(), None),
        (Busy(retry_after=-1), None),
        (NoServer(), None),
    ],
)
def test_retry_after_is_in_whole_seconds_where_somebody_says(
    error: CallError, header: str | None
) -> None:
    assert problem_of(error).headers.get("retry-after") == header


def test_the_answer_is_a_problem_that_no_cache_keeps() -> None:
    assert problem_of(NoServer()).headers == {
        "content-type": "application/problem+json",
        "cache-control": "no-store",
    }
