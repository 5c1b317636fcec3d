"""What runs when a method is called: locally, and by a server."""

from __future__ import annotations

import asyncio
import inspect
import threading
from abc import abstractmethod
from typing import Any

import pytest

from leveret.contract import Service, handler_of, method, spec_of
from leveret.errors import ContractError


class Work(Service):
    def __init__(self) -> None:
        self.calls = 0

    @method
    async def on_the_loop(self, n: int) -> int:
        return n + 1

    @method
    def in_a_thread(self, n: int, *, name: str = "") -> str:
        """Say where it ran."""
        self.calls += n
        return threading.current_thread().name

    @method(executor="process")
    def in_a_process(self, n: int) -> int:
        return n * n


class Contract(Service):
    @method(timeout=1)
    @abstractmethod
    async def run(self, n: int) -> int: ...

    @abstractmethod
    @method
    def also(self) -> str: ...


class Implementation(Contract):
    def run(self, n: int) -> int:  # type: ignore[override]
        return n

    async def also(self) -> str:
        return "async after all"


async def test_a_local_call_needs_no_broker() -> None:
    assert await Work().on_the_loop(1) == 2
    assert await Work().in_a_process(3) == 9


async def test_a_plain_def_is_awaitable_and_leaves_the_event_loops_thread() -> None:
    work = Work()
    ran_in = await work.in_a_thread(2, name="x")
    assert ran_in != threading.current_thread().name
    assert work.calls == 2


async def test_an_exception_of_a_plain_def_reaches_the_caller() -> None:
    class Broken(Service):
        @method
        def run(self) -> None:
            raise LookupError("gone")

    with pytest.raises(LookupError, match="gone"):
        await Broken().run()


def test_the_awaitable_form_keeps_name_docstring_and_signature() -> None:
    assert Work.in_a_thread.__name__ == "in_a_thread"
    assert Work.in_a_thread.__doc__ == "Say where it ran."
    assert (
        str(inspect.signature(Work.in_a_thread)) == "(self, n: 'int', *, name: 'str' = '') -> 'str'"
    )
    assert inspect.iscoroutinefunction(Work.in_a_thread)


def test_the_handler_of_an_async_method_is_the_method_itself() -> None:
    work = Work()
    handler = handler_of(work, spec_of(work).methods["on_the_loop"])
    assert handler == work.on_the_loop
    assert asyncio.run(handler(1)) == 2


def test_the_handler_of_a_plain_method_is_the_undecorated_function() -> None:
    work = Work()
    handler = handler_of(work, spec_of(work).methods["in_a_thread"])
    assert handler(5) == threading.current_thread().name
    assert work.calls == 5
    assert handler_of(work, spec_of(work).methods["in_a_process"])(4) == 16


async def test_an_undecorated_plain_override_becomes_awaitable() -> None:
    assert spec_of(Implementation).methods["run"].executor == "thread"
    run: Any = Implementation().run
    assert await run(7) == 7
    assert handler_of(Implementation(), spec_of(Implementation).methods["run"])(7) == 7


async def test_an_async_override_of_a_plain_method_runs_on_the_loop() -> None:
    assert spec_of(Implementation).methods["also"].executor == "loop"
    assert await Implementation().also() == "async after all"
    assert (
        await handler_of(Implementation(), spec_of(Implementation).methods["also"])()
        == "async after all"
    )


async def test_an_override_can_call_what_it_overrides() -> None:
    class More(Work):
        async def on_the_loop(self, n: int) -> int:
            return 10 * await super().on_the_loop(n)

    assert await More().on_the_loop(1) == 20


def test_a_specification_of_another_class_gives_no_handler() -> None:
    class Stranger(Service):
        @method
        async def in_a_thread(self) -> None: ...

    with pytest.raises(ContractError, match=r"work\.in_a_thread: .*Stranger has another method"):
        handler_of(Stranger(), spec_of(Work).methods["in_a_thread"])
