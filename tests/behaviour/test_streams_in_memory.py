"""What streams of large items take of memory, in a client, a server and a broker of their own."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

import pytest

from bench.stream_memory import move, processes
from bench.stream_memory_worker import FIRST, SIZE
from leveret.streaming.credit import WIDEST, WINDOW_BYTES

ITEMS: Final = 2_000
"""Of 64 KB: 131 MB, each way."""
MOST: Final = 40_000_000
"""Bytes by which a process may grow."""
PATIENCE: Final = 180.0
"""Seconds after which it hangs."""


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="peaks are counted by Linux")
async def test_a_slow_consumer_of_large_items_costs_a_window_in_each_process() -> None:
    async with asyncio.timeout(PATIENCE), processes() as of:
        stream = await move(of, "stream", ITEMS, every=200, pause=0.01)
        upload = await move(of, "upload", ITEMS, every=200, pause=0.01)
    for moved in (stream, upload):
        assert moved.made <= FIRST + WIDEST * WINDOW_BYTES // SIZE + 1
        assert set(moved.whole) == {"broker", "server", "client"}
        assert max(moved.stopped.values()) < MOST
        assert max(moved.whole.values()) < MOST, moved
