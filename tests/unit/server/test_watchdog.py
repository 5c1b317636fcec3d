"""The watchdog: when it speaks, what it says, and that it leaves nothing behind.

Handlers here block the loop until the log has spoken, so that no test depends on how long a
machine takes for anything.
"""

from __future__ import annotations

import asyncio
import logging
import re
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pydantic
import pytest

from leveret.annotations import Hook
from leveret.codec.pydantic_values import PydanticType
from leveret.server.calls.life import Event, Life
from leveret.server.watchdog import RunningCall, Watchdog
from tests.unit.server.calls import making

PATIENCE = 15.0
BLOCKED_AFTER = 0.2
"""Seconds in which a busy machine gets from `watch` to a handler's first line: a watchdog that
speaks before that tells of another line."""


class Log(logging.Handler):
    """What was warned of, and of which calls; `spoken` is set by each warning."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []
        self.ids: list[object] = []
        self.spoken = threading.Event()

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())
        self.ids.append(vars(record).get("call_id"))
        self.spoken.set()


@pytest.fixture
def log() -> Iterator[Log]:
    handler = Log()
    logger = logging.getLogger("leveret.server")
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)


@pytest.fixture
def calls() -> list[RunningCall]:
    """The calls that run."""
    return []


@pytest.fixture
async def watchdog(calls: list[RunningCall]) -> Any:
    made = Watchdog(asyncio.get_running_loop(), lambda: calls, blocked_after=BLOCKED_AFTER)
    yield made
    made.stop()
    assert not threads()


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "leveret watchdog"]


def call(method: str, task: asyncio.Task[Any] | None = None, number: int = 1) -> RunningCall:
    """As much of a call as a watchdog looks at."""
    return cast(RunningCall, SimpleNamespace(method=method, id=f"{number:x}", task=task))


async def until(true: Any) -> None:
    async with asyncio.timeout(PATIENCE):
        while not true():  # noqa: ASYNC110 - the event is in another thread
            await asyncio.sleep(0.002)


async def block(log: Log) -> None:
    """As a handler does that never awaits."""
    log.spoken.clear()
    assert log.spoken.wait(PATIENCE), "nothing was said"


async def test_the_call_that_blocks_is_named_with_its_stack_and_then_with_its_length(
    watchdog: Watchdog, calls: list[RunningCall], log: Log
) -> None:
    task = asyncio.create_task(block(log))
    calls += [call("desk.wait", None, 1), call("desk.block", task, 2)]
    watchdog.watch()
    await task
    await until(lambda: len(log.lines) >= 2)
    assert "has been blocked for 0.2 s by desk.block (call 2): " in log.lines[0]
    assert "in block\n    assert log.spoken.wait" in log.lines[0]
    assert re.fullmatch(
        r"the event loop was blocked for \d+\.\d s by desk\.block \(call 2\)", log.lines[1]
    )
    assert log.ids[:2] == ["2", "2"]


async def test_a_handler_is_not_blamed_where_leverets_own_code_blocks(
    watchdog: Watchdog, calls: list[RunningCall], log: Log
) -> None:
    life = Life(time.monotonic)

    def block_in_leveret(*_transition: object) -> None:
        log.spoken.clear()
        assert log.spoken.wait(PATIENCE), "nothing was said"

    async def handler() -> None:
        life.on_transition = block_in_leveret
        life.fire(making.call(), Event.PLACE)

    task = asyncio.create_task(handler())
    calls.append(call("desk.block", task))
    watchdog.watch()
    await task
    assert "in Leveret's own code, while desk.block (call 1) runs: " in log.lines[0]
    assert "let it await" not in log.lines[0]


def reads_by_hook(block: Callable[[], None]) -> Callable[[], object]:
    """Reads a value by a hook, which blocks."""

    def decode(text: str) -> Path:
        block()
        return Path(text)

    return partial(Hook(Path, str, encode=str, decode=decode).read, "a")


def reads_by_pydantic(block: Callable[[], None]) -> Callable[[], object]:
    """Reads a value by a model of pydantic, whose validator blocks."""

    class Order(pydantic.BaseModel):
        count: int

        @pydantic.field_validator("count")
        @classmethod
        def check(cls, count: int) -> int:
            block()
            return count

    return partial(PydanticType(Order).decode, b'{"count": 1}', "$")


@pytest.mark.parametrize("reads", [reads_by_hook, reads_by_pydantic])
async def test_hooks_and_models_that_block_are_no_code_of_leverets(
    watchdog: Watchdog,
    calls: list[RunningCall],
    log: Log,
    reads: Callable[[Callable[[], None]], Callable[[], object]],
) -> None:
    def block_until_told() -> None:
        log.spoken.clear()
        log.spoken.wait(1.0)  # no longer: it may have spoken just before, where we were not yet

    async def handler() -> None:
        for _ in range(10):
            read()
            if is_told():
                break
            await asyncio.sleep(0)

    def is_told() -> bool:
        return any("blocked for 0.2 s by desk.read (call 1): " in line for line in log.lines)

    read = reads(block_until_told)
    task = asyncio.create_task(handler())
    calls.append(call("desk.read", task))
    watchdog.watch()
    await task
    assert is_told()


async def test_where_no_call_is_at_fault_those_that_wait_are_named_but_not_all_of_many(
    watchdog: Watchdog, calls: list[RunningCall], log: Log
) -> None:
    calls += [call("desk.wait", number=number) for number in range(1, 8)]
    watchdog.watch()
    await block(log)
    assert "while desk.wait (call 1), " in log.lines[0]
    assert "desk.wait (call 5) and 2 more run: " in log.lines[0]


async def test_each_time_is_told_once(
    watchdog: Watchdog, calls: list[RunningCall], log: Log
) -> None:
    calls.append(call("desk.block"))
    watchdog.watch()
    for times in (1, 2):
        await block(log)
        await until(lambda: len(log.lines) >= 2 * times)  # noqa: B023 - awaited in this turn
    # A machine that is busy may block the loop as well: then there are more of the same pairs.
    assert ["has been" in line for line in log.lines[:4]] == [True, False, True, False]


async def test_there_is_no_thread_before_the_first_call_and_one_after_many(
    watchdog: Watchdog, calls: list[RunningCall]
) -> None:
    assert not threads()
    calls.append(call("desk.quick"))
    for _ in range(10):
        watchdog.watch()
    assert len(threads()) == 1


async def test_while_no_call_runs_the_loop_is_left_alone(
    watchdog: Watchdog, calls: list[RunningCall], log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    pings: list[str] = []
    monkeypatch.setattr(watchdog, "_ping", lambda: pings.append("ping"))
    watchdog.watch()
    await until(lambda: not watchdog._begun.is_set())
    assert not pings
    calls.append(call("desk.quick"))
    watchdog.watch()
    await until(lambda: pings)


async def test_it_can_be_stopped_while_the_loop_is_blocked(
    watchdog: Watchdog, calls: list[RunningCall], log: Log
) -> None:
    calls.append(call("desk.block"))
    watchdog.watch()
    await block(log)
    watchdog.stop()
    assert not threads()
    watchdog.watch()  # a call that comes later begins nothing
    assert not threads()


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    made = asyncio.new_event_loop()
    yield made
    made.close()


def run_a_moment(loop: asyncio.AbstractEventLoop) -> Watchdog:
    """A watchdog whose loop stops right after the first call has begun."""
    watchdog = Watchdog(loop, lambda: [call("desk.quick")], blocked_after=0.02)
    loop.call_soon(watchdog.watch)
    loop.call_soon(loop.stop)
    loop.run_forever()
    return watchdog


def ended() -> bool:
    for thread in threads():
        thread.join(PATIENCE)
    return not threads()


def test_it_ends_with_its_loop(loop: asyncio.AbstractEventLoop) -> None:
    run_a_moment(loop)
    loop.close()
    assert ended()


def test_it_ends_with_a_loop_that_closes_while_it_waits_for_an_answer(
    loop: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch, log: Log
) -> None:
    asked = threading.Event()
    monkeypatch.setattr(loop, "call_soon_threadsafe", lambda *_: asked.set())  # nobody answers
    run_a_moment(loop)
    assert asked.wait(PATIENCE)
    loop.close()
    assert ended()
    assert log.lines == []


async def test_a_table_of_calls_that_changes_as_it_is_read_does_no_harm(log: Log) -> None:
    reads: list[int] = []

    def running() -> list[RunningCall]:
        reads.append(1)
        if len(reads) == 2:
            raise RuntimeError("dictionary changed size during iteration")
        return [call("desk.quick")]

    watchdog = Watchdog(asyncio.get_running_loop(), running, blocked_after=PATIENCE)
    watchdog.watch()
    await until(lambda: len(reads) >= 2)
    watchdog.watch()
    await until(lambda: len(reads) > 3)
    watchdog.stop()
    # A machine that is busy may block the loop for so short a time, and it is said then.
    assert all("the event loop " in line for line in log.lines)


async def test_without_a_time_nobody_watches(calls: list[RunningCall]) -> None:
    watchdog = Watchdog(asyncio.get_running_loop(), lambda: calls, blocked_after=None)
    watchdog.watch()
    assert not threads()
    watchdog.stop()
