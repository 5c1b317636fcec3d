"""The thread with an event loop that runs coroutines for others."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import threading
import traceback
import weakref
from collections.abc import Callable
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor, wait
from contextvars import ContextVar
from typing import Any

import pytest

import leveret
from leveret import ConnectionLost
from leveret.blocking import loop_thread
from leveret.blocking.loop_thread import LoopThread, _Call
from leveret.rabbit.running import new_event_loop

whose: ContextVar[str] = ContextVar("whose", default="nobody's")


async def name_of_thread() -> str:
    return threading.current_thread().name


async def nothing() -> None:
    """What a loop does last."""


def test_it_starts_at_its_first_use_and_again_after_its_end() -> None:
    thread = LoopThread("one", lambda: None)
    assert not thread.runs
    assert thread.run(name_of_thread()) == "one"
    assert thread.runs
    thread.stop(nothing)
    thread.stop(nothing)
    assert not thread.runs
    assert thread.run(name_of_thread()) == "one"
    thread.stop(nothing)


def test_what_runs_has_the_context_of_the_thread_that_waits() -> None:
    async def read() -> str:
        return whose.get()

    thread = LoopThread("one", lambda: None)
    whose.set("mine")
    try:
        assert thread.run(read()) == "mine"
        assert thread.submit(read()).result(10) == "mine"
    finally:
        thread.stop(nothing)


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
        thread.stop(nothing)


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
    thread.stop(nothing)


def test_its_loop_is_the_one_that_asyncio_programs_have() -> None:
    async def kind() -> type[asyncio.AbstractEventLoop]:
        return type(asyncio.get_running_loop())

    thread = LoopThread("one", lambda: None)
    try:
        assert thread.run(kind()) is leveret.run(kind())
    finally:
        thread.stop(nothing)


def test_an_error_is_gone_once_nobody_has_it() -> None:
    """What it holds, as large arguments in its frames, does not wait for the garbage collector."""

    class NoError(Exception):
        pass

    async def fail() -> None:
        raise NoError

    thread = LoopThread("one", lambda: None)
    gc.disable()
    try:
        try:
            thread.run(fail())
        except NoError as error:
            gone = weakref.ref(error)
            names = [frame.name for frame in traceback.extract_tb(error.__traceback__)]
        thread.run(nothing())  # the loop has forgotten the task, too
        assert gone() is None
        assert names[-1] == "fail"
    finally:
        gc.enable()
        thread.stop(nothing)


@pytest.mark.parametrize("is_handed_over", [True, False])
def test_a_call_that_is_given_up_before_it_begins_never_does(is_handed_over: bool) -> None:
    ran: list[str] = []

    async def note() -> None:
        ran.append("it began")

    call, loop = _Call(note()), asyncio.new_event_loop()

    async def give_up() -> None:
        if is_handed_over:
            call.begin()
        call.cancel()
        await asyncio.sleep(0)

    try:
        loop.run_until_complete(give_up())
    finally:
        loop.close()
    assert call.wait(0)
    assert ran == []
    gc.collect()  # it is then that a coroutine that nobody awaited is told of


def test_a_call_that_is_given_to_a_loop_that_has_ended_did_not_run() -> None:
    loop = asyncio.new_event_loop()
    loop.close()
    with pytest.raises(ConnectionLost, match="the connection was closed meanwhile") as caught:
        _Call(nothing()).begin_in(loop, 1.0)
    assert caught.value.executed == "no"
    gc.collect()  # it is then that a coroutine that nobody awaited is told of


def test_a_call_whose_loop_ends_without_it_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop_thread, "_LOOK_EVERY", 0.001)
    call, loop = _Call(nothing()), asyncio.new_event_loop()
    assert not call.begin_in(loop, 0)
    threading.Timer(0.01, loop.close).start()
    with pytest.raises(ConnectionLost, match="the connection was closed meanwhile"):
        call.wait_for(loop)
    gc.collect()


def test_a_loop_does_one_thing_more_and_is_then_not_that_of_now() -> None:
    thread = LoopThread("one", lambda: None)
    seen: list[bool] = []

    async def last() -> None:
        seen.append(thread.is_loop_of_now(asyncio.get_running_loop()))

    async def of_now() -> bool:
        return thread.is_loop_of_now(asyncio.get_running_loop())

    assert thread.run(of_now())
    thread.stop(last)
    assert seen == [False]


def test_its_own_thread_does_not_wait_for_itself() -> None:
    thread = LoopThread("one", lambda: None)

    async def waits() -> None:
        thread.run(nothing())

    async def not_in_a_loop() -> None:
        await asyncio.get_running_loop().run_in_executor(None, lambda: thread.run(nothing()))

    try:
        with pytest.raises(RuntimeError, match="connection's own thread"):
            thread.run(waits())
        thread.run(not_in_a_loop())
    finally:
        thread.stop(nothing)


def test_what_a_loop_never_began_is_not_waited_for() -> None:
    thread = LoopThread("one", lambda: None)
    begun, go_on = threading.Event(), threading.Event()
    errors: list[BaseException] = []

    async def blocks() -> None:
        begun.set()
        go_on.wait(10)

    def late() -> None:
        try:
            thread.run(nothing())
        except BaseException as error:
            errors.append(error)

    first = thread.submit(blocks())
    assert begun.wait(10)
    waiting = threading.Thread(target=late)
    waiting.start()
    closing = threading.Thread(target=lambda: thread.stop(nothing))
    closing.start()
    go_on.set()
    first.result(10)
    for one in (closing, waiting):
        one.join(20)
        assert not one.is_alive()
    assert all(isinstance(error, ConnectionLost) for error in errors)


def test_who_waits_as_a_loop_ends_hears_what_came_of_the_call() -> None:
    thread = LoopThread("one", lambda: None)
    waiting, closed = threading.Semaphore(0), asyncio.Event()

    async def call() -> None:
        waiting.release()
        await closed.wait()
        for _ in range(50):  # one task after the other hears of it
            await asyncio.sleep(0)
        raise ConnectionLost("not sent", executed="no")

    async def last() -> None:
        closed.set()

    with ThreadPoolExecutor(1) as threads:
        ends = [threads.submit(lambda: thread.run(call())), thread.submit(call())]
        for _ in ends:
            assert waiting.acquire(timeout=10)
        thread.stop(last)
        for end in ends:
            with pytest.raises(ConnectionLost, match="not sent"):
                end.result(10)


def test_what_goes_on_as_a_loop_ends_is_cut_off_with_words_that_say_so() -> None:
    thread = LoopThread("one", lambda: None)
    waiting = threading.Semaphore(0)

    async def goes_on() -> None:
        waiting.release()
        await asyncio.Event().wait()

    with ThreadPoolExecutor(1) as threads:
        ends = [threads.submit(lambda: thread.run(goes_on())), thread.submit(goes_on())]
        for _ in ends:
            assert waiting.acquire(timeout=10)
        thread.stop(nothing)
        for end in ends:
            with pytest.raises(ConnectionLost, match="the connection was closed meanwhile"):
                end.result(10)


def test_what_is_cancelled_before_it_begins_is_over_at_once() -> None:
    thread = LoopThread("one", lambda: None)
    over: list[str] = []
    hold = threading.Event()

    async def blocks() -> None:
        hold.wait(10)

    try:
        blocking = thread.submit(blocks())
        waits = [thread.submit(nothing(), over=lambda: over.append("over")) for _ in range(2)]
        assert waits[0].cancel()
        hold.set()
        blocking.result(10)
        done, _ = wait(waits, timeout=10)
        assert len(done) == 2
        assert waits[0].cancelled()
        assert waits[1].result() is None
        assert over == ["over", "over"]
    finally:
        thread.stop(nothing)
    gc.collect()  # it is then that a coroutine that nobody awaited is told of


@pytest.mark.parametrize("where", ["start", "result"])
def test_ctrl_c_as_the_thread_starts_leaves_no_thread(
    monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    started: list[threading.Thread] = []

    class Thread(threading.Thread):
        def start(self) -> None:
            super().start()
            started.append(self)
            if where == "start":
                raise KeyboardInterrupt

    class Begun(Future[Any]):
        def result(self, timeout: float | None = None) -> Any:
            loop = super().result(timeout)
            if where == "result" and not self.seen:
                self.seen = True
                raise KeyboardInterrupt
            return loop

        seen = False

    thread = LoopThread("one", lambda: None)
    with monkeypatch.context() as patched:
        patched.setattr(threading, "Thread", Thread)
        patched.setattr(loop_thread, "Future", Begun)
        with pytest.raises(KeyboardInterrupt):
            thread.run(nothing())
    started[0].join(10)
    assert not started[0].is_alive()
    assert thread.run(name_of_thread()) == "one"
    thread.stop(nothing)
    gc.collect()


@pytest.mark.parametrize("new_loop", [new_event_loop, asyncio.new_event_loop])
def test_sys_exit_in_a_callback_does_not_end_the_thread(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    new_loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    monkeypatch.setattr(loop_thread, "new_event_loop", new_loop)
    thread = LoopThread("one", lambda: None)

    async def exits() -> None:
        sys.exit(3)

    async def has_a_callback_that_exits() -> str:
        asyncio.get_running_loop().call_soon(sys.exit, 3)
        await asyncio.sleep(0)
        return "it goes on"

    try:
        assert thread.run(has_a_callback_that_exits()) == "it goes on"
        with pytest.raises(SystemExit):
            thread.run(exits())
        with pytest.raises(SystemExit):
            thread.submit(exits()).result(10)
        assert thread.run(name_of_thread()) == "one"
    finally:
        thread.stop(nothing)
    assert not thread.runs
    assert len(caplog.messages) == 2  # of the callback, and of what nobody waited for
    assert all("SystemExit in the thread of a connection" in told for told in caplog.messages)
