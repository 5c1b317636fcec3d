"""Records as lines of JSON, whatever is in them."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Iterator
from contextvars import copy_context
from datetime import date
from typing import Any

import pytest

from leveret import CurrentCall
from leveret.cli.json_logs import JsonFormatter
from leveret.wire.context import set_current_call
from tests.unit.server.calls.making import request


def record(message: object = "it is %s", *args: object, **given: Any) -> logging.LogRecord:
    made = logging.LogRecord("shop", logging.INFO, __file__, 1, message, args, None)
    vars(made).update(given)
    return made


def line(made: logging.LogRecord, process: str = "") -> dict[str, Any]:
    text = JsonFormatter(process).format(made)
    assert "\n" not in text

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    found: dict[str, Any] = json.loads(text, parse_constant=refuse)
    return found


def test_a_record_is_an_object_with_the_fields_it_was_given() -> None:
    made = record("it is %s", "late", created=0.25, call_id="a1", ran=1.5)
    assert line(made, "worker 1") == {
        "time": "1970-01-01T00:00:00.250Z",
        "level": "INFO",
        "logger": "shop",
        "message": "it is late",
        "pid": os.getpid(),
        "process": "worker 1",
        "call_id": "a1",
        "ran": 1.5,
    }


def test_an_exception_is_inside() -> None:
    try:
        raise ValueError("two\nlines")
    except ValueError:
        made = record("it failed", exc_info=sys.exc_info(), stack_info="Stack:\n  here")
    found = line(made)
    assert (found["exception"]["type"], found["exception"]["message"]) == (
        "ValueError",
        "two\nlines",
    )
    assert found["exception"]["traceback"].startswith("Traceback")
    assert found["stack"] == "Stack:\n  here"
    assert "exception" not in line(record("it failed", exc_info=(None, None, None)))


@pytest.fixture
def in_a_call() -> Iterator[CurrentCall]:
    call = CurrentCall(request("a1"), "shop.order", 0.0)
    set_current_call(call)
    yield call
    set_current_call(None)


def test_what_a_handler_logs_has_the_fields_of_its_call(in_a_call: CurrentCall) -> None:
    context = copy_context()
    found = context.run(line, record("sold"))
    names = {"call_id": "a1", "method": "shop.order", "service": "shop"}
    assert names.items() <= found.items()
    assert line(record("of another", call_id="b2"))["call_id"] == "b2"
    in_a_call.end()
    assert "call_id" not in line(record("later"))


class Odd:
    def __str__(self) -> str:
        raise KeyError("no text")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (date(2026, 3, 1), "2026-03-01"),
        (float("nan"), "nan"),
        ({(1, 2): 3}, "{(1, 2): 3}"),
        ("\udcff", "\udcff"),
        (None, None),
        (Odd(), "(an error whose __str__ fails)"),
    ],
)
def test_a_field_that_json_does_not_have_is_text(value: object, shown: object) -> None:
    found = line(record("it", odd=value, ran=1.5, count=3))
    assert (found["odd"], found["ran"], found["count"]) == (shown, 1.5, 3)


def test_arguments_that_do_not_fit_do_not_lose_the_line() -> None:
    assert line(record("%d of %d", "one"))["message"] == "%d of %d ('one',)"


def test_a_field_does_not_replace_what_every_line_has() -> None:
    assert line(record("it", level="fake", time="never"))["level"] == "INFO"
