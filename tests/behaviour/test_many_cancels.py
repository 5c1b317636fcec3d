"""Cancels, answers and questions about calls cost the same however many calls run."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import leveret
from leveret import Rabbit, Service, method
from leveret.server.server import Server
from leveret.wire.message import ReplyAddress
from tests.behaviour.patience import until

PACKAGE = str(Path(leveret.__file__).parent)
NOBODY = ReplyAddress(exchange="", key="leveret.reply.of-nobody")


class Hall(Service):
    """Has room for many who wait."""

    def __init__(self) -> None:
        self.inside = 0
        self.left = 0

    @method(timeout=60, concurrency=4_000)
    async def wait(self) -> None:
        self.inside += 1
        try:
            await asyncio.Event().wait()
        finally:
            self.left += 1


def cost(function: Callable[[], object]) -> int:
    """How many of Leveret's functions run for it."""
    ran = 0

    def count(frame: FrameType, event: str, _arg: object) -> None:
        nonlocal ran
        ran += event == "call" and frame.f_code.co_filename.startswith(PACKAGE)

    sys.setprofile(count)
    try:
        function()
    finally:
        sys.setprofile(None)
    return ran


def costs(server: Server) -> list[int]:
    """What strangers' words about calls that are not here cost, and a cancel of one that is."""
    handlers = server.control_handlers
    some_call = server.calls()[len(server.calls()) // 2]
    return [
        cost(lambda: handlers.cancel((NOBODY, "forged"), 1.0)),
        cost(lambda: handlers.confirmed((NOBODY, "forged"))),
        cost(lambda: handlers.query(NOBODY, {"forged"})),
        cost(lambda: handlers.confirmed(some_call.key)),
        cost(lambda: handlers.cancel(some_call.key, 1.0)),
    ]


async def test_words_about_a_call_cost_the_same_among_ten_calls_and_among_a_thousand(
    client: Rabbit, host: Rabbit
) -> None:
    hall = Hall()
    async with host.serving(hall, grace=0) as server:
        calls = [asyncio.create_task(client.remote(Hall).wait()) for _ in range(10)]
        await until(lambda: hall.inside == 10, "ten wait")
        among_ten = costs(server)
        calls += [asyncio.create_task(client.remote(Hall).wait()) for _ in range(1_000)]
        await until(lambda: hall.inside == 1_010, "a thousand wait")
        among_a_thousand = costs(server)
        for call in calls:
            call.cancel()
        await asyncio.wait(calls)
        await until(lambda: hall.left == 1_010, "all are cancelled")
    assert among_a_thousand == among_ten


async def test_thousands_of_callers_that_go_away_at_once_hold_nobody_up(
    client: Rabbit, host: Rabbit
) -> None:
    """Each cancel of those costs the server as much as one alone."""
    hall = Hall()
    async with host.serving(hall, grace=0):
        calls = [asyncio.create_task(client.remote(Hall).wait()) for _ in range(2_000)]
        await until(lambda: hall.inside == 2_000, "all wait")
        ran = 0

        def count(frame: FrameType, event: str, _arg: object) -> None:
            nonlocal ran
            ran += event == "call" and frame.f_code.co_filename.startswith(PACKAGE)

        sys.setprofile(count)
        try:
            for call in calls:
                call.cancel()
            await until(lambda: hall.left == 2_000, "all are cancelled")
        finally:
            sys.setprofile(None)
        await asyncio.wait(calls)
    assert ran / 2_000 < 200, "functions of Leveret for each call, at both ends"
