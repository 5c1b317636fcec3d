"""Handlers that block the event loop: noticed, and named in the log."""

from __future__ import annotations

import asyncio
import logging
import re
import threading
import time
from collections.abc import Iterator

import pytest

from leveret import Rabbit, Service, method
from tests.behaviour.patience import PATIENCE, until
from tests.behaviour.services import Echo


class Log(logging.Handler):
    """What the server warned of; `spoken` is set by each warning."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []
        self.spoken = threading.Event()

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())
        self.spoken.set()


@pytest.fixture
def log() -> Iterator[Log]:
    handler = Log()
    logger = logging.getLogger("leveret.server")
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)


class Careless(Service):
    """Blocks the loop, until the log tells of it."""

    def __init__(self, log: Log) -> None:
        self._log = log

    @method(timeout=30)
    async def block(self) -> bool:
        return self._log.spoken.wait(PATIENCE)

    @method(timeout=30)
    def block_a_thread(self) -> None:
        time.sleep(1.5)


def watchdogs() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "leveret watchdog"]


async def test_a_handler_that_blocks_the_loop_is_named_in_the_log_with_its_stack(
    client: Rabbit, host: Rabbit, log: Log
) -> None:
    async with host.serving(Careless(log), Echo()):
        assert not watchdogs()
        assert await client.remote(Careless).block()
        await until(lambda: len(log.lines) == 2, "the log tells that it is over")
        assert await client.remote(Echo).echo("x") == "x"
    assert "blocked for 1.0 s by careless.block (call " in log.lines[0]
    assert "in block\n    return self._log.spoken.wait(PATIENCE)" in log.lines[0]
    assert re.search(r"was blocked for [1-9]\d*\.\d s", log.lines[1])
    assert not watchdogs()


@pytest.mark.slow
async def test_a_handler_in_a_thread_blocks_nothing_and_is_not_named(
    client: Rabbit, host: Rabbit, log: Log
) -> None:
    async with host.serving(Careless(log), Echo()):
        call = asyncio.create_task(client.remote(Careless).block_a_thread())
        while not call.done():
            await client.remote(Echo).echo("x")
    assert log.lines == []
