"""`LoopThread`: coroutines run in another thread, and this one waits."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from leveret.testing.loop_thread import LoopThread


@pytest.fixture
def thread() -> Iterator[LoopThread]:
    thread = LoopThread("a loop of tests")
    thread.start()
    yield thread
    thread.stop()


def test_a_coroutine_runs_in_the_thread_and_its_result_comes_back(thread: LoopThread) -> None:
    async def name() -> str:
        await asyncio.sleep(0)
        return threading.current_thread().name

    assert thread.run(name()) == "a loop of tests"
    assert thread.call(lambda: threading.current_thread().name) == "a loop of tests"


def test_what_a_coroutine_raises_is_raised_here(thread: LoopThread) -> None:
    async def fail() -> None:
        raise KeyError("x")

    with pytest.raises(KeyError, match="x"):
        thread.run(fail())


def test_a_coroutine_that_takes_too_long_is_cancelled(thread: LoopThread) -> None:
    cancelled = threading.Event()

    async def hang() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    with pytest.raises(TimeoutError):
        thread.run(hang(), timeout=0.05)
    assert cancelled.wait(10)


def test_starting_and_stopping_twice_is_fine() -> None:
    thread = LoopThread("twice")
    thread.start()
    thread.start()
    assert thread.runs
    thread.stop()
    thread.stop()
    assert not thread.runs


def test_it_can_be_started_again(thread: LoopThread) -> None:
    thread.stop()
    thread.start()
    assert thread.call(lambda: 1) == 1


def test_a_loop_that_does_not_run_says_so_and_leaves_no_warning() -> None:
    async def work() -> None: ...

    with pytest.raises(RuntimeError, match=r"'idle' does not run: call start\(\)"):
        LoopThread("idle").run(work())
