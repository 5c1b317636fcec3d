"""What a handler starts and what runs on when its call is over: it is bound by nothing of it."""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import Awaitable, Callable
from contextvars import copy_context
from typing import Any

import msgspec
import pytest

from leveret import CurrentCall, Rabbit, Service, current_call, method
from tests.behaviour.patience import PATIENCE, until

OUTER = 20.0
"""Seconds: the timeout of the calls that are outlived."""
INNER = 60.0
"""Seconds: that of the calls that are made by what outlives them."""


class Parcel(msgspec.Struct, weakref=True):
    """An argument of which a test can tell whether it is still there."""

    weight: int


class Far(Service):
    """Tells how much time its calls have."""

    @method(timeout=INNER)
    async def left(self) -> float:
        return current_call().remaining()


class Starter(Service):
    """Its handlers start a task, a timer and a thread, which wait for the test."""

    def __init__(self, rabbit: Rabbit) -> None:
        self._far = rabbit.remote(Far)
        self.go_on = asyncio.Event()
        self.parcel: weakref.ref[Parcel] | None = None
        self.calls: list[CurrentCall] = []
        self.said: dict[str, tuple[str, float]] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._loop = asyncio.get_running_loop()

    def _start(self, parcel: Parcel) -> None:
        self.parcel = weakref.ref(parcel)
        self.calls.append(current_call())
        assert not current_call().is_over
        context = copy_context()
        self._loop.call_soon_threadsafe(self._as_task, "timer")
        self._loop.call_soon_threadsafe(context.run, self._as_task, "task")
        threading.Thread(target=context.copy().run, args=(self._in_thread,)).start()

    def _as_task(self, how: str) -> None:
        self._tasks.append(self._loop.create_task(self._later(how)))

    def _in_thread(self) -> None:
        asyncio.run_coroutine_threadsafe(self._later("thread"), self._loop).result(PATIENCE)

    async def _later(self, how: str) -> None:
        await self.go_on.wait()
        with pytest.raises(RuntimeError) as caught:
            current_call()
        self.said[how] = str(caught.value), await self._far.left()

    @method(timeout=OUTER)
    async def on_the_loop(self, parcel: Parcel) -> None:
        self._start(parcel)

    @method(timeout=OUTER)
    def in_a_thread(self, parcel: Parcel) -> None:
        self._start(parcel)


async def around(call: CurrentCall, call_next: Callable[[CurrentCall], Awaitable[Any]]) -> Any:
    assert call.arguments["parcel"].weight == 7
    return await call_next(call)


@pytest.mark.parametrize("name", ["on_the_loop", "in_a_thread"])
async def test_what_runs_on_after_its_call_is_free_of_it(
    client: Rabbit, host: Rabbit, name: str
) -> None:
    service = Starter(host)
    async with host.serving(Far()), host.serving(service, middleware=[around]):
        await getattr(client.remote(Starter), name)(Parcel(7))
        (call,) = service.calls
        await until(lambda: call.is_over, "the handler has ended")
        await until(lambda: service.parcel is not None and service.parcel() is None, "it is gone")
        service.go_on.set()
        await until(lambda: len(service.said) == 3, "task, timer and thread have called")
    for text, left in service.said.values():
        assert f"the call {call.id} of starter.{name} is over" in text
        assert left > OUTER
