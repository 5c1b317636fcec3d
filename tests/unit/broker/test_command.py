from __future__ import annotations

import asyncio
import signal
import sys

import pytest


@pytest.mark.parametrize("level", ["info", "warning", "critical"])
async def test_the_command_says_that_it_holds_all_in_memory_whatever_is_logged(level: str) -> None:
    broker = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "leveret", "broker", "--port", "0", "--log-level", level),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert broker.stdout is not None
    assert (await broker.stdout.readline()).startswith(b"amqp://")
    broker.send_signal(signal.SIGTERM)
    _, said = await broker.communicate()
    assert said.count(b"in memory, for development and tests; production is RabbitMQ") == 1
    assert broker.returncode == 0
