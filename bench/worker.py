"""The process in which a Python peer's server or client runs (the protocol: `bench/peer.py`).

Run as `python -m bench.worker bench.peers.<file> server|client uvloop|asyncio`.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import select
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import asdict
from typing import Any, cast

from .load import Calls, Load, drive
from .peer import PeerModule

# What a library prints must not get between the answers.
_answers = sys.stdout
sys.stdout = sys.stderr


GRACE = 3.0
"""Seconds that a process takes at most to end once its input is closed."""


def say(message: dict[str, Any]) -> None:
    """Send one answer to the bench."""
    print(json.dumps(message), file=_answers, flush=True)


async def commands() -> asyncio.StreamReader:
    """Standard input, which ends when the bench wants this process to end, or has died."""
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    return reader


async def serve(serving: AbstractAsyncContextManager[str]) -> None:
    """Run a server until the bench closes standard input."""
    async with serving as address:
        say({"ready": True, "address": address})
        await (await commands()).read()


async def answer_commands(answer: Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]) -> None:
    """Answer one command after the other until there are no more."""
    say({"ready": True})
    async for line in await commands():
        say(await answer(json.loads(line)))


async def measure(calling: AbstractAsyncContextManager[Calls]) -> None:
    """Run a client that makes the measurements it is told to."""
    async with calling as calls:

        async def answer(command: dict[str, Any]) -> dict[str, Any]:
            return asdict(await drive(calls, Load(**command)))

        await answer_commands(answer)


def run(main: Callable[[], Awaitable[None]], loop: str) -> None:
    """Run `main()` on the named event loop; asyncio's own where uvloop is not installed."""
    threading.Thread(target=_leave_when_input_closes, daemon=True).start()
    factory = None
    if loop == "uvloop":
        try:
            import uvloop

            factory = uvloop.new_event_loop
        except ImportError:
            pass
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(_as_coroutine(main))


def _leave_when_input_closes() -> None:
    """End even a process that waits for a reply in vain, as when the bench was killed."""
    closed = select.poll()
    closed.register(0, 0)  # POLLHUP is told unasked, and no input is taken
    closed.poll()
    time.sleep(GRACE)
    os._exit(1)


async def _as_coroutine(main: Callable[[], Awaitable[None]]) -> None:
    await main()


def start(module: str, role: str, loop: str) -> None:
    """Be the server or the client of the peer whose file is `module`."""
    peer = cast(PeerModule, importlib.import_module(module))
    address = os.environ["BENCH_ADDRESS"]
    if role == "server":
        run(lambda: serve(peer.serving(address)), loop)
    else:
        run(lambda: measure(peer.calling(address)), loop)


if __name__ == "__main__":
    start(*sys.argv[1:4])
