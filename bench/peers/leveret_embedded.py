"""The same service and remote, over the embedded broker, in a process of its own.

The server's process starts and stops it: `leveret broker`.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from .leveret_typed import calling
from .leveret_typed import serving as serving_on

__all__ = ["calling", "serving"]

UP_WITHIN = 10.0  # seconds


@asynccontextmanager
async def serving(_: str) -> AsyncIterator[str]:
    """Start a broker, and serve on it."""
    async with _embedded_broker() as url, serving_on(url):
        yield url


@asynccontextmanager
async def _embedded_broker() -> AsyncIterator[str]:
    """The URL of a broker of our own on a free port."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "leveret", "broker", "--port", "0"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(UP_WITHIN):
            url = (await process.stdout.readline()).decode().strip()
        if not url:
            raise ConnectionError("the embedded broker ended before it was up")
        yield url
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()
