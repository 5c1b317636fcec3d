"""The thread with an event loop that runs coroutines for others."""

from __future__ import annotations

import asyncio
import os
import threading
from concurrent.futures import CancelledError
from contextvars import ContextVar

import pytest

from leveret.blocking.loop_thread import LoopThread

whose: ContextVar[str] = ContextVar("whose", default="nobody's")


async def name_of_thread() -> str:
    return threading.current_thread().name


def test_it_starts_at_its_first_use_and_again_after_its_end() -> None:
    thread = LoopThread("one", lambda: None)
    assert not thread.runs
    assert thread.run(name_of_thread()) == "one"
    assert thread.runs
    thread.stop()
    thread.stop()
    assert not thread.runs
    assert thread.run(name_of_thread()) == "one"
    thread.stop()


def test_what_runs_has_the_context_of_the_thread_that_waits() -> None:
    async def read() -> str:
        return whose.get()

    thread = LoopThread("one", lambda: None)
    whose.set("mine")
    try:
        assert thread.run(read()) == "mine"
        assert thread.submit(read()).result(10) == "mine"
    finally:
        thread.stop()


def test_errors_are_raised_where_they_are_waited_for() -> None:
    async def fail() -> None:
        raise OSError("no")

    async def give_up() -> None:
        raise asyncio.CancelledError

    thread = LoopThread("one", lambda: None)
    try:
        with pytest.raises(OSError, match="no"):
            thread.run(fail())
        with pytest.raises(CancelledError):
            thread.run(give_up())
    finally:
        thread.stop()


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")  # that is the point
def test_a_child_of_a_fork_begins_anew_even_if_the_lock_was_held() -> None:
    kept: list[str] = []
    thread = LoopThread("one", lambda: kept.append("the parent's"))
    thread.run(name_of_thread())
    reads, writes = os.pipe()
    with thread._lock:
        child = os.fork()
        if child == 0:
            try:
                assert not thread.runs
                found = thread.run(name_of_thread())
                os.write(writes, f"{found} {kept}".encode())
            finally:
                os._exit(0)
    os.close(writes)
    assert os.read(reads, 100) == b'one ["the parent\'s"]'
    os.close(reads)
    os.waitpid(child, 0)
    assert thread.runs
    assert thread.run(name_of_thread()) == "one"
    thread.stop()
