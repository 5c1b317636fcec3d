"""The items of plain iterables: where they are drawn, and when their generators are closed."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from queue import SimpleQueue
from typing import Any, TypeVar

import pytest

from leveret.client.streams.plain_sources import draw, draw_in_threads

T = TypeVar("T")

whose: ContextVar[str] = ContextVar("whose", default="nobody's")


def in_a_loop_of_threads(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run it in an event loop like that of `leveret.blocking`, in a thread of its own."""

    def run() -> T:
        draw_in_threads()
        return asyncio.run(work())

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(run).result(10)


def names(count: int) -> Iterator[str]:
    for _ in range(count):
        yield threading.current_thread().name


class Names(list[str]):
    """As a query of Django: a collection that waits as it is iterated over."""

    def __iter__(self) -> Iterator[str]:
        return names(1)


async def drawn(source: Any) -> list[Any]:
    return [item async for item in draw(source)]


async def test_a_program_with_asyncio_draws_in_its_own_loop() -> None:
    here = threading.current_thread().name
    assert await drawn(names(100)) == [here] * 100
    assert await drawn(Names()) == [here]


def test_a_program_without_asyncio_draws_what_may_wait_in_a_thread() -> None:
    assert in_a_loop_of_threads(lambda: drawn(names(100))) == ["leveret upload"] * 100
    assert in_a_loop_of_threads(lambda: drawn(Names())) == ["leveret upload"]
    assert in_a_loop_of_threads(lambda: drawn([1, 2])) == [1, 2]


def test_the_thread_has_the_context_of_the_call() -> None:
    def source() -> Iterator[str]:
        yield whose.get()

    async def work() -> list[Any]:
        whose.set("mine")
        return await drawn(source())

    assert in_a_loop_of_threads(work) == ["mine"]


@pytest.mark.parametrize("error", [KeyError("x"), SystemExit(3), StopAsyncIteration()])
def test_what_the_source_raises_comes_after_the_items_before_it(error: BaseException) -> None:
    def source() -> Iterator[int]:
        yield 1
        raise error

    async def work() -> list[Any]:
        items = draw(source())
        found: list[Any] = [await anext(items)]
        try:
            await anext(items)
        except BaseException as raised:
            found.append(raised)
        return found

    assert in_a_loop_of_threads(work) == [1, error]


def test_a_source_that_is_not_iterable_after_all_fails_at_its_first_item() -> None:
    class Broken(list[int]):
        def __iter__(self) -> Iterator[int]:
            raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        in_a_loop_of_threads(lambda: drawn(Broken()))


@pytest.mark.parametrize("how", ["it was left", "its loop has ended"])
def test_a_source_that_waits_is_closed_once_it_goes_on(how: str) -> None:
    numbers: SimpleQueue[int] = SimpleQueue()
    closed = threading.Event()

    def source() -> Iterator[int]:
        try:
            while True:
                yield numbers.get()
        finally:
            closed.set()

    async def work() -> None:
        items: Any = draw(source())
        numbers.put(1)
        assert await anext(items) == 1
        if how == "it was left":
            await items.aclose()
        else:
            waiting = asyncio.ensure_future(anext(items))
            await asyncio.sleep(0)
            waiting.cancel()

    in_a_loop_of_threads(work)
    assert not closed.is_set()
    numbers.put(2)
    assert closed.wait(10)


def test_a_source_runs_ahead_by_a_handful_of_items_and_no_more() -> None:
    made = 0
    ahead = threading.Event()

    def source() -> Iterator[int]:
        nonlocal made
        for number in range(1000):
            made += 1
            if made == 10 + 16:
                ahead.set()
            yield number

    async def work() -> None:
        items: Any = draw(source())
        assert made == 0
        for _ in range(10):
            await anext(items)
        assert ahead.wait(10)
        await items.aclose()

    in_a_loop_of_threads(work)
    assert made == 10 + 16
