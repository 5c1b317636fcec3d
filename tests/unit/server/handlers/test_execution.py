"""How a handler is called: with its arguments, inside the middleware, on the loop or off it."""

from __future__ import annotations

import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from msgspec import Struct

from leveret import Service, current_call, method
from leveret.contract import spec_of
from leveret.server.handlers.execution import CallNext, Executor, Middleware
from leveret.wire.context import CurrentCall, set_current_call
from tests.unit.server.calls.making import request


class Desk(Service):
    @method
    async def plain(self, a: int, b: int = 2) -> str:
        return f"{a} {b}"

    @method
    async def keyword(self, *, a: int, b: int = 2) -> str:
        return f"{a} {b}"

    @method
    async def bare(self) -> str:
        return "nothing"

    @method
    def in_thread(self, a: int) -> str:
        return f"{threading.current_thread().name} {a} {current_call().id}"

    @method
    def keyword_in_thread(self, *, a: int) -> int:
        return a

    @method
    def stops(self) -> None:
        raise StopIteration("no more")


SPECS = spec_of(Desk).methods


class Invoked:
    """A call, which notes when its handler began and what it returned."""

    def __init__(self) -> None:
        self.entered = 0
        self.sent: list[Any] = []
        self.returned: Any = None

    def enter(self) -> None:
        self.entered += 1

    async def send(self, item: Any) -> None:
        self.sent.append(item)

    async def uploaded(self) -> Any:
        raise StopAsyncIteration


@asynccontextmanager
async def executor(name: str, *middleware: Middleware) -> AsyncIterator[Executor]:
    made = Executor(Desk(), SPECS[name], 2, middleware)
    await made.start()
    try:
        yield made
    finally:
        made.close()


def context(name: str) -> CurrentCall:
    return CurrentCall(request("7"), method=SPECS[name].key, deadline=time.time() + 5)


def arguments(name: str, **values: Any) -> Struct:
    return SPECS[name].parameters(**values)


@pytest.mark.parametrize(
    ("name", "given", "result"),
    [
        ("plain", {"a": 1}, "1 2"),
        ("keyword", {"a": 1, "b": 3}, "1 3"),
        ("bare", {}, "nothing"),
        ("keyword_in_thread", {"a": 1}, 1),
    ],
)
async def test_a_handler_gets_its_arguments(
    name: str, given: dict[str, int], result: object
) -> None:
    async with executor(name) as made:
        assert await made.invoke(arguments(name, **given), context(name), Invoked()) == result


async def test_on_the_loop_the_handler_begins_as_it_is_invoked() -> None:
    async with executor("plain") as made:
        assert (made.enters_at_once, made.in_thread, made.concurrency) == (True, False, 2)
        invoked = Invoked()
        await made.invoke(arguments("plain", a=1), context("plain"), invoked)
        assert invoked.entered == 0  # whoever invokes it knows


async def test_a_thread_sees_the_call_and_says_when_it_begins() -> None:
    async with executor("in_thread") as made:
        assert (made.enters_at_once, made.in_thread) == (False, True)
        invoked = Invoked()
        call = context("in_thread")
        set_current_call(call)
        result = await made.invoke(arguments("in_thread", a=1), call, invoked)
        assert result == "desk.in_thread-1 1 7"
        assert invoked.entered == 1


async def test_a_thread_cannot_raise_stop_iteration() -> None:
    async with executor("stops") as made:
        with pytest.raises(RuntimeError, match="StopIteration") as raised:
            await made.invoke(arguments("stops"), context("stops"), Invoked())
        assert isinstance(raised.value.__cause__, StopIteration)


async def test_the_first_middleware_is_the_outermost() -> None:
    steps: list[str] = []

    async def outer(call: CurrentCall, call_next: CallNext) -> Any:
        steps.append(f"outer {call.id}")
        return f"<{await call_next(call)}>"

    async def inner(call: CurrentCall, call_next: CallNext) -> Any:
        steps.append("inner")
        assert invoked.entered == 0
        result = await call_next(call)
        assert invoked.entered == 1
        return f"({result})"

    invoked = Invoked()
    async with executor("plain", outer, inner) as made:
        assert not made.enters_at_once
        result = await made.invoke(arguments("plain", a=1), context("plain"), invoked)
    assert result == "<(1 2)>"
    assert invoked.returned == "1 2"  # the handler's own
    assert steps == ["outer 7", "inner"]


async def test_middleware_may_call_no_handler_or_call_it_again() -> None:
    async def refuses(call: CurrentCall, call_next: CallNext) -> Any:
        return "refused"

    async def insists(call: CurrentCall, call_next: CallNext) -> Any:
        await call_next(call)
        return await call_next(call)

    for middleware, times in ((refuses, 0), (insists, 2)):
        invoked = Invoked()
        async with executor("bare", middleware) as made:
            await made.invoke(arguments("bare"), context("bare"), invoked)
        assert invoked.entered == times


async def test_a_thread_inside_middleware_begins_once() -> None:
    async def through(call: CurrentCall, call_next: CallNext) -> Any:
        return await call_next(call)

    invoked = Invoked()
    async with executor("keyword_in_thread", through) as made:
        assert (
            await made.invoke(
                arguments("keyword_in_thread", a=4), context("keyword_in_thread"), invoked
            )
            == 4
        )
    assert invoked.entered == 1
