"""The line of a call in the access log, and the fields of its record."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from leveret import Busy, CallEnd, CurrentCall
from leveret.server.access_log import log_call
from tests.unit.server.calls.making import request


def end(**given: Any) -> CallEnd:
    usual = {
        "outcome": "done",
        "executed": "yes",
        "queued": 0.25,
        "waited": 0.0000012,
        "ran": 1.5,
        "request_size": 2,
        "reply_size": 3,
    }
    return CallEnd(**{**usual, **given})


def call(call_id: str = "a1", caller: str = "desk:4711") -> CurrentCall:
    return CurrentCall(request(call_id, user_id="web", app_id=caller), "shop.order", 0.0)


@pytest.fixture(autouse=True)
def info(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "leveret.access")


def test_a_call_is_one_line_and_its_record_has_the_fields(caplog: pytest.LogCaptureFixture) -> None:
    log_call(call(), end())
    (record,) = caplog.records
    assert record.getMessage() == (
        "call=a1 method=shop.order user=web caller=desk:4711 outcome=OK executed=yes"
        " queued=0.250000 waited=0.000001 ran=1.500000 in=2 out=3"
    )
    fields = {"call_id": "a1", "method": "shop.order", "service": "shop", "user": "web"}
    fields |= {"caller": "desk:4711", "outcome": "OK", "executed": "yes"}
    numbers = {"queued": 0.25, "waited": 0.000001, "ran": 1.5, "request_size": 2, "reply_size": 3}
    assert {**fields, **numbers}.items() <= vars(record).items()


def test_the_outcome_of_a_failed_call_is_the_code_of_its_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    log_call(call(), end(outcome="failed", error=Busy("full"), executed="no"))
    log_call(call(), end(outcome="handed back", executed="no"))
    assert [vars(record)["outcome"] for record in caplog.records] == [
        "RESOURCE_EXHAUSTED",
        "HANDED_BACK",
    ]


def test_what_a_caller_chose_cannot_make_up_fields_or_lines(
    caplog: pytest.LogCaptureFixture,
) -> None:
    log_call(call('x" outcome=OK', "a\nb"), end())
    log_call(call("", "é" * 200), end())
    first, second = (record.getMessage() for record in caplog.records)
    assert r'call="x\" outcome=OK" method=shop.order user=web caller="a\nb" outcome=' in first
    assert 'call="" method' in second


def test_nothing_is_made_where_nobody_reads_it(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "leveret.access")
    log_call(call(), end())
    assert not caplog.records
