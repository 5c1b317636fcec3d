"""How calls ended, as a server tells it: to middleware with a `call_ended`, and in its log."""

from __future__ import annotations

import logging
from typing import Any

import pytest

import leveret
from leveret import (
    CallEnd,
    CallError,
    CurrentCall,
    DeclaredError,
    InvalidArgument,
    PermissionDenied,
    Rabbit,
    RemoteError,
    Service,
    method,
)
from tests.behaviour.patience import until


class SoldOut(DeclaredError):
    """There is nothing left."""


class Till(Service):
    @method(raises=[SoldOut])
    async def sell(self, what: str) -> int:
        if what == "nothing":
            raise SoldOut
        if what == "trouble":
            raise OSError("the till is broken")
        return 7 if what == "cake" else "seven"  # type: ignore[return-value]  # a misfit

    @method(once=True)
    async def pay(self, amount: int) -> int:
        return amount

    @method
    async def open(self) -> None: ...


class Ledger:
    """Middleware that writes down what comes by it, and how calls ended."""

    def __init__(self) -> None:
        self.passed: list[str] = []
        self.ends: dict[str, tuple[CurrentCall, CallEnd]] = {}

    async def __call__(self, call: CurrentCall, call_next: leveret.ServerCallNext) -> Any:
        self.passed.append(call.id)
        return await call_next(call)

    def call_ended(self, call: CurrentCall, end: CallEnd) -> None:
        assert call.id not in self.ends, "the end of a call is told once"
        self.ends[call.id] = call, end
        if call.method == "till.open":
            raise KeyError("it fails itself")


async def failure(call: Any) -> CallError:
    with pytest.raises(CallError) as caught:
        await call
    return caught.value


async def test_middleware_and_access_log_are_told_how_each_call_ended(
    client: Rabbit, host: Rabbit, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "leveret.access")
    ledger = Ledger()
    allow = {"till.open": ["nobody-else"]}
    options: dict[str, Any] = {"middleware": [ledger], "allow": allow, "access_log": True}
    async with host.serving(Till(), **options):
        till = client.remote(Till)
        assert await till.sell("cake") == 7
        errors = [
            await failure(till.sell("nothing")),
            await failure(till.sell("trouble")),
            await failure(till.sell("air")),
            await failure(client.call("till.sell", what=7)),
            await failure(till.open()),
        ]
        await until(lambda: len(ledger.ends) == 6, "all ends are told")
    assert [type(error) for error in errors][1:4:2] == [RemoteError, InvalidArgument]
    assert isinstance(errors[4], PermissionDenied)
    for error in errors:
        call, end = ledger.ends[error.call_id]
        assert end.outcome == "failed"
        assert end.error is not None
        assert (end.error.code, end.executed) == (error.code, error.executed)
        assert (call.method, call.arguments) == (error.method, {})
    refused = {error.call_id for error in errors[3:]}
    assert set(ledger.passed) == set(ledger.ends) - refused
    lines = {vars(r)["call_id"]: vars(r) for r in caplog.records if r.name == "leveret.access"}
    assert lines.keys() == ledger.ends.keys()
    assert {lines[error.call_id]["outcome"] for error in errors} == {e.code for e in errors}
    (good,) = (line for line in lines.values() if line["outcome"] == "OK")
    assert (good["request_size"], good["reply_size"]) == (len('{"what":"cake"}'), 1)
    assert good["ran"] > 0
    assert "till.open (call " in caplog.text
    assert "call_ended failed" in caplog.text


async def test_a_call_that_is_answered_from_its_record_ends_without_its_handler(
    client: Rabbit, host: Rabbit
) -> None:
    ledger = Ledger()
    async with host.serving(Till(), middleware=[ledger]):
        till = client.remote(Till).with_options(idempotency_key="k")
        assert await till.pay(3) == await till.pay(3) == 3
        await until(lambda: len(ledger.ends) == 2, "both ends are told")
    assert [(end.outcome, end.executed) for _, end in ledger.ends.values()] == [
        ("done", "yes"),
        ("done", "no"),
    ]
